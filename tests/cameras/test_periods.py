"""Periods of a stream: those of a whole recording, gaps, patience, pace."""

from fractions import Fraction

import numpy as np
import pytest

from seen_jax.cameras.packets import no_events
from seen_jax.cameras.periods import PERIOD_US, paced, periods
from seen_jax.errors import UserError
from seen_jax.event_folder import clip_images
from seen_jax.events import Recording, accumulate
from tests.samples import events_of, random_events

SIZE = 8


def recording_of(events, times_us):
    """Intensity frame f is f everywhere."""
    levels = np.arange(len(times_us), dtype=np.uint8)
    frames = np.broadcast_to(levels[:, None, None], (len(levels), SIZE, SIZE))
    times_us = np.array(times_us, np.int64)
    return Recording(events, times_us, frames, (SIZE, SIZE))


def in_packets(recording, span_us, late_us=0):
    """Cuts a recording; intensity frames come `late_us` after events of their time."""
    t, times_us = recording.events.t, recording.times_us
    last = max(int(t[-1]), int(times_us[-1]) + late_us) + 1
    for begin in range(0, last, span_us):
        part = slice(*np.searchsorted(t, [begin, begin + span_us]))
        there = np.searchsorted(times_us, np.array([begin, begin + span_us]) - late_us)
        frames = slice(*there)
        yield Recording(
            recording.events.take(part),
            times_us[frames],
            recording.intensity_frames[frames],
            recording.resolution,
        )


@pytest.mark.parametrize("span_us", [700, 12_000, 10**6])
@pytest.mark.parametrize("period_us", [PERIOD_US, 33_333, Fraction(20_001, 2)])
def test_a_stream_has_the_periods_of_the_whole_recording(span_us, period_us):
    events = random_events(3_000, 700_000, SIZE, SIZE)
    # Late at first, twice at one time, not for 200 ms, and after the last event.
    times_us = [90_000, 130_000, 130_000, 333_000, 334_000, 400_000, 750_000]
    recording = recording_of(events, times_us)
    whole = clip_images(recording, crop=(0, 0, SIZE), period_us=period_us)
    packets = in_packets(recording, span_us, late_us=30_000)
    stream = [*periods(packets, period_us=period_us)]
    assert [x.index for x in stream] == list(range(len(whole.counts)))
    assert [x.start_us for x in stream] == whole.edges_us[:-1].tolist()
    assert [x.end_us for x in stream] == whole.edges_us[1:].tolist()
    assert [len(x.events) for x in stream] == whole.counts.tolist()
    for period, event_frame, image in zip(
        stream, whole.event_frames, whole.intensity_frames, strict=True
    ):
        times = {"start_us": period.start_us, "period_us": period_us}
        shape = {"num_periods": 1, "shape": (SIZE, SIZE)}
        painted = accumulate(period.events, **times, **shape)
        np.testing.assert_array_equal(painted[0], event_frame)
        np.testing.assert_array_equal(period.intensity_frame, image)


def test_thirtieths_of_a_second_never_drift():
    # An event every 10 ms: period 2,999 ends at 100 s exactly.
    count = 10_000
    t = np.arange(count) * 10_000
    xy = np.zeros(count, np.int16)
    events = type(no_events())(t, xy, xy, np.ones(count, bool))
    stream = [*periods(in_packets(recording_of(events, [0]), 10**9))]
    assert (len(stream), stream[-1].end_us) == (3_000, 100_000_000)
    assert {len(x.events) for x in stream} == {3, 4}


def test_a_live_stream_waits_no_longer_than_its_patience():
    # An event every ms; intensity frames at 0 and 90 ms, which arrive 100 ms late.
    events = events_of(*((1_000 * i, 0, 0, 1) for i in range(400)))
    recording = recording_of(events, [0, 90_000])
    options = {"period_us": 50_000, "patience_us": 30_000}
    ends, seen = [], []

    def watched():
        for packet in in_packets(recording, 10_000, late_us=100_000):
            seen.append(packet)
            yield packet

    for period in periods(watched(), **options):
        ends.append((len(seen) * 10, period.intensity_us))
    # The first frame is waited for. Period 1 ends at 100 ms and is given with the
    # packet that ends at 140.
    assert ends[:5] == [(110, 0), (140, 0), (190, 0), (240, 90_000), (290, 90_000)]


def test_frames_that_overtake_events():
    # An event every ms but for 300 ms; intensity frames come 40 ms before events.
    t = [*range(0, 200_000, 1_000), *range(500_000, 700_000, 1_000)]
    recording = recording_of(events_of(*((x, 0, 0, 1) for x in t)), [])
    times_us = np.arange(0, 700_000, 20_000)
    frames = recording_of(recording.events.take(slice(0)), times_us)
    packets = []
    for i in range(37):
        for part, at in ((frames, i), (recording, i - 2)):
            begin, end = 20_000 * at, 20_000 * (at + 1)
            events = slice(*np.searchsorted(part.events.t, [begin, end]))
            shown = slice(*np.searchsorted(part.times_us, [begin, end]))
            packets.append((part.events.take(events), part.times_us[shown]))
    packets = [recording_of(*packet) for packet in packets]
    live = [*periods(packets, period_us=20_000, patience_us=5_000)]
    assert [x.index for x in live] == list(range(35))  # the quiet ones, too
    for period in live:
        inside = [x for x in t if period.start_us <= x < period.end_us]
        assert period.events.t.tolist() == inside


def test_a_gap_in_the_timestamps_of_a_live_stream_is_dropped_periods():
    # Periods of 100 us; nothing from 150 to 980, a quiet one from 1,050 to 1,240.
    events = events_of(*((t, 0, 0, 1) for t in (0, 149, 980, 1_049, 1_240, 1_400)))
    packets = [*in_packets(recording_of(events, [10, 990]), 50)]
    live = [x.index for x in periods(packets, period_us=100, patience_us=100)]
    assert live == [0, 1, 9, 10, 11, 12, 13, 14]
    whole = [x.index for x in periods(packets, period_us=100)]
    assert whole == list(range(15))


def test_streams_that_are_refused():
    recording = recording_of(events_of((5, 0, 0, 1), (9_000_000, 0, 0, 1)), [])
    packets = [recording]
    with pytest.raises(UserError, match="expected an intensity frame, got none"):
        next(periods(packets))
    with pytest.raises(UserError, match=r"expected intensity frames, got none in 9\.0"):
        next(periods(packets, patience_us=0))
    with pytest.raises(UserError, match="start_us: expected at most 5"):
        next(periods(packets, start_us=6))
    with pytest.raises(UserError, match="period_us"):
        next(periods(packets, period_us=0))


def test_a_file_plays_at_its_own_pace():
    events = random_events(500, 1_000_000, SIZE, SIZE)
    packets = [*in_packets(recording_of(events, [0]), 100_000)]
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    for _ in paced(periods(packets, period_us=50_000), 2, lambda: now[0], sleep):
        now[0] += 0.01  # what is done with a period does not add up
    assert slept[0] == pytest.approx(0.025)
    assert slept[1:] == pytest.approx([0.015] * (len(slept) - 1))
    slept.clear()
    assert len([*paced(periods(packets, period_us=50_000), 0, None, sleep)]) == 20
    assert not slept
