"""The program for the board: its network by torch, and by what loads files.

What needs torch, onnx or onnxruntime is skipped where they are missing; TensorRT is
missing everywhere here, and a stand-in shows no more than that it is called rightly.
"""

import ctypes
import ctypes.util
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import BackendError, BundleError, UserError
from tests import golden
from tests.runtime.bundles import (
    SOURCE,
    forward,
    normalised,
    three_levels,
    whole_numbers,
    write_clip,
)


class Cuda:
    """Stands for CUDA's library; its memory is this program's."""

    def __init__(self, status):
        self.held, self.status = [], status

    def cudaMalloc(self, pointer, num_bytes):
        self.held.append(ctypes.create_string_buffer(num_bytes.value))
        pointer._obj.value = ctypes.addressof(self.held[-1])
        return self.status

    def cudaMemcpy(self, to, source, num_bytes, kind):
        assert kind == (2 if source.value in map(ctypes.addressof, self.held) else 1)
        ctypes.memmove(to, source, num_bytes.value)
        return self.status


class Engine:
    """An engine as TensorRT 8.2 shows it: an iterable of names, whose `*_binding_*`
    are gone in 10; the logits are the first pixels of both inputs."""

    def __init__(self, shapes):
        self.shapes, self.fails = shapes, False

    def __getitem__(self, i):
        return list(self.shapes)[i]

    def get_binding_shape(self, name):
        return self.shapes[name]

    def create_execution_context(self):
        return self

    def execute_v2(self, bindings):
        memory = dict(zip(self.shapes, bindings, strict=True))
        read = [
            np.ctypeslib.as_array(
                ctypes.cast(memory[name], ctypes.POINTER(ctypes.c_float)), (7,)
            )
            for name in ("event_frames", "intensity_frames", "logits")
        ]
        read[2][:] = read[0] + 2 * read[1]
        return not self.fails


class NewEngine(Engine):
    get_binding_shape = None

    def get_tensor_shape(self, name):
        return self.shapes[name]


SHAPES = {
    "intensity_frames": (1, 2, 90, 90),
    "event_frames": (1, 4, 90, 90),
    "logits": (1, 7),
}


def fake_tensorrt(monkeypatch, engine, status=0):
    package = types.SimpleNamespace(
        __version__="8.2.1",
        Logger=type("Logger", (), {"WARNING": 2, "__init__": lambda self, level: None}),
        Runtime=lambda logger: types.SimpleNamespace(
            deserialize_cuda_engine=lambda plan: engine if plan == b"plan" else None
        ),
    )
    monkeypatch.setitem(sys.modules, "tensorrt", package)
    cuda = Cuda(status)
    monkeypatch.setattr(ctypes, "CDLL", {"libcudart.so": cuda}.__getitem__)
    monkeypatch.setattr(ctypes.util, "find_library", {"cudart": None}.get)


@pytest.fixture
def plan(dummy):
    """Where the engine of the dummy's seen.onnx belongs."""
    manifest = seen_runtime.read_manifest(str(dummy))
    return Path(seen_runtime.engine_path(str(dummy), manifest))


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
    for name, x in seen_runtime.BACKENDS.items():
        with pytest.raises(UserError, match=f"backend: expected {x.package} to be in"):
            seen_runtime.load(str(dummy), name)
    with pytest.raises(UserError, match="expected onnxruntime or torch to be"):
        seen_runtime.load(str(dummy))


@pytest.mark.parametrize("kind", [Engine, NewEngine])
def test_tensorrt_by_a_stand_in(dummy, plan, monkeypatch, kind):
    engine = kind(SHAPES)
    fake_tensorrt(monkeypatch, engine)
    plan.write_bytes(b"plan")
    runtime = seen_runtime.load(str(dummy))  # auto takes it where an engine is
    assert (runtime.backend, runtime.device) == ("tensorrt", "TensorRT 8.2.1")
    inputs = normalised(3, lambda size: np.random.default_rng(0).normal(size=size))
    expected = inputs[0][:, 0, 0, :7] + 2 * inputs[1][:, 0, 0, :7]
    np.testing.assert_array_equal(runtime.logits(*inputs), expected)
    strided = [np.asfortranarray(x) for x in inputs]
    np.testing.assert_array_equal(runtime.logits(*strided), expected)
    engine.fails = True
    with pytest.raises(BackendError, match="expected a window computed, got a failure"):
        runtime.logits(*inputs)


@pytest.mark.parametrize(
    "content, first, words",
    [
        (None, 1, "an engine, got none"),
        (b"of another version", 1, r"an engine for TensorRT 8\.2\.1 here, got another"),
        (b"plan", -1, r".*, got .*\(-1, 4, 90, 90\).*"),
    ],
)
def test_engines_that_are_not_of_this_bundle(
    dummy, plan, monkeypatch, content, first, words
):
    fake_tensorrt(monkeypatch, Engine({**SHAPES, "event_frames": (first, 4, 90, 90)}))
    (dummy / "seen-00000000.engine").write_bytes(b"plan")  # of another seen.onnx
    if content:
        plan.write_bytes(content)
    words = f"{plan.name}: expected {words}; trtexec .*{plan.name} --noTF32"
    with pytest.raises(BundleError, match=words):
        seen_runtime.load(str(dummy), "tensorrt")


def test_a_gpu_without_memory(dummy, plan, monkeypatch):
    fake_tensorrt(monkeypatch, Engine(SHAPES), status=2)
    plan.write_bytes(b"plan")
    words = "cudaMalloc: expected status 0, got 2; look the number up as cudaError"
    with pytest.raises(BackendError, match=words):
        seen_runtime.load(str(dummy), "tensorrt")


def test_the_network_in_float64_is_the_plain_one(monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.set_num_threads(1)  # more of them wait for a busy processor
    from seen_jax.benchmarks import torch_seen

    rates, step = [], torch_seen.Neurons.step

    def counted(neurons, current):
        after = step(neurons, current)
        rates.append(after.spike.mean().item())
        return after

    monkeypatch.setattr(torch_seen.Neurons, "step", counted)
    state_dict, rng = golden.state_dict(5), np.random.default_rng(5)
    folded = seen_runtime.fold(state_dict, np.float64)
    plain = torch_seen.load(torch_seen.SEEN().double().eval(), state_dict)
    for num_event_frames in (1, 4):
        events, pair = (rng.normal(size=(2, n, 90, 90)) for n in (num_event_frames, 2))
        inputs = torch.from_numpy(events), torch.from_numpy(pair)
        with torch.no_grad():
            expected = plain(torch_seen.rgb(events), torch_seen.rgb(pair))
            for exported in (False, True):
                network = seen_runtime.make_network(folded, num_event_frames, exported)
                got = network(*inputs)
                np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    assert len(rates) == (1 + 5 * 1) + (1 + 5 * 4)
    hidden = rates[:5] + rates[6:11]  # J_s and the four layers before the logits
    assert all(0.01 < rate < 0.99 for rate in hidden), rates


@pytest.fixture(scope="module")
def expected():
    """Logits of `whole_numbers` by numpy in float64, and the windows they are of."""
    frames = three_levels(3)
    inputs = [(x.astype(np.float64) - 128) / 127 for x in frames]
    folded = seen_runtime.fold(whole_numbers(), np.float64)
    return forward(folded, *inputs), frames


@pytest.mark.parametrize("backend", ["torch", "torchscript", "onnxruntime"])
def test_every_backend_gives_the_same_logits(bundle, expected, backend):
    pytest.importorskip(seen_runtime.BACKENDS[backend].package)
    runtime = seen_runtime.load(str(bundle), backend)
    assert runtime.backend == backend
    logits, frames = expected
    inputs = [((x.astype(np.float32) - 128) / 127) for x in frames]
    got = runtime.logits(*inputs)
    assert (got.shape, got.dtype) == ((3, 7), np.float32)
    np.testing.assert_allclose(got, logits, rtol=0, atol=1e-5)
    for i in range(3):
        alone = runtime.logits(*(x[i : i + 1] for x in inputs))
        np.testing.assert_allclose(alone, logits[i : i + 1], rtol=0, atol=1e-5)
    shares = runtime.predict(*frames)
    np.testing.assert_allclose(shares, seen_runtime.softmax(logits), rtol=0, atol=1e-5)


def test_auto_takes_what_is_there(bundle):
    pytest.importorskip("onnxruntime")
    assert seen_runtime.load(str(bundle)).backend == "onnxruntime"


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
