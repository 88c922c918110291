"""The one preprocessing: bytes of a JPEG or PNG -> uint8 image -> normalised input.

Decoding and resizing run on the host and end in uint8; normalising runs where the
network runs, on NumPy and JAX arrays alike. The resize averages all pixels that an
output pixel covers, of event frames too: their three levels become a scale.

Note: the resize rounds to 8 bits, so normalising before it gives other numbers.

Reference: the published program's transforms: Pillow's bilinear resize of the shorter
side to 90, division by 255, channel statistics of the dataset.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from seen_jax import see
from seen_jax.errors import refuse

FORMATS = ("JPEG", "PNG")  # no other: Pillow runs Ghostscript on PostScript
MAX_PIXELS = 1 << 24  # of an image; SEE's have 32,400
MAX_BYTES = 64 << 20  # of an image's file
# Pillow's own limit is higher; beyond `MAX_PIXELS` the image is refused here.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
_BOMB = Image.DecompressionBombError, Image.DecompressionBombWarning


def decode_jpeg(data: bytes) -> np.ndarray:
    """Decodes a grey JPEG or PNG, or RGB of equal channels: uint8 (H, W), read-only.

    A JPEG carries no checksum: bytes changed within its scan may decode silently to
    another image.

    Raises:
      UserError: the data is neither, is cut short, has colours, or has more than
        `MAX_PIXELS`, which is known before any of them is decoded.
    """
    try:
        # Not Image.draft: it would decode at half size, with other grey levels.
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        why = f"{image.format} of mode {image.mode}"
        if width * height > MAX_PIXELS:
            why = f"{width} x {height} pixels, of at most {MAX_PIXELS}"
        elif image.mode == "L":
            return np.asarray(image)
        elif image.mode == "RGB":
            pixels = np.asarray(image)
            if (pixels == pixels[..., :1]).all():
                grey = np.ascontiguousarray(pixels[..., 0])
                grey.flags.writeable = False
                return grey
    except UnidentifiedImageError:  # its text is an address in memory
        why = "not a JPEG or PNG"
    except (OSError, SyntaxError, ValueError, *_BOMB) as error:
        why = str(error)
    remedy = "check the folder it comes from with python -m seen_jax.see_folder"
    refuse("image", "a complete grey JPEG or PNG", f"{len(data)} bytes ({why})", remedy)


def resize(image: np.ndarray, size: int = see.INPUT_SIZE) -> np.ndarray:
    """Resizes the shorter side to `size`, bilinear with antialiasing.

    Args:
      image: uint8 (H, W).
      size: pixels of the shorter side; the longer side keeps the aspect, rounded down:
        `size * longer // shorter`.

    Returns:
      uint8 (H', W'), read-only.

    Raises:
      UserError: the image is not uint8 of two axes, or size is below 1.
    """
    if image.dtype != np.uint8 or image.ndim != 2 or 0 in image.shape:
        got = f"{image.dtype} {image.shape}"
        refuse("image", "uint8 (H, W) with pixels", got, "decode it with decode_jpeg")
    if size < 1:
        refuse("size", "at least 1 pixel", size, "try 90")
    if image.shape == (2 * size, 2 * size) and size > 1:
        return _halved(image)
    height, width = image.shape
    shorter = min(width, height)
    new_size = size * width // shorter, size * height // shorter
    resized = Image.fromarray(image).resize(new_size, Image.Resampling.BILINEAR)
    return np.asarray(resized)


def load_input(data: bytes, size: int = see.INPUT_SIZE) -> np.ndarray:
    """Decodes and resizes: `resize(decode_jpeg(data), size)`, with their errors."""
    return resize(decode_jpeg(data), size)


def save_frames(folder: Path, frames: np.ndarray, ending: str = "jpg") -> None:
    """Writes uint8 frames (N, H, W) as 00000.jpg, 00001.jpg, ... into a new folder.

    An ending `jpg` gives grey ones of SEE's quality, `png` exact ones.
    """
    folder.mkdir(parents=True)
    for i, frame in enumerate(frames):
        path = folder / f"{i:05d}.{ending}"
        Image.fromarray(frame).save(path, quality=see.JPEG_QUALITY)


def normalise_events(event_frames: Any, dtype: Any = np.float32) -> Any:
    """Scales uint8 event frames of any shape to the network's input.

    Args:
      event_frames: uint8, a NumPy or JAX array, traced or not.
      dtype: floating type of the result; float64 serves comparisons.

    Returns:
      An array of the same kind and shape, `(x / 255 - mean) / std`.

    Raises:
      UserError: the values are not uint8, so that they may be scaled already.
    """
    return _normalised(event_frames, see.EVENT_MEAN, see.EVENT_STD, dtype)


def normalise_intensity(intensity_frames: Any, dtype: Any = np.float32) -> Any:
    """Scales uint8 intensity frames; otherwise as `normalise_events`."""
    return _normalised(intensity_frames, see.INTENSITY_MEAN, see.INTENSITY_STD, dtype)


def _halved(image: np.ndarray) -> np.ndarray:
    """Computes Pillow's bilinear resize to half the size, in half of its time.

    Images of SEE are twice as large as the network's. There the filter weighs four
    pixels by 1 3 3 1, which needs whole numbers only.
    """
    pairs = np.ascontiguousarray(image).view("<u2")  # two pixels of a row in one number
    # Columns first, and rounded to 8 bits between, as Pillow does.
    columns = _halve_rows((pairs & 255).T, (pairs >> 8).T).T
    return _halve_rows(columns[0::2], columns[1::2]).astype(np.uint8)


def _halve_rows(even: np.ndarray, odd: np.ndarray) -> np.ndarray:
    """Weighs rows of 8-bit values by 1 3 3 1, in uint16; both arguments (H, ...)."""
    total = even + odd
    total *= 3
    total[1:] += odd[:-1]
    total[:-1] += even[1:]
    last = len(total) - 1
    # The first row has no left neighbour and the last no right: 3 3 1, over 7.
    ends = (2 * total[::last] + 7) // 14
    total += 4
    total >>= 3
    total[::last] = ends
    return total


def _normalised(x: Any, mean: float, std: float, dtype: Any) -> Any:
    if x.dtype != np.uint8:
        remedy = "normalise once, after decoding and resizing"
        refuse("image", "uint8 grey levels 0 to 255", x.dtype, remedy)
    return (x.astype(dtype) / 255 - mean) / std
