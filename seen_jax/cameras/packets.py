"""Packets: what every source yields, whether a file, a camera or a simulation.

A packet is a `Recording` of a moment: events, intensity frames or both, the sensor's
size, and notes where something was changed or left out. The timestamps of each
modality never decrease from packet to packet. `Packets` makes them from what a library
gives, `gather` joins them to a recording.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

import numpy as np

from seen_jax.cameras.frames import GreyFrames
from seen_jax.errors import counted, refuse
from seen_jax.events import Events, Recording

RECORD_BOTH = "record both modalities with a DAVIS camera"


class Packets:
    """Makes the packets of one stream.

    Events off the sensor, which a camera's interface may let through, are counted and
    left out.

    Args:
      resolution: (width, height) of the sensor, pixels.
      order: of the channels of a colour frame, see `GreyFrames`.
    """

    def __init__(self, resolution: tuple[int, int], order: str = "BGR"):
        self.resolution = tuple(resolution)
        self._grey = GreyFrames(self.resolution, order)
        self._num_events = self._num_off = 0

    def events(self, t, x, y, p) -> Recording:
        """Makes a packet of events.

        Args:
          t: int64 (N,), microseconds.
          x, y: of any type of whole numbers (N,).
          p: (N,), true or 1 is ON.

        Raises:
          UserError: a timestamp decreases, or the lengths differ.
        """
        width, height = self.resolution
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        self._num_events += len(inside)
        if not inside.all():
            self._num_off += int((~inside).sum())
            t, x, y, p = (column[inside] for column in (t, x, y, p))
        x, y = (column.astype(np.int16, copy=False) for column in (x, y))
        events = Events(t.astype(np.int64, copy=False), x, y, p.astype(bool))
        return Recording(events, *self._no_frames(), self.resolution)

    def frame(
        self, time_us: int, pixels: np.ndarray, place: tuple[int, int] = (0, 0)
    ) -> Recording:
        """Makes a packet of one intensity frame, of that exposure; see `GreyFrames`."""
        image = self._grey(pixels, place)
        times_us = np.array([time_us], np.int64)
        return Recording(no_events(), times_us, image[None], self.resolution)

    def end(self, *notes: str) -> Recording:
        """Makes the last packet, which is empty and says what was changed."""
        if self._num_off:
            text = f"{self._num_off} of {self._num_events} events were off the sensor"
            notes += (f"{text} and left out",)
        return self.nothing(*notes, *self._grey.notes())

    def nothing(self, *notes: str) -> Recording:
        """Makes an empty packet."""
        return Recording(no_events(), *self._no_frames(), self.resolution, notes)

    def _no_frames(self) -> tuple[np.ndarray, np.ndarray]:
        shape = (0, *self.resolution[::-1])
        return np.zeros(0, np.int64), np.zeros(shape, np.uint8)


def no_events() -> Events:
    """Returns empty events."""
    xy = np.zeros(0, np.int16)
    return Events(np.zeros(0, np.int64), xy, xy, np.zeros(0, bool))


def in_time(*streams: Iterable[Recording]) -> Iterator[Recording]:
    """Merges streams of packets by the first timestamp; empty packets are left out."""
    streams = (
        (x for x in stream if len(x.events) or len(x.times_us)) for stream in streams
    )
    return heapq.merge(*streams, key=_first_us)


def _first_us(packet: Recording) -> int:
    return int(packet.events.t[0] if len(packet.events) else packet.times_us[0])


def gather(packets: Iterable[Recording]) -> Recording:
    """Joins packets, in their order, to one recording.

    Args:
      packets: at least one; all of one sensor.

    Raises:
      UserError: there is no event or no intensity frame, or timestamps decrease.
    """
    packets = list(packets)
    t, x, y, p = (
        np.concatenate([getattr(packet.events, name) for packet in packets])
        for name in "txyp"
    )
    times_us = np.concatenate([packet.times_us for packet in packets])
    if not len(t) or not len(times_us):
        num_frames = counted(len(times_us), "intensity frame")
        got = f"{counted(len(t), 'event')} and {num_frames}"
        refuse("recording", "at least one of each", got, RECORD_BOTH)
    return Recording(
        Events(t, x, y, p),
        times_us,
        np.concatenate([packet.intensity_frames for packet in packets]),
        packets[0].resolution,
        tuple(note for packet in packets for note in packet.notes),
    )
