"""Periods -> moments: images, windows, and what is said where one is missing."""

import numpy as np
import pytest

from seen_jax.cameras.periods import Period, periods
from seen_jax.errors import UserError
from seen_jax.event_folder import clip_images
from seen_jax.live.engine import Engine
from seen_jax.live.intake import Arrival
from seen_jax.runtime.seen_runtime import LAYERS
from tests.live.streams import PERIOD_US, SIZE, in_packets, recording_of
from tests.runtime.bundles import plain_runtime
from tests.samples import events_of

SPAN = 13  # periods of a window of E4_S3


def arrival(index, *, events=(), start_us=None, age_us=0, level=0, **changes):
    """A period of 30 x 20 pixels; index and time agree where no start is given."""
    start_us = PERIOD_US * index if start_us is None else start_us
    end_us = start_us + PERIOD_US
    image = np.full((SIZE, 30), level, np.uint8)
    events = events_of(*events)
    period = Period(index, start_us, end_us, events, image, end_us - age_us, "fear")
    return Arrival(period, (30, SIZE), **{"ended_s": 0.0, **changes})


def engine_of(runtime=None, clock=lambda: 0.0):
    return Engine(runtime or plain_runtime(), (5, 0, SIZE), clock=clock)


def predicted(moments):
    return [x.number for x in moments if x.probabilities is not None]


def test_images_are_those_of_the_whole_recording():
    recording = recording_of(300_000)
    whole = clip_images(recording, crop=(5, 0, SIZE), period_us=PERIOD_US)
    engine, moments = engine_of(), []
    for period in periods(in_packets(recording, 7_000), period_us=PERIOD_US):
        moments += engine.take([Arrival(period, recording.resolution, 0.0)])
    assert [x.number for x in moments] == list(range(len(whole.counts)))
    assert [x.time_us for x in moments] == whole.edges_us[1:].tolist()
    for name in ("event_frame", "intensity_frame"):
        images = np.stack([getattr(x, name) for x in moments])
        np.testing.assert_array_equal(images, getattr(whole, f"{name}s"))
    assert predicted(moments) == list(range(SPAN - 1, len(moments)))
    assert engine.counts == {
        "periods": 30, "predicted": 18, "filling": 12, "incomplete": 0, "missed": 0,
        "dropped": 0, "stale": 0, "events": 3_000,
    }  # fmt: skip


def test_a_moment_says_how_long_and_what_was_there():
    # Half of the events are beside the crop.
    events = [(x, x % 2 * 10, 3, 1) for x in range(100)]
    engine = engine_of(clock=lambda: 7.25)
    for i in range(SPAN):
        shifted = [(PERIOD_US * i + t, *rest) for t, *rest in events]
        (moment,) = engine.take([arrival(i, events=shifted, ended_s=7.0, level=i)])
        assert moment.events_per_s == pytest.approx(10_000)
    assert moment.latency_ms == pytest.approx(250)
    assert moment.label == "fear"
    assert moment.event_frame[3, 5] > moment.event_frame[3, 4]
    assert (moment.event_frame != moment.event_frame[0, 0]).sum() == 1
    assert (moment.intensity_frame == SPAN - 1).all()
    assert moment.probabilities.argmax() == 3
    assert moment.spikes is None  # this runtime does not count
    assert (moment.dropped, moment.missed, moment.notes) == (0, 0, ())
    with pytest.raises(AttributeError):
        moment.number = 1


def test_spikes_of_the_window(runtime):
    engine = engine_of(runtime)
    for i in range(SPAN):
        (moment,) = engine.take([arrival(i, level=9 * i)])
    assert tuple(moment.spikes) == LAYERS
    assert list(moment.spikes.values()) == runtime.spikes[0].tolist()


def test_the_newest_of_several_is_predicted():
    engine = engine_of()
    moments = engine.take([arrival(i) for i in range(SPAN)])
    moments += engine.take([arrival(SPAN), arrival(SPAN + 1, notes=("a note",))])
    assert predicted(moments) == [SPAN - 1, SPAN + 1]
    assert [x.missed for x in moments] == [*range(1, SPAN), SPAN - 1, SPAN, SPAN]
    assert moments[-1].notes == ("a note",)
    assert engine.counts["missed"] == SPAN


def test_a_short_gap_is_no_part_of_a_window():
    engine, there = engine_of(), [*range(20), *range(23, 60)]
    moments = [engine.take([arrival(i)])[0] for i in there]
    # A window reads every fourth period, back to 12 before.
    gone = {n for n in there if {n - 12, n - 8, n - 4, n} & {20, 21, 22}}
    assert predicted(moments) == [n for n in there if n >= 12 and n not in gone]
    notes = [(x.number, *x.notes) for x in moments if x.notes]
    assert notes == [(23, "3 periods dropped: a gap in the timestamps")]
    assert [x.dropped for x in moments] == [0] * 20 + [3] * 37
    assert engine.counts["incomplete"] == len(gone)


def test_a_long_gap_clears_the_windows():
    engine, there = engine_of(), [*range(20), *range(2_000, 2_040)]
    moments = [engine.take([arrival(i)])[0] for i in there]
    assert predicted(moments) == [*range(12, 20), *range(2_012, 2_040)]
    assert engine.counts["dropped"] == 1_980


def test_no_window_reaches_over_a_restart_of_the_clock():
    engine = engine_of()
    moments = [engine.take([arrival(i)])[0] for i in range(20)]
    again = [arrival(i, start_us=PERIOD_US * (i - 21)) for i in range(21, 41)]
    moments += [engine.take([x])[0] for x in again]
    assert predicted(moments) == [*range(12, 20), *range(33, 41)]
    assert moments[20].notes == ("the camera's clock restarted, and so do the windows",)


def test_what_is_late_or_stale_is_said():
    engine = engine_of()
    events = [(5, 6, 0, 1), (PERIOD_US - 1, 7, 0, 1), (PERIOD_US, 8, 0, 1)]
    (moment,) = engine.take([arrival(1, events=events)])
    assert moment.notes == ("2 events left out, after the period's end",)
    assert np.argwhere(moment.event_frame != moment.event_frame[-1, -1]).tolist() == [
        [0, 3]
    ]
    ages = [2 * PERIOD_US, 2 * PERIOD_US + 1, 3 * PERIOD_US, 0, 10 * PERIOD_US]
    notes = [
        engine.take([arrival(2 + i, age_us=age)])[0].notes for i, age in enumerate(ages)
    ]
    assert notes == [
        (), ("no intensity frame for 20 ms",), (), (), (),
    ]  # fmt: skip
    assert engine.counts["stale"] == 3


def test_stale_periods_are_said_again_after_a_second_without():
    engine, ages = engine_of(), [30_000, 0] * 50 + [0] * 100 + [40_000]
    notes = [engine.take([arrival(i, age_us=x)])[0].notes for i, x in enumerate(ages)]
    assert {i: x for i, x in enumerate(notes) if x} == {
        0: ("no intensity frame for 30 ms",), 200: ("no intensity frame for 40 ms",),
    }  # fmt: skip
    assert engine.counts["stale"] == 51


def test_an_intensity_frame_of_the_future_is_said():
    engine, ages = engine_of(), [-25_000, -15_000, -5_000]
    first, *others = (
        engine.take([arrival(i, age_us=x)])[0].notes for i, x in enumerate(ages)
    )
    words = "the first intensity frame comes 25 ms later and is shown until then"
    assert (first, others) == ((words,), [(), ()])
    assert engine.counts["stale"] == 2


def test_crops():
    with pytest.raises(UserError, match=r"30 x 20 pixels .*, got columns 11 to 30"):
        Engine(plain_runtime(), (11, 0, SIZE)).take([arrival(0)])
    with pytest.raises(UserError, match="crop: expected a square within the 30 x 20"):
        Engine(plain_runtime()).take([arrival(0)])
