"""The data benchmark runs every way to load windows; no test judges the rates."""

import json

import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks import data, timing
from seen_jax.benchmarks.clips import draw_batches
from seen_jax.data.windows import Setting
from tests.helpers import memory_records


def test_reading_ahead_leaves_no_batch_half_made():
    batches = draw_batches(5, Setting(4, 1), 2)
    numbers, batch = [], batches.batch
    batches.batch = lambda number: numbers.append(number) or batch(number)
    run = data.read_ahead(batches)
    assert run(0.5) == 4 * 2  # at first 8 batches of 2 a second
    assert sorted(numbers) == [0, 1, 2, 3]


@pytest.mark.parametrize("num_clips", [0, 9])
def test_the_command_measures_every_way(num_clips, monkeypatch, capsys, tmp_path):
    records = memory_records(tmp_path, [9] * 5)
    monkeypatch.setattr(data, "open_records", lambda *args: records)
    fast = ["--rounds=2", "--seconds=0.02", f"--clips={num_clips}"]
    assert benchmarks.main(["data", "--data_dir=here", *fast, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["windows"])[-1] == data.PLAIN
    assert len(result["windows"]["store"]["per_s"]) == 2
    lines = data.to_text(result).splitlines()
    assert lines[0].startswith("E4_S3, batch 32, ")
    (plain,) = (line for line in lines if line.startswith(data.PLAIN))
    assert plain.split()[-1].rstrip(timing.MARK) == "1.00"  # over itself
