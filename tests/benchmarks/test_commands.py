"""What all commands share: arguments, errors in a line, rates and drawn clips."""

import argparse
import sys

import numpy as np
import pytest

from seen_jax import see
from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks import arguments, clips, timing
from seen_jax.data.windows import Setting
from seen_jax.errors import UserError


@pytest.mark.parametrize(
    "argument, error",
    [
        ("--rounds=0", "--rounds: expected an integer of at least 1, got '0'"),
        ("--rounds=x", "--rounds: expected an integer of at least 1, got 'x'"),
        ("--seconds=nan", "--seconds: expected seconds, 0 or more, got 'nan'"),
        ("--seconds=-1", "--seconds: expected seconds, 0 or more, got '-1'"),
    ],
)
def test_numbers_that_do_not_fit(argument, error, capsys):
    with pytest.raises(SystemExit):
        benchmarks.main(["data", argument])
    assert error in capsys.readouterr().err


def test_an_unknown_command_lists_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        benchmarks.main(["windows"])
    assert "choose from" in capsys.readouterr().err


@pytest.mark.parametrize("num_clips, batch_size", [(33, 32), (5, 4), (7, 1), (1, 8)])
def test_batches_of_one_window(num_clips, batch_size):
    words = f"^batch_size: .* got {num_clips} clips in batches of {batch_size}; choose"
    with pytest.raises(UserError, match=words):
        arguments.check_last_batch(num_clips, batch_size)
    arguments.check_last_batch(num_clips + 1, 32)


def test_a_package_that_is_not_installed(monkeypatch):
    for name in [x for x in sys.modules if x.startswith("seen_jax.benchmarks.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"^torch is not installed; run python -m pip"):
        benchmarks.main(["step"])


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
    assert rates["a"].pop("others")
    assert rates["a"] == {"per_s": [0.0, 0.0], "per_core_s": [0.0, 0.0]}


def test_what_others_work_is_measured(monkeypatch):
    """Of 100 steps a second; this process and its children are no others."""
    lines = iter(["cpu 100 0 50 7 7 1 2 3 9 9\ncpu0", "cpu 300 0 80 9 9 2 3 11 9 9\n"])
    monkeypatch.setattr(timing.Path, "read_text", lambda *a, **k: next(lines))
    monkeypatch.setattr(timing.os, "sysconf", lambda name: 100)
    monkeypatch.setattr(timing.time, "perf_counter", iter([10.0, 14.0]).__next__)
    # Asked for before others, at the start, at the end, and before others again.
    monkeypatch.setattr(
        timing.time, "process_time", iter([5.0, 5.0, 6.0, 6.0]).__next__
    )
    ended = iter([(0.25, 0.25), (0.5, 0.4)])

    def getrusage(who):
        assert who == timing.resource.RUSAGE_CHILDREN
        user_s, system_s = next(ended)
        return argparse.Namespace(ru_utime=user_s, ru_stime=system_s)

    monkeypatch.setattr(timing.resource, "getrusage", getrusage)
    # (300 + 80 + 2 + 3 + 11 - 156) / 100 = 2.4 s, less 1 s and 0.4 s, in 4 s.
    measured = timing._measure(lambda seconds: 2, 1.0)
    expected = {"per_s": 0.5, "per_core_s": 2.0, "others": 0.25}
    assert measured == pytest.approx(expected)


def test_calls_are_repeated_until_the_time_is_over_once_at_least(monkeypatch):
    clock, calls = iter([0.0, 0.5, 1.0, 10.0]), []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    run = timing.repeat(lambda: calls.append(1), units=3)
    # Until 0 + 1: called at 0, at 0.5, and no more at 1. With 0 s: once.
    assert (run(1), len(calls)) == (6, 2)
    monkeypatch.undo()
    assert (run(0), len(calls)) == (3, 3)


def test_median_half_the_middle_half_and_the_best():
    # Quartiles of 1, 2, 3, 4, 100 are 2 and 4.
    rounds = [4.0, 100.0, 3.0, 2.0, 1.0]
    assert timing.to_text(rounds, 1) == "3.0 +- 1.0 (1.0)"
    assert timing.to_text(rounds, 1, max) == "3.0 +- 1.0 (100.0)"
    assert timing.to_text([1234.5] * 3, 0) == "1,234 +- 0 (1,234)"
    assert timing.to_text([2.0, 4.0], 0) == "3 no spread (2)"


def test_a_ratio_is_of_the_rounds_one_by_one():
    # 1, 4 and 3 times as much; the medians are 20 and 10.
    assert timing.ratio([10.0, 20.0, 30.0], [10.0, 5.0, 10.0]) == 3.0
    assert timing.ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]) == 2.0


QUIET = [9.0, 10.0, 10.0, 10.0, 30.0]  # one disturbed round of five
NOISY = [7.0, 8.0, 10.0, 12.25, 13.0]  # quartiles 8 and 12.25: half is 2.125


def test_a_spread_above_a_tenth_of_the_median_is_noisy():
    rates = {
        "not": {"per_s": [8.0, 9.0, 10.0, 11.0, 12.0]},  # 1 of 10
        "is": {"per_s": [8.0, 8.9, 10.0, 11.0, 12.0]},
        "few": {"per_s": [5.0, 50.0]},
    }
    assert timing.noisy_ways(rates) == {"is": "spread by the clock"}


def test_noise_by_the_clock_counts_where_processor_time_is_even():
    rates = {
        "a": {"per_s": NOISY, "per_core_s": QUIET},
        "b": {"per_s": QUIET, "per_core_s": QUIET},
        "c": {"per_s": QUIET, "per_core_s": NOISY},
    }
    why = {"a": "spread by the clock", "c": "spread in processor time"}
    assert timing.noisy_ways(rates) == why
    *_, warning = timing.table(rates, {"per_core_s": "ms"}, "b", "per_core_s", 1)
    assert f" for a ({why['a']}); c ({why['c']}). " in warning


@pytest.mark.parametrize("rounds", [1, 5])
def test_others_are_told_where_their_load_is_steady(rounds):
    steady = {"per_s": [9.0] * rounds, "per_core_s": [9.0] * rounds}
    of = {"a": 0.09, "b": 0.11, "c": 1.5}
    rates = {name: steady | {"others": [x] * rounds} for name, x in of.items()}
    why = {"b": "others used 0.1 cores", "c": "others used 1.5 cores"}
    assert timing.noisy_ways(rates) == why


def test_a_busy_machine_is_told():
    assert timing.warnings({}) == []
    (line,) = timing.warnings({"b": "spread by the clock", "c": "x"})
    assert line.startswith("* WARNING, a busy machine: half the interquartile range is")
    assert " above 10% of the median, or others used more of a core, for b (" in line
    assert " for b (spread by the clock); c (x). " in line
    assert timing.marked(2.345, {"c": "x"}, "a", "b") == "2.35"
    assert timing.marked(2.345, {"b": "x"}, "a", "b", digits=1) == "2.3*"


@pytest.mark.parametrize("noisy", [True, False])
def test_a_table_of_synthetic_times(noisy):
    times = {"plain": NOISY if noisy else QUIET, "fast": [5.0] * 5, "slow": [20.0] * 5}
    rates = {name: {"per_s": [1000 / x for x in ms]} for name, ms in times.items()}
    _, *lines = timing.table(rates, {"per_s": "ms"}, "plain", "per_s", digits=1)
    assert len(lines) == (4 if noisy else 3)
    plain, fast, slow = (line.split() for line in lines[:3])
    spread, mark = ("2.1", "*") if noisy else ("0.0", "")
    assert plain == [
        "plain",
        "10.0",
        "+-",
        spread,
        f"({min(times['plain'])})",
        "1.00" + mark,
    ]
    assert fast == ["fast", "5.0", "+-", "0.0", "(5.0)", "2.00" + mark]
    assert slow == ["slow", "20.0", "+-", "0.0", "(20.0)", "0.50" + mark]


def test_the_load_is_told_with_the_machine(monkeypatch):
    monkeypatch.setattr(timing, "LOAD", 1.234)
    assert timing.machine().endswith(", load 1.23 at start")


def test_drawn_clips_are_as_long_as_those_of_see():
    # The standard error of the mean is 15 / sqrt(2405) = 0.3.
    lengths = clips.draw_clips(see.NUM_CLIPS, seed=0).num_frames
    assert lengths.min() >= 18 and lengths.max() <= 131
    assert abs(lengths.mean() - 53.5) < 1 and abs(lengths.std() - 15.2) < 1


def test_drawn_windows_are_rows_of_their_clips():
    batches = clips.draw_batches(5, Setting(4, 1), 3)
    store, batch, rows = batches.images, batches.batch(1), batches.rows(1, 2)
    assert len(store.event_frames) == store.clips.num_frames.sum()
    frames = store.event_frames[rows["event_rows"][0]]
    np.testing.assert_array_equal(batch["event_frames"], frames)
    starts = store.clips.first_rows[batch["clip"]][:, None]
    ends = starts + store.clips.num_frames[batch["clip"]][:, None]
    assert (starts <= rows["event_rows"][0]).all()
    assert (rows["event_rows"][0] < ends).all()
