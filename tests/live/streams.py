"""Streams for the tests of what is live: a scene of small images, cut into packets."""

import numpy as np

from seen_jax.cameras.periods import periods
from seen_jax.events import Recording
from seen_jax.live.engine import Moment
from seen_jax.live.intake import PATIENCE_US, Arrival
from seen_jax.live.view import About
from seen_jax.runtime.seen_runtime import LAYERS
from tests.runtime.bundles import plain_runtime
from tests.samples import random_events

PERIOD_US = 10_000
SIZE = 20


def recording_of(span_us, every_us=4_000, width=30, height=SIZE, seed=0):
    """Noise: 10,000 events a second, an intensity frame every so often."""
    rng = np.random.default_rng(seed)
    events = random_events(span_us // 100, span_us, height, width, seed=seed)
    times_us = np.arange(0, span_us, every_us)
    frames = rng.integers(0, 256, (len(times_us), height, width), np.uint8)
    return Recording(events, times_us, frames, (width, height))


def in_packets(recording, span_us, begin_us=0, **changes):
    """Cuts a recording whose first timestamp is about 0; `begin_us` is added."""
    t, times_us = recording.events.t, recording.times_us
    for begin in range(0, max(int(t[-1]), int(times_us[-1])) + 1, span_us):
        events, frames = (
            slice(*np.searchsorted(x, [begin, begin + span_us])) for x in (t, times_us)
        )
        part = recording.events.take(events)
        shifted = type(part)(part.t + begin_us, part.x, part.y, part.p)
        images = times_us[frames] + begin_us, recording.intensity_frames[frames]
        yield Recording(shifted, *images, recording.resolution, **changes)


def in_time(packets, on_packet=lambda packet: None):
    """Batches of one period each, of a live stream; both clocks are one."""

    def given():
        for packet in packets:
            on_packet(packet)
            yield packet

    for period in periods(given(), period_us=PERIOD_US, patience_us=PATIENCE_US):
        yield [Arrival(period, (30, SIZE), period.end_us / 1e6)]


def about_of(labels=("calm", "fear", "joy"), can_record=True, **changes):
    """What a page is told first, of E4_S3 and the emotions."""
    return About.of("simulator:3", plain_runtime(**changes), list(labels), can_record)


def moment_of(number, *, time_us=None, best=3, sensor=(SIZE, 30), **changes):
    """A predicted moment of noise, 1/30 s after the one before."""
    rng = np.random.default_rng(number)
    probabilities = rng.dirichlet(np.ones(7)) / 2
    probabilities[best] += 0.5
    crop = min(sensor)
    images = (rng.integers(0, 256, x, np.uint8) for x in (sensor, *2 * [(crop, crop)]))
    names = "sensor", "event_frame", "intensity_frame"
    time_us = round(1e6 * number / 30) if time_us is None else time_us
    fields = dict(zip(names, images, strict=True)) | dict(
        number=number, time_us=time_us, ended_s=number / 30, crop=(0, 0, crop),
        probabilities=probabilities.astype(np.float32), operations=1000 * number,
        spikes=dict.fromkeys(LAYERS, number), latency_ms=5.0, events_per_s=12_345.0,
        dropped=0, missed=0, notes=(), label="fear",
    )  # fmt: skip
    return Moment(**fields | changes)
