"""Periods -> moments: the images of each, and the prediction over the latest window."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from seen_jax.cameras.periods import Period
from seen_jax.errors import UserError, counted
from seen_jax.event_folder import centre_square
from seen_jax.events import Recording, accumulate
from seen_jax.live.intake import Arrival
from seen_jax.runtime.seen_runtime import LAYERS, SIZE, Runtime, Stream

_WARM_UP = 3  # windows; a backend's first ones take longer
_STALE = 2  # periods, as of `seen_jax.staleness`
_FRESH_S = 1.0  # without stale periods, after which they are reported again


@dataclass(frozen=True, eq=False)
class Moment:
    """What is known when a period is over.

    Attributes:
      number: of the period, from 0; where it jumps, periods were dropped.
      time_us: the period's end, by the camera's clock.
      ended_s: when that was, by this computer's clock.
      sensor: uint8 (H, W), the whole intensity frame.
      crop: (x, y, size) of the images in it, pixels.
      event_frame, intensity_frame: uint8 (S, S), the crop's.
      probabilities: float32 (K,), of the bundle's classes; None if the window is
        incomplete, or a newer period had already arrived.
      spikes: by name of a layer, in this window; None without a prediction, and where
        the backend does not count.
      operations: weights that these spikes added to sums; None likewise.
      latency_ms: from the period's end to the prediction; None without one.
      events_per_s: of the whole sensor, over the last second.
      dropped: periods that are missing in the stream, so far.
      missed: periods not predicted because a newer one had arrived, so far.
      notes: what happened since the last moment, a sentence each.
      label: what the camera saw, "" where that is not known.
    """

    number: int
    time_us: int
    ended_s: float
    sensor: np.ndarray
    crop: tuple[int, int, int]
    event_frame: np.ndarray
    intensity_frame: np.ndarray
    probabilities: np.ndarray | None
    spikes: dict[str, int] | None
    operations: int | None
    latency_ms: float | None
    events_per_s: float
    dropped: int
    missed: int
    notes: tuple[str, ...]
    label: str


@dataclass
class Engine:
    """Predicts as periods come.

    Attributes:
      runtime: of a bundle.
      crop: (x, y, size) in pixels; None takes SEE's square in the middle.
      pixel: see `seen_jax.events.accumulate`.
      clock: seconds, that of the arrivals.
      counts: periods, predicted, filling and incomplete windows, missed, dropped,
        stale (the intensity frame is older than two periods, or comes more than one
        later), events, so far.
    """

    runtime: Runtime
    crop: tuple[int, int, int] | None = None
    pixel: str = "last"
    clock: Callable[[], float] = time.monotonic
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self):
        names = "periods predicted filling incomplete missed dropped stale events"
        self.counts = dict.fromkeys(names.split(), 0)
        self._stream, self._last = Stream(self.runtime), None
        self._second = deque(maxlen=round(self.runtime.manifest["frames_per_s"]) or 1)
        self._stale_us = None  # the end of the latest stale period
        for _ in range(_WARM_UP):
            shapes = ((1, n, SIZE, SIZE) for n in self.runtime.lengths)
            self.runtime.logits(*(np.zeros(x, np.float32) for x in shapes))

    def take(self, arrivals: Sequence[Arrival]) -> list[Moment]:
        """Takes the periods that have come, and predicts at the last one of them.

        Raises:
          UserError: the crop leaves the sensor.
          BackendError: the backend fails.
        """
        return [self._moment(x, is_newest=x is arrivals[-1]) for x in arrivals]

    def move_crop(self, crop: tuple[int, int, int]) -> None:
        """Sets the crop from now on; no window mixes images of both places."""
        self.crop, self._stream = crop, Stream(self.runtime)

    def _moment(self, arrival: Arrival, is_newest: bool) -> Moment:
        period = arrival.period
        event_frame, intensity_frame, late = self._images(arrival)
        notes = [*arrival.notes, *self._follow(arrival)]
        if late:
            notes.append(f"{counted(late, 'event')} left out, after the period's end")
        self._stream.push_event(period.index, event_frame)
        self._stream.push_intensity(period.index, intensity_frame)
        probabilities = self._predicted() if is_newest else None
        self.counts["missed"] += not is_newest
        spikes = operations = latency_ms = None
        if probabilities is not None:
            latency_ms = 1000 * (self.clock() - arrival.ended_s)
            if (fired := self.runtime.spikes) is not None:
                spikes = dict(zip(LAYERS, fired[0].tolist(), strict=True))
                operations = int(self.runtime.operations[0])
        return Moment(
            number=period.index,
            time_us=period.end_us,
            ended_s=arrival.ended_s,
            sensor=period.intensity_frame,
            crop=self.crop,
            event_frame=event_frame,
            intensity_frame=intensity_frame,
            probabilities=probabilities,
            spikes=spikes,
            operations=operations,
            latency_ms=latency_ms,
            events_per_s=self._rate(),
            dropped=self.counts["dropped"],
            missed=self.counts["missed"],
            notes=tuple(notes),
            label=period.label,
        )

    def _follow(self, arrival: Arrival) -> list[str]:
        """Restarts the stream where no window reaches back; returns what happened."""
        period, last, notes = arrival.period, self._last, []
        self._last = period
        length_us = period.end_us - period.start_us
        self._second.append((len(period.events), length_us))
        self.counts["periods"] += 1
        self.counts["events"] += len(period.events)
        if last is not None and (dropped := period.index - last.index - 1):
            self.counts["dropped"] += dropped
            if has_restarted := period.start_us < last.end_us:
                notes.append("the camera's clock restarted, and so do the windows")
            else:
                notes.append(
                    f"{counted(dropped, 'period')} dropped: a gap in the timestamps"
                )
            if has_restarted or dropped >= self._stream.span:
                self._stream = Stream(self.runtime)
        return notes + self._staleness(period, length_us)

    def _staleness(self, period: Period, length_us: int) -> list[str]:
        """Counts a stale period; returns a note for the first of several."""
        age_us = period.end_us - period.intensity_us
        if -length_us <= age_us <= _STALE * length_us:
            return []
        self.counts["stale"] += 1
        last_us, self._stale_us = self._stale_us, period.end_us
        if last_us is not None and 0 <= period.end_us - last_us <= 1e6 * _FRESH_S:
            return []
        if age_us < 0:
            text = f"the first intensity frame comes {-age_us / 1000:.0f} ms later"
            return [f"{text} and is shown until then"]
        return [f"no intensity frame for {age_us / 1000:.0f} ms"]

    def _images(self, arrival: Arrival) -> tuple[np.ndarray, np.ndarray, int]:
        """Returns a period's images, as `event_folder` makes them, and late events."""
        period = arrival.period
        if self.crop is None:
            self.crop = centre_square(arrival.resolution)
        begin = int(np.searchsorted(period.events.t, period.start_us))
        events = period.events.take(slice(begin, None))
        frames = np.array([period.intensity_us]), period.intensity_frame[None]
        part = Recording(events, *frames, arrival.resolution)
        try:
            part = part.crop(*self.crop)
        except UserError as error:
            raise UserError(f"--{error}") from error  # a page gives only crops that fit
        event_frames = accumulate(
            part.events,
            start_us=period.start_us,
            period_us=period.end_us - period.start_us,
            num_periods=1,
            shape=part.resolution[::-1],
            pixel=self.pixel,
        )
        return event_frames[0], part.intensity_frames[0], begin

    def _predicted(self) -> np.ndarray | None:
        before = dict(self._stream.counts)
        prediction = self._stream.predict()
        for name in ("predicted", "filling", "incomplete"):
            self.counts[name] += self._stream.counts[name] - before[name]
        return None if prediction is None else prediction.probabilities

    def _rate(self) -> float:
        events, length_us = map(sum, zip(*self._second, strict=True))
        return 1e6 * events / length_us
