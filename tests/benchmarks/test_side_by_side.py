"""The network's benchmarks measure what they say; no test judges the rates."""

import json

import jax
import numpy as np
import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks.clips import draw_batches
from seen_jax.data.windows import Setting
from seen_jax.errors import UserError
from seen_jax.evaluation.restored import open_batches, restore
from seen_jax.export.convert import torch_from_variables
from tests.helpers import run_without, write_run

torch = pytest.importorskip("torch", reason="PyTorch is not in the ordinary install")
from seen_jax.benchmarks import side_by_side  # noqa: E402
from seen_jax.benchmarks.programs import HERE, PLAIN  # noqa: E402

torch.set_num_threads(1)  # threads that wait for a busy processor cost more than one

FAST = ["--rounds=1", "--seconds=0.01", "--setting=E1_S0"]


@pytest.mark.parametrize("command, size", [("step", 2), ("forward", 2), ("latency", 1)])
def test_the_commands(command, size, capsys):
    """Each compares both programs in float64; `step --clips` is in test_scale.py."""
    options = [*FAST, *["--batch_size=2"] * (size == 2), "--json"]
    assert benchmarks.main([command, *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["what"] == f"{command}, E1, batch {size}, random images and weights"
    assert list(result["calls"]) == [PLAIN, HERE]


@pytest.fixture
def given(monkeypatch):
    """What the calls were made of: weights, batches and arguments."""
    given = []

    def make_calls(*args):
        given[:] = args
        return {PLAIN: lambda: np.array(1.0), HERE: lambda: np.array(1.00001)}

    monkeypatch.setattr(side_by_side, "make_calls", make_calls)
    return given


def test_the_weights_and_windows_of_a_run(given, tmp_path, monkeypatch):
    folder = write_run(tmp_path, {3: 0.5}, num_event_frames=1, skip=0)
    monkeypatch.setattr(side_by_side, "check_same", lambda args: None)
    options = ["step", *FAST, "--batch_size=2", f"--workdir={folder}"]
    assert benchmarks.main(options) == 0
    weights, batches, _ = given
    restored = restore(folder)
    expected = torch_from_variables(restored.variables)
    assert weights.keys() == expected.keys()
    for name, x in expected.items():
        np.testing.assert_array_equal(weights[name], x)
    assert batches.clips.names == open_batches(restored, "train").clips.names
    with pytest.raises(UserError, match="clips: expected 0 with a workdir"):
        benchmarks.main([*options, "--clips", "3"])


def test_another_function_is_an_error(given):
    options = ["forward", "--batch_size=64", "--precision=bfloat16", *FAST]
    with pytest.raises(RuntimeError, match=r"JAX in float64 returned 1.00001, plain"):
        benchmarks.main(options)
    weights, batches, args = given
    assert weights["fc1.weight"].dtype == np.float64
    assert (args.precision, batches.batch_size) == ("float32", 32)


def test_few_frames_stand_for_those_of_many_clips():
    batches = draw_batches(30, Setting(2, 1), 8, num_frames=70)
    frames = side_by_side.place_tiled(batches.images, jax.local_devices()[:1])
    batch, rows = side_by_side.first_batch(batches), batches.rows(0, 1)
    num_frames = frames["event_frames"].shape[1]
    assert 0 <= num_frames - batches.clips.num_frames.sum() < 70
    for kind in ("event", "intensity"):
        shown = frames[f"{kind}_frames"][0][rows[f"{kind}_rows"][0]]
        np.testing.assert_array_equal(shown, batch[f"{kind}_frames"])
    assert len(set(rows["event_rows"][0, :, 0] // 70)) > 1  # of about 20 copies


def test_text_by_hand():
    # 2, 2.5 and 4 calls a second take 500, 400 and 250 ms: quartiles 450 and 325.
    calls = {
        PLAIN: {"per_s": [2.0, 2.5, 4.0], "per_core_s": [1.0] * 3},
        HERE: {"per_s": [5.0, 5.0, 5.0], "per_core_s": [5.0] * 3},
    }
    result = {"what": "step", "machine": "none", "versions": {"jax": 1, "torch": 2}}
    text = side_by_side.to_text(result | {"calls": calls, "ratio": 2.0})
    *_, plain, here, warning, verdict = text.splitlines()
    ms = "400.0 +- 62.5 (250.0) 1,000.0 +- 0.0 (1,000.0)"
    assert plain.split() == f"{PLAIN} {ms} 1.00*".split()
    ms = "200.0 +- 0.0 (200.0) 200.0 +- 0.0 (200.0)"
    assert here.split() == f"{HERE} {ms} 2.00*".split()
    assert " for plain PyTorch (spread by the clock). " in warning
    assert verdict == "JAX is 2.00* times faster than plain PyTorch"


def test_runs_where_tfds_and_grain_are_absent():
    code = "from seen_jax.benchmarks import epochs, scale, side_by_side"
    run_without("tensorflow_datasets grain tensorflow", code)
