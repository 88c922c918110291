"""Raw events -> event frames in the form of SEE.

`Events` holds what the camera saw, `accumulate` paints it into images of three levels,
one per period. Period i covers [start + i * period, start + (i + 1) * period): its
right edge belongs to the next one. What a reader would get wrong: SEE does not say
whether the last event or the sum decides a pixel that saw both polarities, so `pixel`
chooses; and 1/30 s is no whole number of microseconds. A period of 33,333 us, SEE's
"33 ms", falls behind a 30 Hz clock by 10 us a second; `Fraction(10**6, 30)` does not.

    python -m seen_jax.events RECORDING.aedat4 --out DIR    see `seen_jax.event_folder`
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from numbers import Rational

import numpy as np

from seen_jax import see

PIXEL_RULES = ("last", "sum")
_FIELDS = {"t": np.int64, "x": np.int16, "y": np.int16, "p": np.bool_}


@dataclass(frozen=True, eq=False)
class Events:
    """Events in the order in which the camera sent them; N is their number.

    Attributes:
      t: int64 (N,), microseconds, never decreasing.
      x, y: int16 (N,), column and row, from 0 at the upper left.
      p: bool (N,), polarity: True is ON (brighter), False is OFF (darker).

    Raises:
      ValueError: the arrays are of other types or lengths, a timestamp decreases, or a
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
                raise ValueError(
                    f"events.{name}: expected {np.dtype(dtype)} ({len(self.t)},), "
                    f"got {field.dtype} {field.shape}; convert it with astype"
                )
        late = np.flatnonzero(self.t[1:] < self.t[:-1])
        if late.size:
            i = int(late[0])
            raise ValueError(
                "events.t: expected timestamps that never decrease, got "
                f"{self.t[i + 1]} us after {self.t[i]} us at event {i + 1} "
                f"({late.size} such places); sort the events by time, keeping the "
                "order of equal timestamps"
            )
        for name in ("x", "y"):
            if len(self) and getattr(self, name).min() < 0:
                raise ValueError(
                    f"events.{name}: expected pixels from 0, "
                    f"got {getattr(self, name).min()}; check the conversion to int16"
                )

    def __len__(self) -> int:
        return len(self.t)

    def crop(self, x: int, y: int, size: int) -> Events:
        """Keeps the events of a square; (x, y) is its upper left pixel, then (0, 0)."""
        inside = (
            (self.x >= x) & (self.x < x + size) & (self.y >= y) & (self.y < y + size)
        )
        return Events(
            self.t[inside],
            self.x[inside] - np.int16(x),
            self.y[inside] - np.int16(y),
            self.p[inside],
        )


@dataclass(frozen=True, eq=False)
class Recording:
    """What a DAVIS camera recorded, both modalities on one clock; F intensity frames.

    Attributes:
      events: all events.
      times_us: int64 (F,), begins of the exposures, never decreasing.
      intensity_frames: uint8 (F, H, W).
      resolution: (width, height) of the sensor, pixels.

    Raises:
      ValueError: a shape, type or order is another, or an event is off the sensor.
    """

    events: Events
    times_us: np.ndarray
    intensity_frames: np.ndarray
    resolution: tuple[int, int]

    def __post_init__(self):
        width, height = self.resolution
        frames, times = self.intensity_frames, self.times_us
        if frames.dtype != np.uint8 or frames.shape[1:] != (height, width):
            raise ValueError(
                f"intensity frames: expected uint8 (F, {height}, {width}), "
                f"got {frames.dtype} {frames.shape}; record grey frames of the sensor"
            )
        if times.dtype != np.int64 or times.shape != frames.shape[:1]:
            raise ValueError(
                f"times_us: expected int64 ({len(frames)},), one per intensity frame, "
                f"got {times.dtype} {times.shape}; convert it with astype"
            )
        if (times[1:] < times[:-1]).any():
            raise ValueError(
                "times_us: expected timestamps that never decrease, "
                f"got {times.tolist()}; sort the intensity frames by time"
            )
        _check_inside(self.events, height, width)

    def crop(self, x: int, y: int, size: int) -> Recording:
        """Cuts a square out of both modalities; pixels are kept as they are.

        Raises:
          ValueError: the square is empty or leaves the sensor.
        """
        width, height = self.resolution
        if size < 1 or not (0 <= x <= width - size and 0 <= y <= height - size):
            raise ValueError(
                f"crop: expected a square within the {width} x {height} pixels of the "
                f"sensor, got columns {x} to {x + size - 1}, rows {y} to {y + size - 1}"
                "; give X,Y,SIZE with X + SIZE and Y + SIZE at most the sensor's size"
            )
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
      start_us: begin of the first period.
      period_us: an int or a Fraction, positive; a float would hide its rounding.
      num_periods: at least 0.

    Returns:
      int64 (num_periods + 1,), increasing.
    """
    if not isinstance(period_us, Rational) or period_us < 1:
        raise ValueError(
            "period_us: expected an int or Fraction of at least 1 us, "
            f"got {period_us!r}; SEE's is {see.FRAME_PERIOD_US}"
        )
    if num_periods < 0:
        raise ValueError(
            f"num_periods: expected at least 0, got {num_periods}; "
            "num_periods_of counts those that hold all events"
        )
    return np.array(
        [start_us + math.ceil(i * period_us) for i in range(num_periods + 1)], np.int64
    )


def num_periods_of(events: Events, start_us: int, period_us: int | Fraction) -> int:
    """Counts the periods from `start_us` to the one that holds the last event."""
    period_edges(start_us, period_us, 0)  # checks the period
    return int((int(events.t[-1]) - start_us) // period_us) + 1 if len(events) else 0


def count_per_period(
    events: Events, *, start_us: int, period_us: int | Fraction, num_periods: int
) -> np.ndarray:
    """Counts the events of each period; the counts sum to `len(events)`.

    Returns:
      int64 (num_periods,).

    Raises:
      ValueError: as `accumulate`.
    """
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
        ON minus OFF does, and a pixel with as many of both is as one without events.

    Returns:
      uint8 (N, H, W) of EVENT_OFF, EVENT_NONE and EVENT_ON.

    Raises:
      ValueError: an event lies outside of the periods or the image, so that it would be
        lost; an argument is not as above.
    """
    if pixel not in PIXEL_RULES:
        raise ValueError(f"pixel: expected {see.one_of(PIXEL_RULES)}, got {pixel!r}")
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

    Not `event_frame[index] = level`: NumPy's reference gives no guarantee which value
    stays where an index is repeated. A maximum does not depend on the order: each event
    carries 2 * position + polarity, and the largest of a pixel is its last.
    """
    last = np.full(event_frame.shape, -1, np.intp)
    ranks = np.arange(0, 2 * len(index), 2, np.intp)
    ranks += p
    np.maximum.at(last, index, ranks)
    seen = np.flatnonzero(last >= 0)
    event_frame[seen] = np.where(last[seen] & 1, see.EVENT_ON, see.EVENT_OFF)


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
        raise ValueError(
            f"events: expected timestamps in [{edges[0]}, {edges[-1]}) us, got "
            f"{bounds[0]} events before and {len(events) - bounds[-1]} after; start "
            "earlier and take num_periods from num_periods_of, or slice the events"
        )
    return bounds


def _check_inside(events: Events, height: int, width: int) -> None:
    """Raises if an event is to the right of the image or below; none is negative."""
    if not len(events):
        return
    x, y = int(events.x.max()), int(events.y.max())
    if x >= width or y >= height:
        raise ValueError(
            f"events: expected x below {width} and y below {height}, "
            f"got x up to {x} and y up to {y}; crop them first"
        )


if __name__ == "__main__":
    from seen_jax import event_folder

    raise SystemExit(event_folder.main())
