"""Intensity frames as cameras send them -> 8 bits of grey, in place on the sensor.

A DAVIS digitises an intensity frame to 10 bits. iniVation's software mostly gives 8 of
them; some of it gives the 10 bits as they are, or moved to the top of 16. A stream has
one depth: `bits_of` tells it from the values, and a later frame that contradicts it is
refused.

Reference: iniVation, DAVIS346 (10-bit converter) and libcaer's frame events, which
shift 10 bits by 6; ITU-R BT.601 for the weights of colours.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from seen_jax.errors import counted, refuse

_CONVERTER_BITS = 10
_WEIGHTS = {"BGR": (114, 587, 299), "RGB": (299, 587, 114)}  # of 1000, BT.601


class GreyFrames:
    """Converts the frames of one stream, and counts what it had to change.

    Args:
      resolution: (width, height) of the sensor, pixels.
      order: of the channels of a colour frame, BGR or RGB; a fourth one is ignored.
    """

    def __init__(self, resolution: tuple[int, int], order: str = "BGR"):
        self._width, self._height = resolution
        self._weights = np.array(_WEIGHTS[order], np.uint32)
        self._bits: int | None = None
        self._counts: Counter[str] = Counter()

    def __call__(
        self, pixels: np.ndarray, place: tuple[int, int] = (0, 0)
    ) -> np.ndarray:
        """Converts a frame.

        Args:
          pixels: uint8 or uint16 (h, w), or colour (h, w, 1), (h, w, 3), (h, w, 4).
          place: (x, y) on the sensor of its upper left pixel.

        Returns:
          uint8 (H, W), the whole sensor; pixels that the frame does not have are 0.

        Raises:
          UserError: it is of another type or shape, leaves the sensor, or has larger
            values than the stream's depth.
        """
        kinds = pixels.dtype in (np.uint8, np.uint16), pixels.ndim
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        if kinds not in ((True, 2), (True, 3)) or channels not in (1, 3, 4):
            rule, got = "uint8 or uint16, grey or colour", f"{pixels.dtype}"
            refuse("intensity frames", rule, f"{got} {pixels.shape}", "record grey")
        if pixels.dtype == np.uint16:
            pixels = self._to_8_bits(pixels)
        if pixels.ndim == 3:
            pixels = self._to_grey(pixels)
        return self._to_sensor(pixels, *place)

    def notes(self) -> tuple[str, ...]:
        """Says what was changed so far, with the number of frames."""
        return tuple(
            f"{counted(count, 'intensity frame')} {what}"
            for what, count in self._counts.items()
        )

    def _to_8_bits(self, pixels: np.ndarray) -> np.ndarray:
        if self._bits is None:
            self._bits = bits_of(pixels)
        bits = self._bits or _CONVERTER_BITS  # all zero so far
        if (most := int(pixels.max(initial=0))) >> bits:
            remedy = "record 8-bit frames"
            refuse("intensity frames", f"{bits} bits as before", most, remedy)
        self._counts[f"of {bits} bits scaled to 8"] += 1
        return (pixels >> (bits - 8)).astype(np.uint8)

    def _to_grey(self, pixels: np.ndarray) -> np.ndarray:
        if pixels.shape[2] == 1:
            return pixels[:, :, 0]
        self._counts["in colour turned into grey"] += 1
        weighted = pixels[:, :, :3].astype(np.uint32) * self._weights
        return ((weighted.sum(-1, dtype=np.uint32) + 500) // 1000).astype(np.uint8)

    def _to_sensor(self, pixels: np.ndarray, x: int, y: int) -> np.ndarray:
        height, width = pixels.shape
        if (height, width) == (self._height, self._width) and not (x or y):
            return pixels
        if min(x, y) < 0 or x + width > self._width or y + height > self._height:
            rule = f"a place within the {self._width} x {self._height} pixels"
            got = f"{width} x {height} at {x},{y}"
            refuse("intensity frames", rule, got, "record the whole sensor")
        region = f"of the region {width} x {height} at {x},{y}, black around it"
        self._counts[region] += 1
        image = np.zeros((self._height, self._width), np.uint8)
        image[y : y + height, x : x + width] = pixels
        return image


def bits_of(pixels: np.ndarray) -> int | None:
    """Tells the depth of 16-bit pixels: 10, or 16; None where all of them are 0.

    Ten bits that were shifted by 6 are multiples of 64, dark frames too.
    """
    most = int(pixels.max(initial=0))
    if not most:
        return None
    full = most >> _CONVERTER_BITS or not (pixels & 63).any()
    return 16 if full else _CONVERTER_BITS
