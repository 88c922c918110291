"""What all commands share: arguments, errors in a line, rates and drawn clips."""

import sys
from types import SimpleNamespace

import pytest

from seen_jax import see
from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks import clips, timing
from seen_jax.errors import UserError


@pytest.mark.parametrize(
    "argument, error",
    [
        ("data --rounds=0", "--rounds: expected an integer of at least 1, got '0'"),
        ("data --rounds=x", "--rounds: expected an integer of at least 1, got 'x'"),
        ("epochs --epochs=1", "--epochs: expected an integer of at least 2, got '1'"),
        ("data --seconds=nan", "--seconds: expected seconds, 0 or more, got 'nan'"),
        ("data --seconds=-1", "--seconds: expected seconds, 0 or more, got '-1'"),
        ("spikes", "the following arguments are required: --bundle"),
        ("windows", "choose from"),
    ],
)
def test_arguments_that_do_not_fit(argument, error, capsys):
    with pytest.raises(SystemExit):
        benchmarks.main(argument.split())
    assert error in capsys.readouterr().err


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
    assert calls == [("a", 0.25), ("b", 0.25), *[("a", 1.0), ("b", 1.0)] * 2]
    assert rates["a"].pop("others")
    assert rates["a"] == {"per_s": [0.0, 0.0], "per_core_s": [0.0, 0.0]}


def test_what_others_work_is_measured(monkeypatch):
    """Of 100 steps a second; this process and its children are no others."""

    def answers(owner, name, *values):
        values = iter(values)
        monkeypatch.setattr(owner, name, lambda *_, **__: next(values))

    before, after = "cpu 100 0 50 7 7 1 2 3 9 9\ncpu0", "cpu 300 0 80 9 9 2 3 11 9 9\n"
    answers(timing.Path, "read_text", before, after)
    answers(timing.os, "sysconf", 100, 100)
    answers(timing.time, "perf_counter", 10.0, 14.0)
    # Asked for before others, at the start, at the end, and before others again.
    answers(timing.time, "process_time", 5.0, 5.0, 6.0, 6.0)
    ended = (
        SimpleNamespace(ru_utime=x, ru_stime=y) for x, y in [(0.25, 0.25), (0.5, 0.4)]
    )
    answers(timing.resource, "getrusage", *ended)
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
    # 1, 4 and 3 times as much; the medians are 20 and 10.
    assert timing.ratio([10.0, 20.0, 30.0], [10.0, 5.0, 10.0]) == 3.0


QUIET = [9.0, 10.0, 10.0, 10.0, 30.0]  # one disturbed round of five
NOISY = [7.0, 8.0, 10.0, 12.25, 13.0]  # quartiles 8 and 12.25: half is 2.125


@pytest.mark.parametrize(
    "rate, why",
    [
        ({"per_s": [8.0, 9.0, 10.0, 11.0, 12.0]}, None),  # half is 1, of 10
        ({"per_s": [8.0, 8.9, 10.0, 11.0, 12.0]}, "spread by the clock"),
        ({"per_s": [5.0, 50.0]}, None),  # too few
        ({"per_s": NOISY, "per_core_s": QUIET}, "spread by the clock"),
        ({"per_s": QUIET, "per_core_s": NOISY}, "spread in processor time"),
        ({"per_s": [9.0], "others": [0.09]}, None),
        ({"per_s": [9.0] * 5, "others": [0.11] * 5}, "others used 0.1 cores"),
        (
            {"per_s": NOISY, "others": [1.5] * 5},
            "spread by the clock, others used 1.5 cores",
        ),
    ],
)
def test_what_shows_a_busy_machine(rate, why):
    assert timing.noisy_ways({"a": rate}) == ({"a": why} if why else {})


@pytest.mark.parametrize("noisy", [True, False])
def test_a_table_of_synthetic_times(noisy):
    times = {"plain": NOISY if noisy else QUIET, "fast": [5.0] * 5, "slow": [20.0] * 5}
    rates = {name: {"per_s": [1000 / x for x in ms]} for name, ms in times.items()}
    _, *lines = timing.table(rates, {"per_s": "ms"}, "plain", "per_s", digits=1)
    plain = "10.0 +- 2.1 (7.0) 1.00*" if noisy else "10.0 +- 0.0 (9.0) 1.00"
    mark = "*" * noisy
    assert [" ".join(line.split()) for line in lines[:3]] == [
        f"plain {plain}",
        f"fast 5.0 +- 0.0 (5.0) 2.00{mark}",
        f"slow 20.0 +- 0.0 (20.0) 0.50{mark}",
    ]
    assert len(lines) == 3 + noisy
    start = "* WARNING, a busy machine: half the interquartile range is above 10% of "
    if noisy:
        assert lines[3].startswith(start)
        assert " for plain (spread by the clock). Stop other programs" in lines[3]


def test_drawn_clips_are_as_long_as_those_of_see():
    # The standard error of the mean is 15 / sqrt(2405) = 0.3.
    lengths = clips.draw_store(see.NUM_CLIPS, 0, num_frames=1).clips.num_frames
    assert lengths.min() >= 18 and lengths.max() <= 131
    assert abs(lengths.mean() - 53.5) < 1 and abs(lengths.std() - 15.2) < 1
    store = clips.draw_store(5, 0)
    assert len(store.event_frames) == store.clips.num_frames.sum()
