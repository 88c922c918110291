"""One clip as its JPEG files, and their decoding to frames of the network's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seen_jax import images, see
from seen_jax.errors import UserError, refuse

KINDS = ("event", "frame")  # the folders of a SEE folder


@dataclass(frozen=True)
class Record:
    """One clip: JPEG files of its event and its intensity frames, in order."""

    name: str
    event_jpegs: tuple[bytes, ...]
    frame_jpegs: tuple[bytes, ...]

    def jpegs(self, kind: str) -> tuple[bytes, ...]:
        """Returns the JPEG files of one of `KINDS`."""
        return self.event_jpegs if kind == "event" else self.frame_jpegs

    def decode(self, kind: str, numbers: Sequence[int]) -> np.ndarray:
        """Decodes frames: (len(numbers), H, W) uint8.

        Raises:
          UserError: an image is missing or is not a JPEG; names the clip and the frame.
        """
        jpegs = self.jpegs(kind)
        frames = np.empty((len(numbers), see.INPUT_SIZE, see.INPUT_SIZE), np.uint8)
        for frame, number in zip(frames, numbers, strict=True):
            try:
                frame[:] = images.load_input(jpegs[number])
            except (UserError, ValueError, IndexError) as error:
                rule = f"a square JPEG as {kind} frame {number}"
                refuse(self.name, rule, error, "build the records again")
        return frames
