"""The program for the board: playing in time, and the camera of the Jetson page."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from seen_jax.events import accumulate
from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import UserError, replay
from tests.runtime.bundles import grey, plain_runtime, watched_runtime
from tests.samples import random_events

PERIOD_S = 1 / 32  # exact, and so are its multiples


def clip(numbers):
    return {n: grey(n) for n in numbers}


def play(runtime, count, rate):
    """Replays a clip without gaps; returns numbers with latencies, and the result."""
    shown = []

    def show(prediction, latency_ms):
        shown.append((prediction.number, latency_ms))

    return shown, replay(runtime, clip(range(count)), clip(range(count)), rate, show)


def test_replay_in_time(clock):
    def run():
        clock.now += PERIOD_S / 2

    runtime, windows = watched_runtime(run)
    shown, result = play(runtime, 40, 32)
    assert shown == [(n, 15.625) for n in range(12, 40)]
    ring = dict(received=40, dropped=0, late=0, too_late=0, ahead=0, restarts=0)
    assert result == {
        **dict(frames=40, predicted=28, missed=0, filling=12, incomplete=0, waiting=0),
        "gaps": [],
        "events": ring,
        "intensities": ring,
        "latency_ms": {"p50": 15.625, "p95": 15.625, "p99": 15.625},
    }
    # 3 windows before the clock begins, then 39 periods to the last frame.
    assert clock.now == 3 * PERIOD_S / 2 + 39 * PERIOD_S + PERIOD_S / 2
    assert len(windows) == 3 + 28


def test_the_rate_is_the_bundles(clock):
    runtime, _ = watched_runtime()
    runtime.manifest["frames_per_s"] = 16
    replay(runtime, clip(range(20)), clip(range(20)))
    assert clock.now == 19 / 16


def test_replay_that_falls_behind_predicts_the_newest(clock):
    # A window takes 1.5 periods. Frame 12 is done at 13.5, frame 13 at 15; then 14 and
    # 15 are due and 15 is predicted, done at 16.5, then 16, done at 18, and so on.
    def run():
        clock.now += 1.5 * PERIOD_S

    runtime, windows = watched_runtime(run)
    shown, result = play(runtime, 24, 32)
    pairs = [(n, 1.5) for n in (12, 15, 18, 21)] + [(n, 2) for n in (13, 16, 19, 22)]
    assert [(n, ms / 1000 / PERIOD_S) for n, ms in shown] == [*sorted(pairs), (23, 2.5)]
    assert (result["predicted"], result["missed"]) == (9, 3)
    assert result["events"]["received"] == 24  # every frame is taken
    assert windows[-1] == ([11, 15, 19, 23], [11, 23])


def test_replay_without_waiting(clock):
    def run():
        clock.now += 1

    shown, result = play(watched_runtime(run)[0], 20, 0)
    assert shown == [(n, 1000) for n in range(12, 20)]
    assert result["missed"] == 0
    assert result["latency_ms"] == {"p50": 1000, "p95": 1000, "p99": 1000}
    assert clock.now == 3 + 8


def test_replay_with_gaps(clock):
    events, intensities = clip(range(5, 45)), clip(range(5, 45))
    del events[25], intensities[25], events[30]
    result = replay(plain_runtime(), events, intensities)
    assert result["frames"] == 39
    names = ("predicted", "missed", "filling", "incomplete", "waiting")
    assert sum(result[name] for name in names) == 39
    # Without 25: 29, 33, 37; without 30: 34, 38, 42, and 30 itself waits. 25 is not
    # there at all.
    assert [result[name] for name in names] == [20, 0, 12, 6, 1]
    assert result["gaps"] == ["event frame 25", "event frame 30", "intensity frame 25"]
    # 20 s / 30 from frame 5 to 44 with 25 in its place in time
    np.testing.assert_allclose(clock.now, 39 / 30)


@pytest.mark.parametrize("rate", ["30", 10**400, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none(rate):
    words = "^rate: expected 0 or more frames per second, got .*; try 30"
    with pytest.raises(UserError, match=words):
        replay(plain_runtime(), clip([0]), clip([0]), rate)


def test_the_camera_of_the_jetson_page(monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "launch" / "jetson.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    events = random_events(20_000, 600_000, 260, 346)
    periods = dict(start_us=int(events.t[0]), period_us=33_333, num_periods=18)
    whole = accumulate(events, **periods, shape=(260, 346), pixel="last")
    number = (events.t - periods["start_us"]) // periods["period_us"]
    image = np.zeros((260, 346), np.uint8)
    taken = []

    def cameras():
        for n in range(18):
            here = number == n
            yield n, events.x[here], events.y[here], events.p[here], image

    def load(bundle):
        runtime = plain_runtime()
        prepare = runtime.prepare
        runtime.prepare = lambda kind, x: taken.append((kind, x)) or prepare(kind, x)
        return runtime

    monkeypatch.setattr(seen_runtime, "load", load)
    monkeypatch.setitem(sys.modules, "seen_runtime", seen_runtime)
    exec(code, {"cameras": cameras})
    got = [x for kind, x in taken if kind == "event"]
    np.testing.assert_array_equal(got, whole[:, 40:220, 83:263])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [
        *([str(n), "lacks"] for n in range(12)),
        *([str(n), "happiness"] for n in range(12, 18)),
    ]
