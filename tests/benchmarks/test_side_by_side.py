"""The network's benchmarks measure what they say; no test judges the rates."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks.clips import draw_batches
from seen_jax.data.windows import Setting
from seen_jax.errors import UserError
from seen_jax.evaluation.restored import open_batches, restore
from seen_jax.export.convert import torch_from_variables
from tests import helpers

torch = pytest.importorskip("torch", reason="PyTorch is not in the ordinary install")
from seen_jax.benchmarks import forward, side_by_side, step  # noqa: E402
from seen_jax.benchmarks.arguments import HERE, PLAIN  # noqa: E402

torch.set_num_threads(1)  # threads that wait for a busy processor cost more than one

FAST = ["--rounds", "1", "--seconds", "0.01", "--batch_size", "2", "--setting", "E1_S0"]


@pytest.mark.parametrize("command", ["step", "forward"])
def test_the_commands(command, capsys):
    """Each compares both programs in float64; `step --clips` is in test_scale.py."""
    assert benchmarks.main([command, *FAST, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["what"] == f"{command}, E1, batch 2, random images and weights"
    assert list(result["calls"]) == [PLAIN, HERE]


def test_latency_is_of_one_window(monkeypatch, capsys):
    def make_calls(weights, batches, args):
        assert {len(x) for x in batches.batch(0).values()} == {1}
        return {PLAIN: lambda: np.zeros(1), HERE: lambda: np.zeros(1)}

    monkeypatch.setattr(forward, "make_calls", make_calls)
    assert benchmarks.main(["latency", "--rounds", "2", "--seconds", "0"]) == 0
    assert capsys.readouterr().out.startswith("latency, E4, batch 1, ")


@pytest.mark.parametrize("command", ["step", "forward"])
def test_the_weights_and_windows_of_a_run(command, tmp_path, monkeypatch, capsys):
    folder = helpers.write_run(tmp_path, {3: 0.5}, num_event_frames=1, skip=0)
    given = {}

    def make_calls(weights, batches, args):
        given.update(weights=weights, batch=batches.batch(0))
        return {PLAIN: lambda: np.zeros(1), HERE: lambda: np.zeros(1)}

    module = {"step": step, "forward": forward}[command]
    monkeypatch.setattr(module, "make_calls", make_calls)
    assert benchmarks.main([command, *FAST, "--workdir", str(folder)]) == 0
    assert capsys.readouterr().out.startswith(f"{command}, E1, batch 2, {folder}, ")
    restored = restore(folder)
    expected = torch_from_variables(restored.variables)
    assert given["weights"].keys() == expected.keys()
    for name, x in expected.items():
        np.testing.assert_array_equal(given["weights"][name], x)
    clips = open_batches(restored, "train").clips
    assert set(given["batch"]["clip"]) <= set(range(len(clips)))
    with pytest.raises(UserError, match="clips: expected 0 with a workdir"):
        benchmarks.main(["step", *FAST, "--workdir", str(folder), "--clips", "3"])


def test_another_function_is_an_error(monkeypatch):
    def make_calls(weights, batches, args):
        assert weights["fc1.weight"].dtype == np.float64
        assert (args.precision, args.batch_size) == ("float32", 32)
        return {PLAIN: lambda: np.array(1.0), HERE: lambda: np.array(1.00001)}

    weights = {"fc1.weight": np.zeros(1, np.float32)}
    monkeypatch.setattr(side_by_side, "start", lambda args: (weights, None))
    args = argparse.Namespace(
        batch_size=64, precision="bfloat16", setting=Setting(1, 0)
    )
    with pytest.raises(RuntimeError, match=r"JAX in float64 returned 1.00001, plain"):
        side_by_side.check_same(args, make_calls)


def test_few_frames_stand_for_those_of_many_clips():
    batches = draw_batches(30, Setting(2, 1), 8, num_frames=70)
    frames = step.place_tiled(batches.images, jax.local_devices()[:1])
    batch, rows = step.first_batch(batches), batches.rows(0, 1)
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
    plain, here = (" ".join(line.split()) for line in (plain, here))
    ms = "400.0 +- 62.5 (250.0) 1,000.0 +- 0.0 (1,000.0)"
    assert plain == f"{PLAIN} {ms} 1.00*"
    assert here == f"{HERE} 200.0 +- 0.0 (200.0) 200.0 +- 0.0 (200.0) 2.00*"
    assert warning.endswith(
        "for plain PyTorch (spread by the clock). Stop other programs and measure again"
    )
    assert verdict == "JAX is 2.00* times faster than plain PyTorch"


def test_runs_where_tfds_and_grain_are_absent():
    script = (
        "import sys\n"
        "for name in ('tensorflow_datasets', 'grain', 'tensorflow'):\n"
        "    sys.modules[name] = None\n"
        "from seen_jax.benchmarks import epochs, forward, scale, step\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script], cwd=root, check=True)
