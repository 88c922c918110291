"""Streams for the tests of what is live: a scene of small images, cut into packets."""

import numpy as np

from seen_jax.events import Recording
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
        yield Recording(
            shifted,
            times_us[frames] + begin_us,
            recording.intensity_frames[frames],
            recording.resolution,
            **changes,
        )
