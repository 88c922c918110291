"""The benchmarks of a bundle run, on windows of clips; no test judges the rates."""

import json
import os
import shutil

import numpy as np
import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks import runtime, spikes
from seen_jax.benchmarks.runtime import read_frames
from seen_jax.errors import UserError
from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import THRESHOLD
from tests.helpers import memory_records
from tests.runtime.bundles import THREE_LEVELS, write_manifest

FAST = ["--data_dir=here", "--rounds=2", "--seconds=0"]


@pytest.fixture
def records(tmp_path, monkeypatch):
    """Clips of 12, 13 and 20 frames; a window of E4_S3 spans 13."""
    records = memory_records(tmp_path, [12, 13, 20])
    monkeypatch.setattr(runtime, "open_records", lambda *args: records)
    return records


def test_windows_are_those_of_a_stream(bundle, records):
    clips = [read_frames(records[i]) for i in range(3)]
    windows = runtime.cut_windows(bundle, clips)
    assert len(windows) == 2 * runtime.NUM_CLIPS
    got = []
    loaded = seen_runtime.load(str(bundle), "native")
    loaded.logits = lambda *window: got.append(window) or np.zeros((1, 7), np.float32)
    stream = seen_runtime.Stream(loaded)
    for number, (event, intensity) in enumerate(zip(*clips[2], strict=True)):
        stream.push_event(number, event)
        stream.push_intensity(number, intensity)
        stream.predict()
    assert len(got) == 20 - 13 + 1
    for window, expected in ((windows[5], got[0]), (windows[9], got[-1])):
        for x, y in zip(window, expected, strict=True):
            np.testing.assert_array_equal(x, y)


def test_clips_that_are_too_short(bundle, records):
    words = "^data_dir: expected a clip of 13 frames or more, got only shorter ones; "
    with pytest.raises(UserError, match=words):
        runtime.cut_windows(bundle, [read_frames(records[0])])


def test_a_bundle_that_is_none(tmp_path, records):
    cores = os.sched_getaffinity(0)
    with pytest.raises(UserError, match="expected a bundle, with manifest"):
        benchmarks.main(["runtime", f"--bundle={tmp_path}", *FAST])
    assert os.sched_getaffinity(0) == cores


def test_a_torch_that_might_run_what_a_file_holds(bundle, monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    with pytest.raises(UserError, match=r"^torch: expected 2\.6 or newer"):
        runtime.plain_way(bundle, [])


def test_every_program_is_measured_on_one_core(bundle, records, capsys):
    cores = os.sched_getaffinity(0)
    every = ["native", "onnxruntime", "torch", "torchscript"]
    assert runtime.backends_of(bundle) == every
    options = ["--backends", "native", "torch", "--seconds_at_30=0.6", "--json"]
    assert benchmarks.main(["runtime", f"--bundle={bundle}", *FAST, *options]) == 0
    assert os.sched_getaffinity(0) == cores
    result = json.loads(capsys.readouterr().out)
    assert [*result["windows"]] == [runtime.PLAIN, "native", "torch"]
    assert result["held"]["native"]["frames"] == 18
    first, _, row, *_ = runtime.to_text(result).splitlines()
    assert first.startswith("windows of 3 simulated clips, one at a time on one core;")
    assert row.startswith(runtime.PLAIN)


def test_a_bundle_without_weights_for_torch(bundle, records, tmp_path, capsys):
    for name in ("seen.npz", "seen_spikes.c", "seen_runtime.py"):
        shutil.copy(bundle / name, tmp_path)
    write_manifest(tmp_path, **THREE_LEVELS)
    options = [f"--bundle={tmp_path}", *FAST, "--seconds_at_30=0.1"]
    assert benchmarks.main(["runtime", *options]) == 0
    _, _, row, *rest = capsys.readouterr().out.splitlines()
    assert row.startswith("native ") and " 1.00" in row
    assert not any(runtime.PLAIN in line for line in rest)
    assert rest[-1].endswith(" shorter than a window; 0 predicted, 0 missed")


def test_no_compiler(bundle, monkeypatch):
    monkeypatch.setenv("CC", "no-such-cc")
    words = "^the kernel: expected a C compiler, got .*no-such-cc.*; install gcc"
    with pytest.raises(UserError, match=words):
        spikes.make_kernels(bundle)


def test_spike_rates_go_from_none_to_half(bundle, records, capsys, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    plot = tmp_path / "plot.svg"
    options = [f"--bundle={bundle}", *FAST, "--json", f"--plot={plot}"]
    assert benchmarks.main(["spikes", *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [*result["dense_ms"]] == ["onnxruntime", runtime.PLAIN]
    rates = [x["rates"]["all"] for x in result["points"]]
    assert rates[0] == 0 and 0.3 < rates[-1] < 0.7 and rates == sorted(rates)
    assert all(len(x["ms"]) == 2 for x in result["points"])
    assert "<svg" in plot.read_text()


def test_rates_are_shares_of_the_neurons_that_are_read(bundle, folded):
    # Those of test_spikes_are_counted_where_they_are_read in tests/runtime.
    sizes = {"LIF1": 39**2 * 64, "LIF2": 17**2 * 256, "LIF3": 36 * 512}
    assert sizes == spikes.NEURONS

    class Kernel:
        lengths = 4, 2

        def __call__(self, fired):
            return None, np.array([[9, 4 * fired, 0, 4 * 36 * 512, 9, 9]])

    rates = spikes.spike_rates(Kernel(), [(0,), (2 * sizes["LIF1"],)])
    share = (sizes["LIF1"] + sizes["LIF3"]) / sum(sizes.values())
    assert rates == pytest.approx({"LIF1": 1, "LIF2": 0, "LIF3": 1, "all": share})


def test_the_kernel_is_that_of_the_bundle(bundle, records):
    inputs = runtime.cut_windows(bundle, [read_frames(records[2])])[0]
    loaded = seen_runtime.load(str(bundle), "native")
    logits, counts = spikes.make_kernels(bundle)[THRESHOLD](*inputs)
    np.testing.assert_array_equal(logits, loaded.logits(*inputs))
    np.testing.assert_array_equal(counts[:, :-1], loaded.spikes)
    np.testing.assert_array_equal(counts[:, -1], loaded.operations)


@pytest.mark.parametrize(
    "dense, rate", [(3.0, 0.15), (6.0, 0.35), (0.5, None), (9.0, None)]
)
def test_where_they_cross_by_hand(dense, rate):
    # From 2 to 4 ms between 10 and 20 %, from 4 to 8 between 20 and 50 %.
    points = [(0.0, 1.0), (0.1, 2.0), (0.2, 4.0), (0.5, 8.0)]
    assert spikes.crossing(points, dense) == pytest.approx(rate)


@pytest.mark.parametrize(
    "dense, words", [(9.0, "faster 3"), (5.0, "faster 2"), (0.5, "slower 3")]
)
def test_which_is_faster_where_they_do_not_cross(dense, words):
    points = [{"ms": [x]} for x in (8.0, 1.0, 2.0)]
    result = {"points": points, "dense_ms": {"onnxruntime": [dense]}, "crossing": None}
    word, count = words.split()
    end = f"the kernel is {word} than onnxruntime at {count} of 3 rates"
    assert spikes._verdict(result) == end


def test_text_and_figure_by_hand(tmp_path):
    rates = {"LIF1": 0.01, "LIF2": 0.02, "LIF3": 0.03, "all": 0.015}
    points = [
        {"threshold": 0.3, "rates": rates, "ms": [2.0, 2.0, 2.0]},
        {"threshold": 0.0, "rates": rates, "ms": [8.0, 10.0, 16.0]},
    ]
    result = {"what": "windows", "machine": "M", "points": points, "crossing": 0.123}
    result["threshold"] = THRESHOLD
    noisy = {"threshold 0": "spread by the clock"}
    result |= {"dense_ms": {"onnxruntime": [5.0, 5.0, 6.0]}, "noisy": noisy}
    text = [" ".join(line.split()) for line in spikes.to_text(result).splitlines()]
    assert text[0] == "windows, one at a time on one core; M"
    rates = "1.00 2.00 3.00 1.50"
    assert text[3] == f"threshold 0.3 {rates} 2.00 +- 0.00 (2.00) 2.50"
    # Quartiles 9 and 13 of a median of 10.
    assert text[4] == f"threshold 0 {rates} 10.00 +- 2.00 (8.00) 0.50*"
    assert text[5] == "onnxruntime 5.00 +- 0.25 (5.00)"
    assert text[6] == "the kernel is faster than onnxruntime until 12 % fire"
    assert " for threshold 0 (spread by the clock). " in text[7]
    spikes.plot(tmp_path / "plot.svg", result)
    drawn = (tmp_path / "plot.svg").read_text()  # its texts are comments, too
    assert all(f"<!-- {x} -->" in drawn for x in (" 12 %", "as trained", text[6]))
