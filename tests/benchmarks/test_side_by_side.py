"""The network's benchmarks measure what they say; their rates are nobody's test."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks.timing import Rate

torch = pytest.importorskip("torch", reason="PyTorch is not in the ordinary install")
from seen_jax.benchmarks import forward, side_by_side, step  # noqa: E402
from seen_jax.benchmarks.side_by_side import HERE, PLAIN  # noqa: E402

torch.set_num_threads(1)  # threads that wait for a busy processor cost more than one

FAST = ["--rounds", "1", "--seconds", "0.01", "--batch_size", "2", "--setting", "E1_S0"]


@pytest.mark.parametrize(
    "command, options", [("step", []), ("step", ["--clips", "3"]), ("forward", [])]
)
def test_both_programs_come_to_the_same(command, options, capsys, tmp_path):
    plot = tmp_path / "plot.png"
    arguments = [command, *FAST, *options, "--json", "--plot", str(plot)]
    assert benchmarks.main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["what"] == f"{command}, E1, batch 2"
    assert list(result["calls"]) == [PLAIN, HERE]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_latency_is_of_one_window(monkeypatch, capsys):
    def make_calls(weights, batch, args):
        assert {name: len(x) for name, x in batch.items()} == dict.fromkeys(batch, 1)
        return {PLAIN: lambda: np.zeros(1), HERE: lambda: np.zeros(1)}

    monkeypatch.setattr(forward, "make_calls", make_calls)
    assert benchmarks.main(["latency", "--rounds", "2", "--seconds", "0"]) == 0
    assert capsys.readouterr().out.startswith("latency, E4, batch 1, ")


def test_other_results_are_an_error():
    calls = {PLAIN: lambda: np.array(1.0), HERE: lambda: np.array(1.01)}
    with pytest.raises(ValueError, match=r"JAX: expected 1.0, got 1.01"):
        side_by_side.measure(calls, 1, 0.0)


def test_table_by_hand():
    # 2 and 4 calls a second take 500 and 250 ms: median 375, spread 125 / 2 / 2.
    rates = {PLAIN: Rate((2.0, 4.0), (1.0, 1.0)), HERE: Rate((6.0, 6.0), (5.0, 5.0))}
    _, plain, here, verdict = side_by_side.table(rates).splitlines()
    assert plain.split()[2:] == ["375.0", "+-", "62.5", "1000.0", "+-", "0.0"]
    assert here.split() == [HERE, "166.7", "+-", "0.0", "200.0", "+-", "0.0"]
    assert verdict == "JAX is 2.00 times faster than plain PyTorch"  # 6 / 3


def test_steps_train():
    batch = side_by_side.draw_batch(1, 2)
    call = step.plain_call(side_by_side.draw_weights(), batch)
    assert call() > call() > call()


def test_runs_where_tfds_and_grain_are_absent():
    script = (
        "import sys\n"
        "for name in ('tensorflow_datasets', 'grain', 'tensorflow'):\n"
        "    sys.modules[name] = None\n"
        "import seen_jax.benchmarks.scale, seen_jax.benchmarks.epochs\n"
        "from seen_jax.benchmarks import __main__ as benchmarks\n"
        "import seen_jax.benchmarks.forward, seen_jax.benchmarks.latency\n"
        f"benchmarks.main(['step', *{FAST}])\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script], cwd=root, check=True)
