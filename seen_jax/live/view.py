"""What a page and a film show of moments, and what never changes in them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from seen_jax.palette import colours
from seen_jax.runtime.seen_runtime import SIZE, Runtime

STEADY_US = 333_333  # a new answer leads for so long before it is the answer
HISTORY_US = 30_000_000
STRIP = 13  # frames in the strip, or more where a window spans more
_DARK, _BRIGHT, _MOST = 96, 192, 8.0


@dataclass(frozen=True)
class About:
    """What does not change while a program runs.

    Attributes:
      source: as the user gave it.
      setting: of the bundle, such as "E4_S3".
      classes: of the bundle.
      colours: of the classes, #rrggbb.
      labels: that keys stand for.
      device: that computes, in words.
      frames_per_s: periods a second.
      strip: frames in the strip.
      event_ages, intensity_ages: periods before the newest that a window reads.
      size: rows and columns of a frame as the network gets it.
      can_record: whether a folder to record into was given.
    """

    source: str
    setting: str
    classes: list[str]
    colours: list[str]
    labels: list[str]
    device: str
    frames_per_s: float
    strip: int
    event_ages: list[int]
    intensity_ages: list[int]
    can_record: bool
    size: int = SIZE

    @classmethod
    def of(cls, source: str, runtime: Runtime, labels: list[str], can_record: bool):
        """Reads these from a bundle."""
        manifest = runtime.manifest
        length, skip = manifest["num_event_frames"], manifest["skip"]
        ages = [(length - 1 - i) * (skip + 1) for i in range(length)]
        return cls(
            source=source,
            setting=f"E{length}_S{skip}",
            classes=manifest["classes"],
            colours=colours(manifest["classes"]),
            labels=labels,
            device=runtime.device,
            frames_per_s=manifest["frames_per_s"],
            strip=max(STRIP, ages[0] + 1),
            event_ages=ages,
            intensity_ages=[ages[i] for i in manifest["intensity_places"]],
            can_record=can_record,
        )


@dataclass
class Steady:
    """The answer in words, which does not flicker.

    Attributes:
      name: the answer; "" before the first one.
    """

    name: str = ""
    _leader: str = field(default="", repr=False)
    _since_us: int = field(default=0, repr=False)

    def see(self, name: str, time_us: int) -> str:
        """Takes the most probable class of the newest window; returns the answer.

        Args:
          name: of the class with the highest probability.
          time_us: of the window; where it goes back, the camera restarted.
        """
        if name != self._leader or time_us < self._since_us:
            self._leader, self._since_us = name, time_us
        if not self.name or time_us - self._since_us >= STEADY_US:
            self.name = name
        return self.name


def brightening(image: np.ndarray) -> float:
    """Returns the factor by which to brighten a dark uint8 image: 1, 2, 4 or 8."""
    level = max(1.0, float(np.percentile(image[::4, ::4], 98)))
    if level >= _DARK:
        return 1.0
    return float(min(_MOST, 2.0 ** np.round(np.log2(_BRIGHT / level))))
