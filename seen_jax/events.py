"""Raw events -> event frames in the form of SEE.

`Events` holds the events of a camera, `accumulate` paints them into images of three
levels, one per period. Period i covers [start + i * period, start + (i + 1) * period).
SEE does not say whether the last event or the sum decides a pixel that saw both
polarities, so `pixel` chooses.

Note: a period of 33,333 us, SEE's "33 ms", drifts from a 30 Hz clock by 10 us a second;
`Fraction(10**6, 30)` does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from numbers import Rational

import numpy as np

from seen_jax import see
from seen_jax.errors import check_option, counted, refuse

PIXEL_RULES = ("last", "sum")
MAX_PERIOD_US = 10**12  # keeps the edges of 100,000 periods within int64
_FIELDS = {"t": np.int64, "x": np.int16, "y": np.int16, "p": np.bool_}


@dataclass(frozen=True, eq=False)
class Events:
    """Events in the order in which the camera sent them; N is their number.

    Attributes:
      t: int64 (N,), microseconds, never decreasing.
      x, y: int16 (N,), column and row, from 0 at the upper left.
      p: bool (N,), polarity: True is ON (brighter), False is OFF (darker).

    Raises:
      UserError: the arrays are of other types or lengths, a timestamp decreases, or a
        coordinate is negative.
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray

    def __post_init__(self):
        for name, dtype in _FIELDS.items():
            field = getattr(self, name)
            if field.dtype != dtype or field.shape != (len(self.t),):
                rule, got = f"{np.dtype(dtype)} ({len(self.t)},)", field.dtype
                remedy = "convert it with astype"
                refuse(f"events.{name}", rule, f"{got} {field.shape}", remedy)
        remedy = "sort the events by time, keeping the order of equal timestamps"
        _check_order("events.t", self.t, "event", remedy)
        for name in ("x", "y"):
            least = getattr(self, name).min(initial=0)
            if least < 0:
                remedy = "check the conversion to int16"
                refuse(f"events.{name}", "pixels from 0", least, remedy)

    def __len__(self) -> int:
        return len(self.t)

    def join(self, later: Events) -> Events:
        """Appends later events."""
        return Events(
            *(np.concatenate([getattr(x, k) for x in (self, later)]) for k in _FIELDS)
        )

    def take(self, here: slice | np.ndarray) -> Events:
        """Keeps a part of the events: a slice, or where a mask (N,) is true."""
        return Events(self.t[here], self.x[here], self.y[here], self.p[here])

    def crop(self, x: int, y: int, size: int) -> Events:
        """Keeps the events of a square; (x, y) is its upper left pixel, then (0, 0)."""
        inside = (self.x >= x) & (self.x < x + size)
        part = self.take(inside & (self.y >= y) & (self.y < y + size))
        return replace(part, x=part.x - np.int16(x), y=part.y - np.int16(y))


@dataclass(frozen=True, eq=False)
class Recording:
    """What a DAVIS camera sent, both modalities on one clock; F intensity frames.

    It may be a packet, a short part of a stream, which `seen_jax.cameras` gives: then
    either may be empty.

    Attributes:
      events: all events.
      times_us: int64 (F,), when the exposures begin, never decreasing.
      intensity_frames: uint8 (F, H, W).
      resolution: (width, height) of the sensor, pixels.
      notes: what a reader changed or left out, a sentence each, for people.
      label: what a simulated packet shows, "" where that is not known.

    Raises:
      UserError: a shape, type or order differs, or an event is off the sensor.
    """

    events: Events
    times_us: np.ndarray
    intensity_frames: np.ndarray
    resolution: tuple[int, int]
    notes: tuple[str, ...] = ()
    label: str = ""

    def __post_init__(self):
        width, height = self.resolution
        frames, times = self.intensity_frames, self.times_us
        if frames.dtype != np.uint8 or frames.shape[1:] != (height, width):
            rule, got = f"uint8 (F, {height}, {width})", frames.dtype
            remedy = "record grey frames of the sensor"
            refuse("intensity frames", rule, f"{got} {frames.shape}", remedy)
        if times.dtype != np.int64 or times.shape != frames.shape[:1]:
            rule = f"int64 ({len(frames)},), one per intensity frame"
            got = f"{times.dtype} {times.shape}"
            refuse("times_us", rule, got, "convert it with astype")
        remedy = "sort the intensity frames by time"
        _check_order("times_us", times, "intensity frame", remedy)
        _check_inside(self.events, height, width)

    def crop(self, x: int, y: int, size: int) -> Recording:
        """Cuts a square out of both modalities; pixels are kept as they are.

        Raises:
          UserError: the square is empty or leaves the sensor.
        """
        width, height = self.resolution
        if size < 1 or not (0 <= x <= width - size and 0 <= y <= height - size):
            rule = f"a square within the {width} x {height} pixels of the sensor"
            got = f"columns {x} to {x + size - 1}, rows {y} to {y + size - 1}"
            remedy = "give X,Y,SIZE with X + SIZE and Y + SIZE at most its size"
            refuse("crop", rule, got, remedy)
        return replace(
            self,
            events=self.events.crop(x, y, size),
            intensity_frames=self.intensity_frames[:, y : y + size, x : x + size],
            resolution=(size, size),
        )


def period_edges(
    start_us: int, period_us: int | Fraction, num_periods: int
) -> np.ndarray:
    """Returns the first microsecond of each period and of the one after the last.

    An event lies in period i if edges[i] <= t < edges[i + 1]. Timestamps are whole, so
    a fractional edge is rounded up without moving an event, and edges never drift.

    Args:
      start_us: where the first period begins.
      period_us: int or Fraction, 1 to `MAX_PERIOD_US`; a float would hide its rounding.
      num_periods: at least 0.

    Returns:
      int64 (num_periods + 1,), increasing.
    """
    if not isinstance(period_us, Rational) or not 1 <= period_us <= MAX_PERIOD_US:
        rule = f"an int or Fraction of at least 1 us and at most {MAX_PERIOD_US}"
        refuse("period_us", rule, repr(period_us), f"SEE's is {see.FRAME_PERIOD_US}")
    if num_periods < 0:
        remedy = "num_periods_of counts those that hold all events"
        refuse("num_periods", "at least 0", num_periods, remedy)
    return np.array(
        [edge_us(start_us, period_us, i) for i in range(num_periods + 1)], np.int64
    )


def edge_us(start_us: int, period_us: int | Fraction, index: int) -> int:
    """Returns the first microsecond of the period of an index, which starts at 0."""
    return start_us + math.ceil(index * period_us)


def num_periods_of(events: Events, start_us: int, period_us: int | Fraction) -> int:
    """Counts the periods from `start_us` to the one that holds the last event."""
    period_edges(start_us, period_us, 0)  # checks the period
    return int((int(events.t[-1]) - start_us) // period_us) + 1 if len(events) else 0


def count_per_period(
    events: Events, *, start_us: int, period_us: int | Fraction, num_periods: int
) -> np.ndarray:
    """Counts the events of each period: int64 (num_periods,); errors: `accumulate`."""
    edges = period_edges(start_us, period_us, num_periods)
    return np.diff(_bounds(events, edges))


def accumulate(
    events: Events,
    *,
    start_us: int,
    period_us: int | Fraction = see.FRAME_PERIOD_US,
    num_periods: int,
    shape: tuple[int, int],
    pixel: str = "last",
) -> np.ndarray:
    """Paints the events of each period into one event frame.

    Args:
      events: all of them lie in the periods and in the image.
      start_us, period_us, num_periods: see `period_edges`.
      shape: (H, W) of the image, pixels.
      pixel: `last`, the last event of the period decides a pixel; `sum`, the sign of
        ON minus OFF does, and a pixel with equally many of both counts as one without
        events.

    Returns:
      uint8 (N, H, W) of EVENT_OFF, EVENT_NONE and EVENT_ON.

    Raises:
      UserError: an event lies outside of the periods or the image, so that it would be
        lost; an argument is out of its range.
    """
    check_option("pixel", pixel, PIXEL_RULES)
    height, width = shape
    _check_inside(events, height, width)
    bounds = _bounds(events, period_edges(start_us, period_us, num_periods))
    paint = _paint_last if pixel == "last" else _paint_sum
    event_frames = np.full((num_periods, height * width), see.EVENT_NONE, np.uint8)
    for event_frame, begin, end in zip(
        event_frames, bounds[:-1], bounds[1:], strict=True
    ):
        index = events.y[begin:end].astype(np.intp)
        index *= width
        index += events.x[begin:end]
        paint(event_frame, index, events.p[begin:end])
    return event_frames.reshape(num_periods, height, width)


def _paint_last(event_frame: np.ndarray, index: np.ndarray, p: np.ndarray) -> None:
    """Paints the polarity of the last event of each pixel.

    Not `event_frame[index] = level`: NumPy does not promise which value stays where an
    index is repeated. A maximum does not depend on the order: each event carries
    2 * position + polarity, and the largest of a pixel belongs to its last event.
    """
    last = np.full(event_frame.shape, -1, np.intp)
    ranks = np.arange(0, 2 * len(index), 2, np.intp)
    ranks += p
    np.maximum.at(last, index, ranks)
    painted = np.flatnonzero(last >= 0)
    event_frame[painted] = np.where(last[painted] & 1, see.EVENT_ON, see.EVENT_OFF)


def _paint_sum(event_frame: np.ndarray, index: np.ndarray, p: np.ndarray) -> None:
    """Paints the sign of the number of ON events minus that of OFF events."""
    index *= 2
    index += p
    counts = np.bincount(index, minlength=2 * event_frame.size).reshape(-1, 2)
    event_frame[counts[:, 1] < counts[:, 0]] = see.EVENT_OFF
    event_frame[counts[:, 1] > counts[:, 0]] = see.EVENT_ON


def _bounds(events: Events, edges: np.ndarray) -> np.ndarray:
    """Returns where the events of each period begin; raises if one is in no period."""
    bounds = np.searchsorted(events.t, edges)
    if bounds[0] != 0 or bounds[-1] != len(events):
        rule = f"timestamps in [{edges[0]}, {edges[-1]}) us"
        got = (
            f"{counted(bounds[0], 'event')} before and {len(events) - bounds[-1]} after"
        )
        remedy = "start earlier and take num_periods from num_periods_of"
        refuse("events", rule, got, remedy)
    return bounds


def _check_order(name: str, times_us: np.ndarray, item: str, remedy: str) -> None:
    """Raises if a timestamp is earlier than the one before it."""
    late = np.flatnonzero(times_us[1:] < times_us[:-1])
    if late.size:
        i = int(late[0])
        got = f"{times_us[i + 1]} us after {times_us[i]} us at {item} {i + 1}"
        got += f" ({late.size} such places)"
        refuse(name, "timestamps that never decrease", got, remedy)


def _check_inside(events: Events, height: int, width: int) -> None:
    """Raises if an event is to the right of the image or below; none is negative."""
    if not len(events):
        return
    x, y = int(events.x.max()), int(events.y.max())
    if x >= width or y >= height:
        rule = f"x below {width} and y below {height}"
        refuse("events", rule, f"x up to {x} and y up to {y}", "crop them first")


if __name__ == "__main__":  # an old script must not pass unseen
    raise SystemExit("a recording becomes images by python -m seen_jax.event_folder")
