"""Accumulation: by hand, against a plain loop, and no event lost."""

from fractions import Fraction

import numpy as np
import pytest

from seen_jax import see
from seen_jax.events import (
    Events,
    Recording,
    accumulate,
    count_per_period,
    num_periods_of,
    period_edges,
)
from tests.samples import events_of, random_events

OFF, NONE, ON = see.EVENT_OFF, see.EVENT_NONE, see.EVENT_ON


def plain_accumulate(events, start_us, period_us, num_periods, shape, pixel):
    """The definition, one event after the other."""
    frames = np.full((num_periods, *shape), NONE, np.uint8)
    balance = np.zeros((num_periods, *shape), int)
    for t, x, y, p in zip(events.t, events.x, events.y, events.p, strict=True):
        i = int((int(t) - start_us) // period_us)
        balance[i, y, x] += 1 if p else -1
        frames[i, y, x] = ON if p else OFF
    if pixel == "sum":
        frames = np.array([OFF, NONE, ON], np.uint8)[np.sign(balance) + 1]
    return frames


def test_last_and_sum_by_hand():
    # Period 100 from 1000 us. Pixel (x 0, y 0): ON ON OFF at 1000, 1050, 1099: last
    # OFF, sum +1. Pixel (1, 0): ON OFF at one time: last OFF, sum 0. Pixel (2, 1): OFF
    # at 1100, the first microsecond of the second period.
    on = (1000, 0, 0, 1), (1050, 0, 0, 1), (1060, 1, 0, 1)
    events = events_of(*on, (1060, 1, 0, 0), (1099, 0, 0, 0), (1100, 2, 1, 0))
    where = {"start_us": 1000, "period_us": 100, "num_periods": 2, "shape": (2, 3)}
    second = [[NONE, NONE, NONE], [NONE, NONE, OFF]]
    np.testing.assert_array_equal(
        accumulate(events, **where, pixel="last"),
        [[[OFF, OFF, NONE], [NONE, NONE, NONE]], second],
    )
    np.testing.assert_array_equal(
        accumulate(events, **where, pixel="sum"),
        [[[ON, NONE, NONE], [NONE, NONE, NONE]], second],
    )


@pytest.mark.parametrize("pixel", ["last", "sum"])
@pytest.mark.parametrize("period_us", [1, 7, 1000, Fraction(1000, 3)])
def test_accumulate_is_the_plain_loop(pixel, period_us):
    # 3,000 events on 5 x 4 pixels and few microseconds: repeats everywhere.
    events = random_events(3000, 50 * int(period_us), 5, 4)
    where = {"start_us": -3, "period_us": period_us}
    where["num_periods"] = num_periods_of(events, -3, period_us)
    where["shape"] = (5, 4)
    result = accumulate(events, **where, pixel=pixel)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(
        result, plain_accumulate(events, **where, pixel=pixel)
    )


def test_the_last_of_many_events_decides():
    # One pixel, 100,001 events in turns: the last one has an even position, so ON.
    count = 100_001
    rows = np.zeros((count, 4), np.int64)
    rows[:, 3] = (np.arange(count) + 1) % 2
    where = {"start_us": 0, "num_periods": 1, "shape": (1, 1)}
    assert accumulate(events_of(*rows), **where).item() == ON
    assert accumulate(events_of(*rows[:-1]), **where).item() == OFF


def test_no_event_is_lost():
    events = random_events(5000, 100_000, 60, 80)
    cropped = events.crop(10, 20, 32)
    inside = (events.x // 2 >= 5) & (events.x < 42) & (events.y >= 20) & (events.y < 52)
    num_periods = num_periods_of(events, int(events.t[0]), 3000)
    where = {"start_us": int(events.t[0]), "period_us": 3000}
    counts = count_per_period(cropped, **where, num_periods=num_periods)
    assert counts.sum() == len(cropped) == inside.sum() > 0
    assert cropped.x.min() == cropped.y.min() == 0
    assert cropped.x.max() == cropped.y.max() == 31
    period = (cropped.t - events.t[0]) // 3000
    np.testing.assert_array_equal(counts, np.bincount(period, minlength=num_periods))


def test_edges_are_exact_and_do_not_drift():
    # 1/30 s: edges at 0, 33,333.3, 66,666.7, 100,000; the first whole microsecond of
    # each is rounded up. After an hour both clocks are told apart: 108,000 periods.
    thirtieth = Fraction(10**6, 30)
    np.testing.assert_array_equal(
        period_edges(5, thirtieth, 3), [5, 33_339, 66_672, 100_005]
    )
    assert period_edges(0, thirtieth, 108_000)[-1] == 3600 * 10**6
    assert period_edges(0, see.FRAME_PERIOD_US, 108_000)[-1] == 3600 * 10**6 - 36_000
    # An event on an edge opens its period, one before it closes the one before.
    events = events_of((33_333, 0, 0, 1), (33_334, 0, 0, 1), (99_999, 0, 0, 1))
    where = {"start_us": 0, "period_us": thirtieth, "num_periods": 3}
    assert count_per_period(events, **where).tolist() == [1, 1, 1]


def test_num_periods_holds_the_last_event():
    # Periods of 10 from 100: 109 lies in the first, 110 in the second.
    for last, expected in ((100, 1), (109, 1), (110, 2), (120, 3)):
        events = events_of((100, 0, 0, 1), (last, 0, 0, 1))
        assert num_periods_of(events, 100, 10) == expected
    assert num_periods_of(events_of(), 0, 10) == 0


def test_no_events_make_grey_frames():
    where = {"start_us": 0, "num_periods": 2, "shape": (3, 3)}
    for pixel in ("last", "sum"):
        assert (accumulate(events_of(), **where, pixel=pixel) == NONE).all()


def test_recording_crop_cuts_both_modalities():
    frames = np.arange(2 * 6 * 8, dtype=np.uint8).reshape(2, 6, 8)
    events = events_of((0, 3, 2, 1), (1, 2, 2, 0))
    recording = Recording(events, np.array([0, 5]), frames, (8, 6))
    part = recording.crop(3, 1, 4)
    assert part.resolution == (4, 4)
    np.testing.assert_array_equal(part.intensity_frames, frames[:, 1:5, 3:7])
    assert (part.events.x.tolist(), part.events.y.tolist()) == ([0], [1])
    assert recording.crop(2, 0, 6).resolution == (6, 6)  # up to both borders
    for crop in ((3, 0, 6), (2, 1, 6), (-1, 0, 3), (0, -1, 3), (0, 0, 0)):
        with pytest.raises(ValueError, match="within the 8 x 6 pixels of the sensor"):
            recording.crop(*crop)


def test_errors_of_events():
    words = r"never decrease, got 5 us after 10 us at event 1 \(1 such"
    with pytest.raises(ValueError, match=words):
        events_of((10, 0, 0, 1), (5, 0, 0, 1), (7, 0, 0, 1))
    with pytest.raises(ValueError, match=r"events.x: expected pixels from 0, got -2"):
        events_of((10, -2, 0, 1))
    t, x, p = np.zeros(2, np.int64), np.zeros(2, np.int16), np.zeros(2, bool)
    with pytest.raises(ValueError, match=r"events.t: expected int64 \(2,\), got int32"):
        Events(t.astype(np.int32), x, x, p)
    with pytest.raises(ValueError, match=r"events.p: .* got bool \(1,\)"):
        Events(t, x, x, p[:1])


def test_errors_of_recordings():
    events, times = events_of((0, 9, 0, 1)), np.array([0, 5])
    frames = np.zeros((2, 6, 8), np.uint8)
    with pytest.raises(ValueError, match="x below 8 and y below 6, got x up to 9"):
        Recording(events, times, frames, (8, 6))
    events = events_of((0, 0, 0, 1))
    with pytest.raises(ValueError, match=r"expected uint8 \(F, 8, 6\), got"):
        Recording(events, times, frames, (6, 8))
    with pytest.raises(ValueError, match=r"times_us: expected int64 \(2,\)"):
        Recording(events, times[:1], frames, (8, 6))
    with pytest.raises(ValueError, match="got 0 us after 5 us at intensity frame 1"):
        Recording(events, times[::-1], frames, (8, 6))


def test_errors_of_accumulate():
    events = events_of((10, 0, 0, 1), (30, 4, 0, 1))
    where = {"start_us": 10, "period_us": 10, "num_periods": 3, "shape": (5, 5)}
    accumulate(events, **where)
    for change, text in (
        ({"start_us": 11}, r"in \[11, 41\) us, got 1 event before and 0 after"),
        ({"num_periods": 2}, r"in \[10, 30\) us, got 0 events before and 1 after"),
        ({"num_periods": 0}, r"in \[10, 10\) us, got 0 events before and 2 after"),
        ({"num_periods": -1}, "num_periods: expected at least 0, got -1"),
        ({"shape": (5, 4)}, "x below 4 and y below 5, got x up to 4"),
        ({"pixel": "first"}, "pixel: expected one of last, sum, got 'first'"),
        ({"period_us": 0}, "an int or Fraction of at least 1 us .*, got 0"),
        ({"period_us": 10.0}, "an int or Fraction of at least 1 us .*, got 10.0"),
        ({"period_us": 10**13}, "at most 1000000000000, got 10000000000000"),
    ):
        with pytest.raises(ValueError, match=text):
            accumulate(events, **{**where, **change})
