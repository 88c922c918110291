"""The program for the board: rings and windows.

Every frame is of one grey level, its number, by which the windows are told apart.
"""

import numpy as np
import pytest

from seen_jax import see
from seen_jax.runtime.seen_runtime import Ring, Stream, UserError
from tests.runtime.bundles import grey, watched_runtime

SPAN = 13  # of E4_S3
COUNTS = dict(received=0, dropped=0, late=0, too_late=0, ahead=0, restarts=0)


@pytest.fixture
def watched():
    """A stream, and the levels of the windows that it predicted."""
    runtime, windows = watched_runtime()
    return Stream(runtime), windows


@pytest.fixture
def ring():
    """A ring as long as that of E4_S3."""
    return Ring("event", 2 * SPAN, np.float32)


def push(stream, events=(), intensities=()):
    for n in events:
        stream.push_event(n, grey(n))
    for n in intensities:
        stream.push_intensity(n, grey(n))


def last_numbers(windows):
    return [event_frames[-1] for event_frames, _ in windows]


def test_every_frame_gives_a_prediction_once_a_window_is_there(watched):
    (stream, windows), predictions = watched, []
    assert stream.span == SPAN
    for n in range(60):
        push(stream, [n], [n])
        predictions.append(stream.predict())
        assert stream.predict() is None  # each number once
    assert predictions[: SPAN - 1] == [None] * 12
    # Skip 3: every fourth frame; the intensity frames of the first and the last.
    assert windows == [([n - 12, n - 8, n - 4, n], [n - 12, n]) for n in range(12, 60)]
    for n, prediction in enumerate(predictions[12:], 12):
        assert prediction.number == n
        assert prediction.emotion == see.EMOTIONS[n % 7]
        # exp(3) / (exp(3) + 6)
        np.testing.assert_allclose(prediction.probabilities[n % 7], 0.769987, rtol=1e-5)
        np.testing.assert_allclose(prediction.probabilities.sum(), 1, rtol=1e-6)
    assert stream.counts == dict(predicted=48, filling=12, incomplete=0, waiting=60)
    for ring in (stream.events, stream.intensities):
        assert ring.counts == {**COUNTS, "received": 60}


def test_a_dropped_frame_is_reported_and_nothing_moves_into_its_place(watched):
    (stream, windows), missing = watched, {}
    for n in range(40):
        push(stream, [n] * (n != 20), [n] * (n != 30))
        stream.predict()
        missing[n] = stream.missing
    # Event frame 20 is wanted at 20, 24, 28 and 32; intensity frame 30 at 30 and 42.
    last = last_numbers(windows)
    assert last == [n for n in range(12, 40) if n not in (20, 24, 28, 32, 30)]
    assert [x for x, _ in windows] == [[n - 12, n - 8, n - 4, n] for n in last]
    assert {n: x for n, x in missing.items() if n > 11 and x} == {
        **{n: ["event frame 20"] for n in (20, 24, 28, 32)},
        30: ["intensity frame 30"],
    }
    # At 20 and 30 one kind has brought nothing newer.
    assert stream.counts == dict(predicted=23, filling=12, incomplete=3, waiting=2)
    assert stream.events.counts["dropped"] == stream.intensities.counts["dropped"] == 1


KINDS = "events", "intensities"


def test_a_gap_longer_than_the_ring(watched):
    stream, windows = watched
    for n in (*range(20), *range(100, 120)):
        push(stream, [n], [n])
        stream.predict()
    # 100 is set aside, until 101 shows that the frames between were dropped.
    assert last_numbers(windows) == [*range(12, 20), *range(113, 120)]
    assert stream.counts["incomplete"] == 12 and stream.counts["waiting"] == 1
    assert stream.events.counts["dropped"] == 81
    assert stream.events.counts["ahead"] == 1


@pytest.mark.parametrize("at", [0, 1, 50])
@pytest.mark.parametrize("wild", [10**9, 500])
@pytest.mark.parametrize(
    "kinds, reach",  # how far before a window's end it wants that frame
    [("events", (0, 4, 8, 12)), ("intensities", (0, 12)), ("both", (0, 4, 8, 12))],
)
def test_one_wild_number_drowns_nothing_that_follows(watched, at, wild, kinds, reach):
    stream, windows = watched
    for n in range(200):
        number = wild if n == at else n
        frames = {kind: number if kinds in (kind, "both") else n for kind in KINDS}
        push(stream, [frames["events"]], [frames["intensities"]])
        stream.predict()
    for kind in KINDS:
        counts = getattr(stream, kind).counts
        assert (counts["ahead"], counts["too_late"]) == (kinds in (kind, "both"), 0)
    lost = {at + x for x in reach}
    assert last_numbers(windows) == [n for n in range(12, 200) if n not in lost]


@pytest.mark.parametrize("at", [0, 1, 50])
@pytest.mark.parametrize(
    "wild", [[10**9, 10**9 + 1], [500, 501, 502], [400, 900, 1400]]
)
@pytest.mark.parametrize("kinds", [("events",), ("intensities",), KINDS])
def test_several_wild_numbers_drown_half_a_ring_and_a_window(watched, at, wild, kinds):
    stream, windows = watched
    numbers = list(range(200))
    numbers[at : at + len(wild)] = wild
    for n, number in enumerate(numbers):
        frames = {kind: number if kind in kinds else n for kind in KINDS}
        push(stream, [frames["events"]], [frames["intensities"]])
        stream.predict()
    end = at + len(wild) + SPAN + SPAN
    last = last_numbers(windows)
    assert {*range(12, at), *range(end, 200)} <= {*last}
    assert last == sorted(last)
    for kind in KINDS:
        counts = getattr(stream, kind).counts
        assert counts["received"] == 200
        assert counts["dropped"] + counts["too_late"] + counts["ahead"] <= end - at


def test_a_late_frame_takes_its_place(watched):
    stream, windows = watched
    push(stream, [n for n in range(16) if n != 8], range(17))
    assert stream.events.counts["dropped"] == 1
    push(stream, [8])
    assert stream.events.counts == {**COUNTS, "received": 16, "late": 1}
    push(stream, [16])
    assert stream.predict().number == 16
    assert windows == [([4, 8, 12, 16], [4, 16])]


def test_a_late_frame_before_the_first(ring):
    for n in (5, 2):
        ring.push(n, grey(n))
    # 3 and 4 have not come.
    assert ring.counts == {**COUNTS, "received": 2, "dropped": 2, "late": 1}
    assert (ring.first, ring.newest) == (2, 5)
    assert ring.missing([2, 3, 4, 5]) == [3, 4]


def test_a_frame_that_comes_too_late_changes_nothing(ring):
    ring.push(0, grey(0))
    ring.push(30, grey(30))
    for _ in range(2):  # nothing is known any more of what had this place
        ring.push(4, grey(99))
    assert ring.counts == {**COUNTS, "received": 4, "dropped": 29, "too_late": 2}
    assert ring.missing([4, 30]) == [4]
    np.testing.assert_array_equal(ring.take([30])[0, 0], grey(30))
    ring.push(5, grey(5))  # 25 behind: its place is there
    expected = dict(received=5, dropped=28, late=1, too_late=2)
    assert ring.counts == {**COUNTS, **expected}


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
@pytest.mark.parametrize("first", [0, 1])
def test_one_kind_may_come_up_to_a_window_after_the_other(watched, lag, first):
    stream, windows = watched
    for n in range(60):
        kinds = [[n], [n - lag] * (n >= lag)]
        push(stream, kinds[first], kinds[1 - first])
        stream.predict()
    assert last_numbers(windows) == list(range(12, 60 - lag))
    assert stream.counts["waiting"] == lag
    assert stream.counts["incomplete"] == 0


def test_a_camera_that_begins_again_is_not_mixed_with_what_was(watched):
    stream, windows = watched
    push(stream, range(100), range(100))
    assert stream.predict().number == 99
    for n in range(40):
        stream.push_event(n, grey(100 + n))
        stream.push_intensity(n, grey(100 + n))
        stream.predict()
    # Half a ring later it follows, from its 13th frame on.
    assert last_numbers(windows) == [99, *range(124, 140)]
    assert all(min(min(x) for x in window) > 111 for window in windows[1:])
    for ring in (stream.events, stream.intensities):
        counts = {"received": 140, "too_late": 12, "restarts": 1}
        assert ring.counts == {**COUNTS, **counts}


@pytest.mark.parametrize("seed", range(30))
def test_random_streams_against_a_plain_account(watched, seed):
    rng = np.random.default_rng(seed)
    (stream, windows), arrived, asked = watched, (set(), set()), -1
    numbers = int(rng.integers(0, 10**6)) + np.flatnonzero(rng.random(80) > 0.1)
    order = np.argsort(numbers + rng.integers(0, 6, len(numbers)), kind="stable")
    expected = []
    for n in numbers[order].tolist():
        for kind, those in enumerate(arrived):
            if rng.random() > 0.1:
                those.add(n)
                push(stream, *([[n], []], [[], [n]])[kind])
        number = min(max(those, default=-1) for those in arrived)
        wanted = [number - 12, number - 8, number - 4, number]
        ends = wanted[:1] + wanted[-1:]
        prediction = stream.predict()
        if number > asked and arrived[0].issuperset(wanted) and arrived[1] >= {*ends}:
            assert prediction.number == number
            expected.append(([x % 256 for x in wanted], [x % 256 for x in ends]))
        else:
            assert prediction is None
        asked = max(asked, number)
    assert windows == expected
    for ring, those in zip((stream.events, stream.intensities), arrived, strict=True):
        assert ring.counts["received"] == len(those)
        assert ring.counts["dropped"] == max(those) - min(those) + 1 - len(those)
    assert sum(stream.counts.values()) == len(numbers)


NO_NUMBER, NO_IMAGE = "a whole number from 0 below .*, got ", "grey levels, got "
BAD_FRAMES = [
    (-1, grey(1), f"{NO_NUMBER}-1"),
    (1.0, grey(1), f"{NO_NUMBER}1.0"),
    ("1", grey(1), f"{NO_NUMBER}'1'"),
    (True, grey(1), f"{NO_NUMBER}True"),
    (2**64, grey(1), f"{NO_NUMBER}an integer of 65 bits"),
    (10**30, grey(1), f"{NO_NUMBER}an integer of 100 bits"),
    (None, grey(1), f"{NO_NUMBER}None"),
    (3, grey(1), "each number once, got it again"),
    (4, grey(1, 180), r"\(90, 90\) as before, got \(180, 180\)"),
    (4, grey(1)[:, :80], rf"uint8 \(S, S\), {NO_IMAGE}uint8 \(90, 80\)"),
    (4, grey(1)[None], rf"{NO_IMAGE}uint8 \(1, 90, 90\)"),
    (4, grey(1).astype(np.float32), rf"{NO_IMAGE}float32 \(90, 90\)"),
    (4, grey(1).astype(np.int16), rf"{NO_IMAGE}int16 \(90, 90\)"),
    (4, grey(1) > 0, rf"{NO_IMAGE}bool \(90, 90\)"),
    (4, grey(1)[:0, :0], rf"{NO_IMAGE}uint8 \(0, 0\)"),
    (4, None, rf"{NO_IMAGE}object \(\)"),
]


@pytest.mark.parametrize("number, image, words", BAD_FRAMES)
def test_a_frame_that_is_refused_leaves_no_trace(number, image, words):
    runtime, windows = watched_runtime(num_event_frames=1, intensity_places=[0])
    stream = Stream(runtime)
    push(stream, [2, 3], [2, 3])
    before = stream.events.counts, stream.intensities.counts
    for kind in ("event", "intensity"):
        with pytest.raises(UserError, match=f"^{kind} frame .*: expected .*{words}.*;"):
            getattr(stream, f"push_{kind}")(number, image)
    assert (stream.events.counts, stream.intensities.counts) == before
    assert stream.predict().number == 3
    push(stream, [4], [4])
    assert stream.predict().number == 4
    assert windows == [([3], [3]), ([4], [4])]


def test_a_first_frame_that_is_refused_does_not_set_the_size(ring):
    with pytest.raises(UserError, match="got float64"):
        ring.push(0, np.zeros((180, 180)))
    assert ring.counts == COUNTS
    ring.push(0, grey(0))


def test_numbers_may_be_of_numpy(watched):
    stream, windows = watched
    for n in np.arange(250, 256, dtype=np.uint8), np.arange(256, 263):
        push(stream, n, n)
    assert stream.predict().number == 262
    assert windows == [([250, 254, 2, 6], [250, 6])]
    assert type(stream.events.newest) is int


def test_nothing_yet(watched):
    stream, _ = watched
    assert stream.predict() is None
    assert stream.missing == ["event frame 0"]
    push(stream, [7])
    assert stream.predict() is None
    assert stream.missing == ["intensity frame 0"]
    assert stream.counts["waiting"] == 2
