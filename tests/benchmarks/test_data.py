"""The data benchmark measures what it says; its rates are nobody's test."""

import json

import numpy as np
import pytest
from tests.data.memory import memory_records

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks import data, timing
from seen_jax.data.store import open_store
from seen_jax.data.windows import Setting

NUM_CLIPS = 5


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return memory_records(tmp_path_factory.mktemp("records"), [9] * NUM_CLIPS)


def test_a_repeated_store_has_the_same_windows_again(records):
    store = open_store(records)
    large = data.repeated(store, 12)
    assert len(large.records) == 15  # the next multiple of 5
    event_index = np.array([[1, 3, 5, 7]])
    expected = store.windows(np.array([2]), event_index)
    for clip in (2, 2 + NUM_CLIPS, 2 + 2 * NUM_CLIPS):
        found = large.windows(np.array([clip]), event_index)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_work_goes_on_where_it_was_left():
    run = timing.for_seconds(iter([3, 4, 5]))
    assert run(0) == 0
    with pytest.raises(StopIteration):
        run(60)


def test_reading_ahead_leaves_no_batch_half_made(records):
    batches = data.Batches(open_store(records), Setting(4, 1), 2, 0, "train")
    made, batch = [], batches.batch
    batches.batch = lambda number: made.append(number) or batch(number)
    run = data.read_ahead(batches)
    assert run(0.5) == 4 * 2  # at first 8 batches of 2 a second
    assert sorted(made) == [0, 1, 2, 3]


def test_rates_are_units_by_seconds_in_turn():
    calls = []

    def way(name):
        def run(seconds):
            calls.append((name, seconds))
            sum(range(1000))  # some processor time
            return 0

        return run

    rates = timing.alternate({"a": way("a"), "b": way("b")}, 2, 1.0)
    assert calls[2:] == [("a", 1.0), ("b", 1.0), ("a", 1.0), ("b", 1.0)]
    assert rates["a"] == timing.Rate((0.0, 0.0), (0.0, 0.0))


def test_spread_is_half_the_middle_half():
    # Quartiles of 1, 2, 3, 4, 100 are 2 and 4.
    assert timing.spread((1.0, 100.0, 3.0, 2.0, 4.0)) == (4 - 2) / 2


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_command_measures_every_way(
    records, monkeypatch, capsys, tmp_path, options
):
    monkeypatch.setattr(data, "open_records", lambda data_dir, split: records)
    plot = tmp_path / "plot.png"
    fast = ["--rounds=2", "--seconds=0.02", "--clips=9", f"--plot={plot}"]
    assert benchmarks.main(["data", "--data_dir", "here", *fast, *options]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    text = capsys.readouterr().out
    if options:
        result = json.loads(text)
        assert list(result["windows"])[-1] == data.PLAIN
        assert len(result["windows"]["store"]["per_s"]) == 2
    else:
        assert text.splitlines()[0].startswith(str(Setting(4, 3)))
        assert text.splitlines()[-1].split()[-1] == "1.0"


def test_an_unknown_command_lists_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        benchmarks.main(["windows"])
    assert "choose from" in capsys.readouterr().err
