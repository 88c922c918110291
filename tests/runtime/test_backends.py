"""The program for the board: its network by torch, and by what loads files.

What needs torch, onnx or onnxruntime is skipped where they are missing.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import BackendError, BundleError, Stream, UserError
from tests import golden
from tests.runtime.bundles import (
    SOURCE,
    grey,
    normalised,
    plain_runtime,
    watched_runtime,
    whole_logits,
    write_clip,
)


def test_weights_come_from_plain_arrays_alone(bundle, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "load", None)  # it is not called at all
    assert seen_runtime.load(str(bundle), "torch").backend == "torch"


def test_onnx_with_external_data(bundle, tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    for name in seen_runtime.ONNX:
        model = (bundle / name).read_bytes()
        assert seen_runtime.read_onnx(str(bundle / name)) == model
    weight = onnx.numpy_helper.from_array(np.ones((2, 2), np.float32), "weight")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="manifest.json")
    constant = onnx.helper.make_node("Constant", [], ["x"], value=weight)
    inner = onnx.helper.make_graph([constant], "inner", [], [])
    branch = onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner)
    path = tmp_path / "seen.onnx"
    for nodes, weights in (([], [weight]), ([constant], []), ([branch], [])):
        graph = onnx.helper.make_graph(nodes, "graph", [], [], weights)
        path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
        with pytest.raises(BundleError, match=r"onnx: .* in one file, got external da"):
            seen_runtime.read_onnx(str(path))


@pytest.mark.parametrize(
    "backend, kind, words",
    [
        ("torch", BundleError, r"seen\.npz: expected the float32 arrays of this netw"),
        ("torchscript", BackendError, "backend torchscript: expected to start, got "),
        ("onnxruntime", BackendError, "backend onnxruntime: expected to start, got "),
    ],
)
def test_files_that_hold_no_network(dummy, backend, kind, words):
    pytest.importorskip(seen_runtime.BACKENDS[backend].package)
    with pytest.raises(kind, match=words):
        seen_runtime.load(str(dummy), backend)


def test_backends_that_are_not_there(dummy, monkeypatch):
    with pytest.raises(UserError, match="backend: expected auto or one of tensorrt, "):
        seen_runtime.load(str(dummy), "jax")
    for package in ("tensorrt", "onnxruntime", "torch"):
        monkeypatch.setitem(sys.modules, package, None)  # importing it fails
    monkeypatch.setenv("CC", "no-such-compiler")
    for name, x in seen_runtime.BACKENDS.items():
        with pytest.raises(UserError, match=f"backend: expected {x.package} to be in"):
            seen_runtime.load(str(dummy), name)
    words = "expected a C compiler or onnxruntime or torch to"
    with pytest.raises(UserError, match=words):
        seen_runtime.load(str(dummy))


@pytest.mark.parametrize("num_event_frames", [1, 4])
def test_the_network_in_float64_is_the_plain_one(num_event_frames):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.set_num_threads(1)  # more of them wait for a busy processor
    from seen_jax.benchmarks import torch_seen

    state_dict, rng = golden.state_dict(5), np.random.default_rng(5)
    folded = seen_runtime.fold(state_dict, np.float64)
    plain = torch_seen.load(torch_seen.SEEN().double().eval(), state_dict)
    frames = [rng.normal(size=(2, n, 90, 90)) for n in (num_event_frames, 2)]
    with torch.no_grad():
        expected = plain(*map(torch_seen.rgb, frames))
        got = []
        for exported in (False, True):
            network = seen_runtime.make_network(folded, num_event_frames, exported)
            got.append(network(*map(torch.from_numpy, frames)))
    for logits in got:
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["native", "torch", "torchscript", "onnxruntime"])
def test_every_backend_gives_the_same_logits(bundle, backend):
    if backend != "native":
        pytest.importorskip(seen_runtime.BACKENDS[backend].package)
    runtime = seen_runtime.load(str(bundle), backend)
    assert runtime.backend == backend
    frames, logits, inputs = whole_logits()
    got = runtime.logits(*inputs)
    assert (got.shape, got.dtype) == ((2, 7), np.float32)
    np.testing.assert_allclose(got, logits, rtol=0, atol=1e-5)
    if backend == "native":
        assert runtime.spikes.shape == (2, len(seen_runtime.LAYERS))
        assert runtime.spikes.all()
    for i in range(2):
        alone = runtime.logits(*(x[i : i + 1] for x in inputs))
        np.testing.assert_allclose(alone, logits[i : i + 1], rtol=0, atol=1e-5)
    shares = runtime.predict(*frames)
    np.testing.assert_allclose(shares, seen_runtime.softmax(logits), rtol=0, atol=1e-5)


def test_auto_takes_what_is_there(bundle):
    pytest.importorskip("onnxruntime")
    assert seen_runtime.load(str(bundle)).backend == "native"


def test_auto_without_a_compiler_says_so_once(bundle, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("CC", "no-such-compiler")
    seen_runtime._say_once.cache_clear()
    for _ in range(2):
        runtime = seen_runtime.load(str(bundle))
        assert runtime.backend == "onnxruntime"
    said = "backend native left out, a C compiler needed: no-such-compiler "
    said += f"is not installed\nbackend onnxruntime: {runtime.device}\n"
    assert capsys.readouterr().err == said


def test_the_command_alone_in_its_folder(bundle, tmp_path):
    command = [sys.executable, "-I", "-W", "error", str(bundle / SOURCE.name)]
    options = [*write_clip(tmp_path, 16), "--rate", "0", "--json"]
    result = subprocess.run([*command, *options], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    played = json.loads(result.stdout)
    assert [x["frame"] for x in played["predictions"]] == [12, 13, 14, 15]
    for x in played["predictions"]:
        assert sum(x["probabilities"].values()) == pytest.approx(1)
        assert max(x["probabilities"], key=x["probabilities"].get) == x["emotion"]
    assert played["missed"] == 0
    assert set(played["latency_ms"]) == {"p50", "p95", "p99"}


def test_logits_that_are_no_numbers():
    runtime = plain_runtime(lambda *inputs: np.full((1, 7), np.nan, np.float32))
    stream = Stream(runtime)
    for numbers in (range(13), [13]):  # once more, after a failure
        for n in numbers:
            stream.push_event(n, grey(n))
            stream.push_intensity(n, grey(n))
        words = r"Python: expected finite logits \(1, 7\), got .* 0 of them finite; cho"
        with pytest.raises(UserError, match=words):
            stream.predict()


WINDOWS = [np.zeros((2, 4, 60, 60), np.uint8), np.zeros((2, 2, 50, 50), np.uint8)]
INPUTS = normalised(1)


@pytest.mark.parametrize(
    "method, event_frames, intensity_frames, words",
    [
        ("predict", WINDOWS[0][0], WINDOWS[1][0], r"uint8 \(4, 60, 60\)"),
        ("predict", WINDOWS[0][:, :3], WINDOWS[1], r"uint8 \(2, 3, 60, 60\)"),
        ("predict", WINDOWS[0], WINDOWS[1][:1], r"uint8 \(1, 2, 50, 50\)"),
        ("predict", WINDOWS[0][:0], WINDOWS[1][:0], r"uint8 \(0, 4, 60, 60\)"),
        ("predict", WINDOWS[0], 3, r"int64 \(\)"),
        ("predict", WINDOWS[0][..., :50], WINDOWS[1], r"uint8 \(60, 50\)"),
        ("predict", *INPUTS, r"float32 \(1, 4, 90, 90\)"),
        ("logits", *WINDOWS, r"uint8 \(2, 4, 60, 60\)"),
        ("logits", INPUTS[0], INPUTS[1].astype(float), r"float64 \(1, 2, 90"),
        ("logits", INPUTS[0], INPUTS[1][..., :45, :45], r"float32 \(1, 2, 45"),
    ],
)
def test_windows_of_the_wrong_form(method, event_frames, intensity_frames, words):
    runtime, windows = watched_runtime()
    with pytest.raises(UserError, match=f"^(event|intensity).*: expected .*{words}"):
        getattr(runtime, method)(event_frames, intensity_frames)
    assert not windows


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("i", [0, 1])
def test_inputs_that_are_no_numbers(bad, i):
    (runtime, windows), inputs = watched_runtime(), normalised(1)
    inputs[i][0, 1, 2, 3:5] = bad
    name, size = seen_runtime.INPUTS[i], inputs[i].size
    words = f"{name}: expected finite numbers, got 2 of {size} that are not"
    with pytest.raises(UserError, match=words):
        runtime.logits(*inputs)
    assert not windows
