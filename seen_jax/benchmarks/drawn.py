"""Clips that are drawn: as long as those of SEE, of images that mean nothing.

For what depends on sizes alone, where no data is. What a reader would get wrong: the
images repeat after `NUM_FRAMES`, but each lies in a place of its own in memory.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from seen_jax import see
from seen_jax.data.store import Store

# Of a clip's frames; measured over the 2,405 clips of SEE's published statistics.
MEAN_LENGTH, STD_LENGTH, MIN_LENGTH, MAX_LENGTH = 53.5, 15.19, 18, 131
NUM_FRAMES = 256


@dataclass(frozen=True)
class DrawnRecords:
    """Stands for `seen_jax.data.records.Records`, as far as rows of a store need it.

    Attributes:
      segments: (N, 2) int32, the frames [start, end) of each clip.
      label_index: (N,) int32.
    """

    segments: np.ndarray
    label_index: np.ndarray

    def __len__(self) -> int:
        return len(self.segments)


def draw_records(num_clips: int, seed: int) -> DrawnRecords:
    """Draws lengths and labels."""
    rng = np.random.default_rng(seed)
    lengths = rng.normal(MEAN_LENGTH, STD_LENGTH, num_clips).round()
    ends = lengths.clip(MIN_LENGTH, MAX_LENGTH).astype(np.int32)
    segments = np.stack([np.zeros_like(ends), ends], axis=1)
    labels = rng.integers(0, len(see.EMOTIONS), num_clips, np.int32)
    return DrawnRecords(segments, labels)


def draw_store(num_clips: int, seed: int) -> Store:
    """Draws a store in memory: 0.9 MB a clip."""
    records = draw_records(num_clips, seed)
    lengths = records.segments[:, 1]
    rng = np.random.default_rng(seed)
    size = see.INPUT_SIZE, see.INPUT_SIZE

    def frames(mean, std):
        drawn = 255 * rng.normal(mean, std, (NUM_FRAMES, *size))
        drawn = drawn.clip(0, 255).astype(np.uint8)
        return np.resize(drawn, (lengths.sum(), *size))

    return Store(
        records,
        Path("drawn"),
        frames(see.EVENT_MEAN, see.EVENT_STD),
        frames(see.INTENSITY_MEAN, see.INTENSITY_STD),
        np.cumsum(lengths, dtype=np.int32) - lengths,
    )


def draw_jpegs(count: int) -> list[bytes]:
    """Draws smooth grey images of the size of SEE's, as JPEG files."""
    rng, size = np.random.default_rng(0), (see.IMAGE_SIZE, see.IMAGE_SIZE)
    files = []
    for coarse in rng.integers(0, 256, (count, 12, 12), np.uint8):
        stream = io.BytesIO()
        image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        image.save(stream, "JPEG")
        files.append(stream.getvalue())
    return files
