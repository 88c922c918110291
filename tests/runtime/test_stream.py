"""The program for the board: rings, windows, and playing in time.

Every frame is of one grey level, its number, by which the windows are told apart.
"""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from seen_jax import see
from seen_jax.events import accumulate
from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import Ring, Runtime, Stream, replay
from tests.runtime.bundles import make_manifest
from tests.samples import random_events

SPAN = 13  # of E4_S3


def plain_runtime(run=None, **changes):
    """A runtime without a network, and the grey levels that each window brought."""
    manifest, seen = make_manifest(**changes), []

    def levels(x, kind):
        mean, std = manifest[f"{kind}_mean"], manifest[f"{kind}_std"]
        found = np.rint(255 * (x * std + mean)).astype(int)
        assert (found == found[..., :1, :1]).all()
        return found[0, :, 0, 0].tolist()

    def compute(event_frames, intensity_frames):
        pair = levels(event_frames, "event"), levels(intensity_frames, "intensity")
        seen.append(pair)
        if run:
            run()
        return np.eye(7, dtype=np.float32)[None, pair[0][-1] % 7] * 3

    return Runtime(manifest, "plain", "plain Python", compute), seen


def grey(level, size=90):
    """An image of one grey level, by which a window's frames are told apart."""
    return np.full((size, size), int(level) % 256, np.uint8)


def push(stream, events=(), intensities=()):
    for n in events:
        stream.push_event(n, grey(n))
    for n in intensities:
        stream.push_intensity(n, grey(n))


def test_every_frame_gives_a_prediction_once_a_window_is_there():
    runtime, seen = plain_runtime()
    stream, predictions = Stream(runtime), []
    assert stream.span == SPAN
    for n in range(60):
        push(stream, [n], [n])
        predictions.append(stream.predict())
        assert stream.predict() is None  # each number once
    assert predictions[: SPAN - 1] == [None] * 12
    # Skip 3: every fourth frame; the intensity frames of the first and the last.
    assert seen == [([n - 12, n - 8, n - 4, n], [n - 12, n]) for n in range(12, 60)]
    for n, prediction in enumerate(predictions[12:], 12):
        assert prediction.number == n
        assert prediction.emotion == see.EMOTIONS[n % 7]
        # exp(3) / (exp(3) + 6)
        np.testing.assert_allclose(prediction.probabilities[n % 7], 0.769987, rtol=1e-5)
        np.testing.assert_allclose(prediction.probabilities.sum(), 1, rtol=1e-6)
    assert stream.counts == {
        "predicted": 48,
        "filling": 12,
        "incomplete": 0,
        "waiting": 60,
    }
    for ring in (stream.events, stream.intensities):
        assert ring.counts == {
            "received": 60,
            "dropped": 0,
            "late": 0,
            "too_late": 0,
            "ahead": 0,
        }


def test_a_dropped_frame_is_reported_and_nothing_moves_into_its_place():
    runtime, seen = plain_runtime()
    stream, missing = Stream(runtime), {}
    for n in range(40):
        push(stream, [n] * (n != 20), [n] * (n != 30))
        stream.predict()
        missing[n] = stream.missing
    # Event frame 20 is wanted at 20, 24, 28 and 32; intensity frame 30 at 30 and 42.
    last = [pair[0][-1] for pair in seen]
    assert last == [n for n in range(12, 40) if n not in (20, 24, 28, 32, 30)]
    assert [pair[0] for pair in seen] == [[n - 12, n - 8, n - 4, n] for n in last]
    assert {n: x for n, x in missing.items() if n > 11 and x} == {
        20: ["event frame 20"],
        24: ["event frame 20"],
        28: ["event frame 20"],
        30: ["intensity frame 30"],
        32: ["event frame 20"],
    }
    # At 20 and 30 one kind has brought nothing newer.
    counts = {"predicted": 23, "filling": 12, "incomplete": 3, "waiting": 2}
    assert stream.counts == counts
    assert stream.events.counts["dropped"] == stream.intensities.counts["dropped"] == 1


def test_a_gap_longer_than_the_ring():
    runtime, seen = plain_runtime()
    stream = Stream(runtime)
    numbers = [*range(20), *range(100, 120)]
    for n in numbers:
        push(stream, [n], [n])
        stream.predict()
    # 100 is set aside, until 101 shows that the frames between were dropped.
    assert [pair[0][-1] for pair in seen] == [*range(12, 20), *range(113, 120)]
    assert stream.counts["incomplete"] == 12 and stream.counts["waiting"] == 1
    assert stream.events.counts["dropped"] == 81
    assert stream.events.counts["ahead"] == 1


@pytest.mark.parametrize("at", [0, 1, 50])
@pytest.mark.parametrize("wild", [10**9, 500])
def test_one_wild_number_drowns_nothing_that_follows(at, wild):
    runtime, seen = plain_runtime()
    stream = Stream(runtime)
    for n in range(200):
        push(stream, [wild if n == at else n], [n])
        stream.predict()
    assert stream.events.counts["ahead"] == 1
    assert stream.events.counts["too_late"] == 0
    lost = {at + x for x in (0, 4, 8, 12)}  # windows that want this event frame
    assert [pair[0][-1] for pair in seen] == [
        n for n in range(12, 200) if n not in lost
    ]


@pytest.mark.parametrize("rate", ["30", None, 10**400, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none(rate):
    runtime, _ = plain_runtime()
    with pytest.raises(
        seen_runtime.UserError, match=r"^rate: expected 0 or more .*; try"
    ):
        replay(runtime, {0: grey(0)}, {0: grey(0)}, rate)


def test_a_late_frame_takes_its_place():
    runtime, seen = plain_runtime()
    stream = Stream(runtime)
    push(stream, [n for n in range(16) if n != 8], range(17))
    assert stream.events.counts["dropped"] == 1
    push(stream, [8])
    counts = {"received": 16, "dropped": 0, "late": 1, "too_late": 0, "ahead": 0}
    assert stream.events.counts == counts
    push(stream, [16])
    assert stream.predict().number == 16
    assert seen == [([4, 8, 12, 16], [4, 16])]


def test_a_late_frame_before_the_first():
    ring = Ring("event", 26, np.float32)
    for n in (5, 2):
        ring.push(n, grey(n))
    # 3 and 4 have not come.
    assert ring.counts == {
        "received": 2,
        "dropped": 2,
        "late": 1,
        "too_late": 0,
        "ahead": 0,
    }
    assert (ring.first, ring.newest) == (2, 5)
    assert ring.missing([2, 3, 4, 5]) == [3, 4]


def test_a_frame_that_comes_too_late_changes_nothing():
    ring = Ring("event", 26, np.float32)
    ring.push(0, grey(0))
    ring.push(30, grey(30))
    for _ in range(2):  # nothing is known any more of what had this place
        ring.push(4, grey(99))
    assert ring.counts == {
        "received": 4,
        "dropped": 29,
        "late": 0,
        "too_late": 2,
        "ahead": 0,
    }
    assert ring.missing([4, 30]) == [4]
    np.testing.assert_array_equal(ring.take([30])[0, 0], grey(30))
    ring.push(5, grey(5))  # 25 behind: its place is there
    assert ring.counts == {
        "received": 5,
        "dropped": 28,
        "late": 1,
        "too_late": 2,
        "ahead": 0,
    }


def test_a_place_without_its_frame_is_empty_whatever_it_held():
    ring = Ring("event", 4, np.float32)
    for n in (0, 1, 2, 3, 7):
        ring.push(n, grey(n))
    assert ring.missing([1, 4, 5, 6, 7, 8, -1]) == [4, 5, 6, 8, -1]
    taken = ring.take([7])
    ring.push(11, grey(11))  # the same place
    assert taken[0, 0, 0, 0] == 7
    assert ring.missing([7, 11]) == [7]


@pytest.mark.parametrize("lag", [1, 5, 13])
def test_one_kind_may_come_up_to_a_window_after_the_other(lag):
    for first in (0, 1):
        runtime, seen = plain_runtime()
        stream = Stream(runtime)
        for n in range(60):
            kinds = [[n], [n - lag] * (n >= lag)]
            push(stream, kinds[first], kinds[1 - first])
            stream.predict()
        assert [pair[0][-1] for pair in seen] == list(range(12, 60 - lag))
        assert stream.counts["waiting"] == lag
        assert stream.counts["incomplete"] == 0


def test_a_camera_that_begins_again_is_not_mixed_with_what_was():
    runtime, _ = plain_runtime()
    stream = Stream(runtime)
    push(stream, range(100), range(100))
    stream.predict()
    for n in range(40):
        push(stream, [n], [n])
        assert stream.predict() is None
    assert stream.events.counts["too_late"] == 40
    assert stream.missing == ["event frame 100"]
    stream = Stream(runtime)
    push(stream, range(13), range(13))
    assert stream.predict().number == 12


def test_random_streams_against_a_plain_account():
    rng = np.random.default_rng(0)
    for _ in range(30):
        runtime, seen = plain_runtime()
        stream, held, asked = Stream(runtime), ({}, {}), -1
        begin = int(rng.integers(0, 10**6))
        numbers = begin + np.flatnonzero(rng.random(80) > 0.1)
        order = np.argsort(numbers + rng.integers(0, 6, len(numbers)), kind="stable")
        for n in numbers[order].tolist():
            for kind, kept in enumerate(held):
                if rng.random() > 0.1:
                    kept[n] = grey(n)
                    push(stream, *([[n], []], [[], [n]])[kind])
            window = seen[-1:]
            prediction = stream.predict()
            number = min(max(x, default=-1) for x in held)
            wanted = [number - 12, number - 8, number - 4, number]
            whole = all(x in held[0] for x in wanted)
            whole = whole and all(x in held[1] for x in (wanted[0], wanted[-1]))
            assert (prediction is not None) == (whole and number > asked)
            if prediction is not None:
                levels = [x % 256 for x in wanted]
                assert seen[-1] == (levels, [levels[0], levels[-1]])
            else:
                assert seen[-1:] == window
            asked = max(asked, number)
        for ring, kept in ((stream.events, held[0]), (stream.intensities, held[1])):
            assert ring.counts["received"] == len(kept)
            assert ring.counts["dropped"] == max(kept) - min(kept) + 1 - len(kept)
        assert sum(stream.counts.values()) == len(numbers)


BAD_FRAMES = [
    (-1, grey(1), "a whole number from 0 below .*, got -1"),
    (1.0, grey(1), "a whole number from 0 below .*, got 1.0"),
    ("1", grey(1), "a whole number from 0 below .*, got '1'"),
    (True, grey(1), "a whole number from 0 below .*, got True"),
    (2**64, grey(1), "a whole number from 0 below .*, got an integer of 65 bits"),
    (10**30, grey(1), "a whole number from 0 below .*, got an integer of 100 bits"),
    (None, grey(1), "a whole number from 0 below .*, got None"),
    (3, grey(1), "each number once, got it again"),
    (4, grey(1, 180), r"\(90, 90\) as before, got \(180, 180\)"),
    (4, grey(1)[:, :80], r"uint8 \(S, S\), grey levels, got uint8 \(90, 80\)"),
    (4, grey(1)[None], r"grey levels, got uint8 \(1, 90, 90\)"),
    (4, grey(1).astype(np.float32), r"grey levels, got float32 \(90, 90\)"),
    (4, grey(1).astype(np.int16), r"grey levels, got int16 \(90, 90\)"),
    (4, grey(1) > 0, r"grey levels, got bool \(90, 90\)"),
    (4, grey(1)[:0, :0], r"grey levels, got uint8 \(0, 0\)"),
    (4, None, r"grey levels, got object \(\)"),
]


@pytest.mark.parametrize("number, image, found", BAD_FRAMES)
def test_a_frame_that_is_refused_leaves_no_trace(number, image, found):
    runtime, seen = plain_runtime(num_event_frames=1, intensity_places=[0])
    stream = Stream(runtime)
    push(stream, [2, 3], [2, 3])
    before = stream.events.counts, stream.intensities.counts
    for kind in ("event", "intensity"):
        with pytest.raises(
            ValueError, match=rf"^{kind} frame .*: expected .*{found}.*;"
        ):
            getattr(stream, f"push_{kind}")(number, image)
    assert (stream.events.counts, stream.intensities.counts) == before
    assert stream.predict().number == 3
    push(stream, [4], [4])
    assert stream.predict().number == 4
    assert seen == [([3], [3]), ([4], [4])]


def test_a_first_frame_that_is_refused_does_not_set_the_size():
    ring = Ring("event", 4, np.float32)
    with pytest.raises(ValueError, match="got float64"):
        ring.push(0, np.zeros((180, 180)))
    assert ring.counts == {
        "received": 0,
        "dropped": 0,
        "late": 0,
        "too_late": 0,
        "ahead": 0,
    }
    ring.push(0, grey(0))


def test_numbers_may_be_of_numpy():
    runtime, seen = plain_runtime()
    stream = Stream(runtime)
    for n in np.arange(250, 256, dtype=np.uint8), np.arange(256, 263):
        push(stream, n, n)
    assert stream.predict().number == 262
    assert seen == [([250, 254, 2, 6], [250, 6])]
    assert type(stream.events.newest) is int


def test_nothing_yet():
    stream = Stream(plain_runtime()[0])
    assert stream.predict() is None
    assert stream.missing == ["event frame 0"]
    push(stream, [7])
    assert stream.predict() is None
    assert stream.missing == ["intensity frame 0"]
    assert stream.counts["waiting"] == 2


def test_logits_that_are_no_numbers():
    def run(*inputs):
        return np.full((1, 7), np.nan, np.float32)

    runtime = Runtime(make_manifest(), "plain", "plain Python", run)
    stream = Stream(runtime)
    push(stream, range(13), range(13))
    with pytest.raises(
        ValueError, match=r"Python: expected finite logits \(1, 7\), got"
    ):
        stream.predict()
    push(stream, [13], [13])
    with pytest.raises(ValueError, match="0 of them finite; choose another backend"):
        stream.predict()


def test_windows_of_the_wrong_form():
    runtime, seen = plain_runtime()
    frames = np.zeros((2, 4, 60, 60), np.uint8), np.zeros((2, 2, 50, 50), np.uint8)
    inputs = [np.zeros((1, n, 90, 90), np.float32) for n in (4, 2)]
    assert runtime.logits(*inputs).shape == (1, 7)
    for call, (events, pair), found in (
        (runtime.predict, (frames[0][0], frames[1][0]), r"uint8 \(4, 60, 60\)"),
        (runtime.predict, (frames[0][:, :3], frames[1]), r"uint8 \(2, 3, 60, 60\)"),
        (runtime.predict, (frames[0], frames[1][:1]), r"uint8 \(1, 2, 50, 50\)"),
        (runtime.predict, (frames[0][:0], frames[1][:0]), r"uint8 \(0, 4, 60, 60\)"),
        (runtime.predict, (frames[0], 3), r"int64 \(\)"),
        (runtime.predict, (frames[0][..., :50], frames[1]), r"uint8 \(60, 50\)"),
        (runtime.predict, inputs, r"float32 \(1, 4, 90, 90\)"),
        (runtime.logits, frames, r"uint8 \(2, 4, 60, 60\)"),
        (runtime.logits, (inputs[0], inputs[1].astype(float)), r"float64 \(1, 2, 90"),
        (runtime.logits, (inputs[0], inputs[1][..., :45, :45]), r"float32 \(1, 2, 45"),
    ):
        with pytest.raises(
            ValueError, match=f"^(event|intensity).*: expected .*{found}"
        ):
            call(events, pair)
    assert len(seen) == 1


def test_inputs_that_are_no_numbers():
    runtime, seen = plain_runtime()
    for bad in (np.nan, np.inf, -np.inf):
        for i, name in enumerate(seen_runtime.INPUTS):
            inputs = [np.zeros((1, n, 90, 90), np.float32) for n in (4, 2)]
            inputs[i][0, 1, 2, 3:5] = bad
            words = f"{name}: expected finite numbers, got 2 of {inputs[i].size} that"
            with pytest.raises(ValueError, match=words):
                runtime.logits(*inputs)
    assert not seen


def test_a_kind_that_is_not_known():
    runtime, _ = plain_runtime()
    with pytest.raises(ValueError, match="kind: expected event or intensity, got 'ev"):
        runtime.prepare("events", grey(1))


def clip(numbers):
    return {n: grey(n) for n in numbers}


PERIOD_S = 1 / 32  # exact, and so are its multiples


def test_replay_in_time(clock):
    def run():
        clock.now += PERIOD_S / 2

    runtime, seen = plain_runtime(run)
    shown = []
    result = replay(
        runtime, clip(range(40)), clip(range(40)), 32, lambda *x: shown.append(x)
    )
    assert [(p.number, ms) for p, ms in shown] == [(n, 15.625) for n in range(12, 40)]
    assert result == {
        "frames": 40,
        "predicted": 28,
        "missed": 0,
        "filling": 12,
        "incomplete": 0,
        "waiting": 0,
        "gaps": [],
        "events": {"received": 40, "dropped": 0, "late": 0, "too_late": 0, "ahead": 0},
        "intensities": {
            "received": 40,
            "dropped": 0,
            "late": 0,
            "too_late": 0,
            "ahead": 0,
        },
        "latency_ms": {"p50": 15.625, "p95": 15.625, "p99": 15.625},
    }
    # 3 windows before the clock begins, then 39 periods to the last frame.
    assert clock.now == 3 * PERIOD_S / 2 + 39 * PERIOD_S + PERIOD_S / 2
    assert len(seen) == 3 + 28


def test_replay_that_falls_behind_predicts_the_newest(clock):
    # A window takes 1.5 periods. Frame 12 is done at 13.5, frame 13 at 15; then 14 and
    # 15 are due and 15 is predicted, done at 16.5, then 16, done at 18, and so on.
    def run():
        clock.now += 1.5 * PERIOD_S

    runtime, seen = plain_runtime(run)
    shown = []
    result = replay(
        runtime, clip(range(24)), clip(range(24)), 32, lambda *x: shown.append(x)
    )
    periods = [(p.number, ms / 1000 / PERIOD_S) for p, ms in shown]
    assert periods == [
        (12, 1.5),
        (13, 2.0),
        (15, 1.5),
        (16, 2.0),
        (18, 1.5),
        (19, 2.0),
        (21, 1.5),
        (22, 2.0),
        (23, 2.5),
    ]
    assert result["missed"] == 3
    assert result["predicted"] == 9
    assert result["events"]["received"] == 24  # every frame is taken
    assert seen[-1] == ([11, 15, 19, 23], [11, 23])


def test_replay_without_waiting(clock):
    def run():
        clock.now += 1

    runtime, _ = plain_runtime(run)
    result = replay(runtime, clip(range(20)), clip(range(20)), 0)
    assert (result["predicted"], result["missed"]) == (8, 0)
    assert result["latency_ms"] == {"p50": 1000, "p95": 1000, "p99": 1000}
    assert clock.now == 3 + 8


def test_replay_with_gaps(clock):
    runtime, _ = plain_runtime()
    events, intensities = clip(range(5, 45)), clip(range(5, 45))
    del events[25], intensities[25], events[30]
    result = replay(runtime, events, intensities)
    assert result["frames"] == 39
    names = ("predicted", "missed", "filling", "incomplete", "waiting")
    assert sum(result[name] for name in names) == 39
    # Without 25: 29, 33, 37; without 30: 34, 38, 42, and 30 itself waits. 25 is not
    # there at all.
    assert [result[name] for name in names] == [20, 0, 12, 6, 1]
    assert result["gaps"] == [
        "event frame 25",
        "event frame 30",
        "intensity frame 25",
    ]
    # 20 s / 30 from frame 5 to 44 with 25 in its place in time
    np.testing.assert_allclose(clock.now, 39 / 30)


@pytest.mark.parametrize("rate", [-1, float("nan"), float("inf")])
def test_no_rate(rate):
    with pytest.raises(ValueError, match="rate: expected 0 or more frames per second"):
        replay(plain_runtime()[0], clip([0]), clip([0]), rate)


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
        runtime, _ = plain_runtime()
        prepare = runtime.prepare
        runtime.prepare = lambda kind, x: taken.append((kind, x)) or prepare(kind, x)
        runtime._run = lambda *x: np.eye(7, dtype=np.float32)[None, 3]
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
