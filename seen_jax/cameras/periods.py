"""Packets -> periods: the events of 1/30 s each and the intensity frame at its end.

Periods are counted by the camera's timestamps, not by arrival, as
`seen_jax.events.period_edges` counts those of a whole recording: a stream that is read
packet by packet gives the same periods as `seen_jax.event_folder.clip_images`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from seen_jax.cameras.packets import RECORD_BOTH, no_events
from seen_jax.errors import refuse
from seen_jax.events import Events, Recording, edge_us, period_edges

PERIOD_US = Fraction(10**6, 30)  # exact, so that it never drifts from a 30 Hz clock
_FIRST_FRAME_WAIT_US = 2_000_000
# How long events are waited for, by the times of intensity frames: without one for so
# long, a scene is quiet. On loopback, events of dv-processing stood still for up to
# 0.37 s while frames came; going on without them would lose them.
_LATE_EVENTS_US = 500_000
_GAP = 2  # periods without anything that are more than a quiet scene


@dataclass(frozen=True, eq=False)
class Period:
    """One period of a stream.

    Attributes:
      index: from 0; where it jumps, the stream had a gap: these periods were dropped.
      start_us, end_us: the first microsecond, and the first of the next period.
      events: all of the period, of the whole sensor.
      intensity_frame: uint8 (H, W), the last one at or before `end_us`; the stream's
        first one where none is.
      intensity_us: its time.
      label: what it shows, of a simulated stream.
    """

    index: int
    start_us: int
    end_us: int
    events: Events
    intensity_frame: np.ndarray
    intensity_us: int
    label: str


def periods(
    packets: Iterable[Recording],
    *,
    period_us: int | Fraction = PERIOD_US,
    start_us: int | None = None,
    patience_us: int | None = None,
) -> Iterator[Period]:
    """Divides a stream into periods, from the first event to the last one.

    Args:
      start_us: where the first period begins; None takes the first event.
      patience_us: None for a file: a period ends when both modalities are past it, and
        a gap becomes empty periods. For a live stream: how long past a period's end, in
        the camera's time, to wait for a late intensity frame (for late events, 500 ms
        or longer); a gap in both modalities drops periods, and when timestamps go back,
        since the camera restarted, new periods begin after a dropped one.

    Raises:
      UserError: an event comes before the start; a stream without intensity frames.
    """
    period_edges(0, period_us, 0)  # checks the period
    stream = _Stream(start_us, period_us, patience_us)
    for packet in packets:
        if patience_us is not None and stream.is_behind(packet):
            stream = stream.started_again()
        stream.add(packet)
        while stream.is_ready():
            yield stream.take()
    while len(stream.events):
        yield stream.take()


class _Stream:
    """What has arrived and is in no period yet."""

    def __init__(self, start_us, period_us, patience_us, first_index=0):
        self.first_index = first_index
        self.start_us, self.period_us = start_us, period_us
        self.patience_us = patience_us
        self.index = 0
        self.events = no_events()
        self.frames: list[tuple[int, np.ndarray, str]] = []
        self.last_event_us = self.last_frame_us = -1

    def is_behind(self, packet: Recording) -> bool:
        """Tells whether a packet's timestamps go back."""
        firsts = packet.events.t[:1].tolist(), packet.times_us[:1].tolist()
        lasts = self.last_event_us, self.last_frame_us
        return any(x and x[0] < last for x, last in zip(firsts, lasts, strict=True))

    def started_again(self) -> _Stream:
        """Returns an empty stream whose index marks a dropped period."""
        first_index = self.first_index + self.index + 1
        return _Stream(None, self.period_us, self.patience_us, first_index)

    def add(self, packet: Recording) -> None:
        if count := len(packet.events):
            first_us, self.last_event_us = map(int, packet.events.t[[0, count - 1]])
            if self.start_us is None:
                self.start_us = first_us
            if first_us < self.start_us:
                rule = f"at most {first_us}, the first event's time"
                refuse("start_us", rule, self.start_us, "no event is left out")
            self.events = self.events.join(packet.events)
        if len(packet.times_us):
            times, label = packet.times_us.tolist(), packet.label
            images = zip(times, packet.intensity_frames, strict=True)
            self.frames += [(time_us, image, label) for time_us, image in images]
            self.last_frame_us = times[-1]

    def is_ready(self) -> bool:
        """Tells whether the next period is over and known."""
        if self.start_us is None:
            return False
        end = self._edge(self.index + 1)
        if self.last_event_us >= end and self.last_frame_us > end:
            return True
        if self.patience_us is None:
            return False
        waited_us = max(self.last_event_us, self.last_frame_us) - end
        if not self.frames and waited_us > _FIRST_FRAME_WAIT_US:
            got = f"none in {waited_us / 1e6:.1f} s"
            refuse("stream", "intensity frames", got, RECORD_BOTH)
        if not self.frames:
            return False
        if self.last_event_us >= end:
            return self.last_event_us - end >= self.patience_us
        return waited_us >= max(self.patience_us, _LATE_EVENTS_US)

    def take(self) -> Period:
        """Takes the next period out; there is an intensity frame."""
        if not self.frames:
            refuse("stream", "an intensity frame", "none", RECORD_BOTH)
        if self.patience_us is not None:
            self._skip_gap()
        begin, end = (self._edge(self.index + i) for i in (0, 1))
        bound = int(np.searchsorted(self.events.t, end))
        events = self.events.take(slice(bound))
        self.events = self.events.take(slice(bound, None))
        while len(self.frames) > 1 and self.frames[1][0] <= end:
            self.frames.pop(0)
        intensity_us, image, label = self.frames[0]
        index = self.first_index + self.index
        self.index += 1
        return Period(index, begin, end, events, image, intensity_us, label)

    def _skip_gap(self) -> None:
        begin = self._edge(self.index)
        times = [x for x, *_ in self.frames if x > begin]
        times += self.events.t[:1].tolist()
        if times:
            there = int((min(times) - self.start_us) // self.period_us)
            if there - self.index >= _GAP:
                self.index = there

    def _edge(self, index: int) -> int:
        return edge_us(self.start_us, self.period_us, index)


def paced(
    stream: Iterable[Period],
    rate: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Period]:
    """Yields the periods of a file when a camera would have ended them.

    Args:
      rate: 2 plays twice as fast; 0 as fast as possible.
    """
    begin = None
    for period in stream:
        if rate:
            if begin is None:
                begin = clock(), period.start_us
            due = begin[0] + (period.end_us - begin[1]) / 1e6 / rate
            sleep(max(0.0, due - clock()))
        yield period
