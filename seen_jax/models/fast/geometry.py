"""An image's size -> the pixels that the network's output depends on.

Convolution after convolution is convolution: `FIRST` has the kernel and the stride of
the whole first stage, `DEEP` those of conv2_f2 and conv3_f2 together. Row r of the
output therefore reads rows 4 r - 1 to 4 r + 1 of conv2_f2's output and rows 8 r - 3 to
8 r + 3 of the first stage's. Neither overlaps with what row r + 1 reads, so n x n
outputs are kept as blocks, (n, n, 3, 3, C) and (n, n, 7, 7, C), in which nothing is
missing or superfluous but places outside an image, which are zero.

All of this follows from `seen.STAGES`; the numbers in the text are for the reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from seen_jax.models.seen import SCALES, STAGES, Stage

SECOND, THIRD = STAGES["conv2_f2"], STAGES["conv3_f2"]
FIRST = Stage(  # (64, 7, 2): the largest scale holds the others, conv1_cat adds nothing
    features=STAGES["conv1_cat"].features,
    kernel_size=max(STAGES[name].kernel_size for name in SCALES),
    stride=STAGES[SCALES[0]].stride,
)
DEEP = Stage(  # (512, 7, 8)
    features=THIRD.features,
    kernel_size=SECOND.stride * (THIRD.kernel_size - 1) + SECOND.kernel_size,
    stride=SECOND.stride * THIRD.stride,
)


@dataclass(frozen=True)
class Grid:
    """What each place of each block reads, for images of H x H and n x n blocks.

    Attributes:
      pixels: (n, n, 7, 7, 49) index into H * H; -1 where there is none, outside the
        image or for a place outside the first stage's output.
      taps: (n, n, 3, 3, 3, 3, 49), the same for the 3 x 3 places of the first stage
        that each place of conv2_f2 reads.
      first: (n, n, 7, 7) bool, whether a place is inside the first stage's output.
      second: (n, n, 3, 3) bool, whether a place is inside conv2_f2's output.
      alike: (n,), for each row of blocks the first one whose places inside and outside
        are the same; likewise for columns.
      row_shares: (H, 7), the share of the first stage's output rows whose row Y of the
        kernel reads row H of the image; likewise for columns.
      folds: whether conv2_f2 on these blocks gives 0 for every place outside its
        output, where conv3_f2 sees padding. At some sizes (of 20 rows, 10 are left and
        then 5; row 5 of conv2_f2 is padding) such a place reads a real row of the first
        stage's output (row 9), so blocks cannot serve.
    """

    pixels: np.ndarray
    taps: np.ndarray
    first: np.ndarray
    second: np.ndarray
    alike: np.ndarray
    row_shares: np.ndarray
    folds: bool


@cache
def make_grid(size: int) -> Grid:
    """Returns the grid for images of size x size."""
    first_size = _rows_left(size, FIRST)
    second_size = _rows_left(first_size, SECOND)
    blocks = np.arange(_rows_left(second_size, THIRD))
    first, second = _reads(blocks, DEEP), _reads(blocks, THIRD)  # (n, 7), (n, 3)
    first_inside, second_inside = first < first_size, second < second_size
    first_inside &= first >= 0
    second_inside &= second >= 0
    rows = _reads(first, FIRST)  # (n, 7, 7)
    rows_inside = (rows >= 0) & (rows < size) & first_inside[..., None]
    index = _pairs(rows, lambda row, column: row * size + column)
    pixels = np.where(_pairs(rows_inside, np.logical_and), index, -1)
    every_row = _reads(np.arange(first_size), FIRST)
    reads_row = every_row == np.arange(size)[:, None, None]
    inside = [x.reshape(len(blocks), -1) for x in (rows_inside, second_inside)]
    inside = np.concatenate(inside, axis=1)
    same = (inside[:, None] == inside).all(axis=-1)  # (n, n)
    # Rows of a block that each row of its conv2_f2 reads: (3, 3) of the 7.
    taps = SECOND.stride * np.arange(THIRD.kernel_size)[:, None]
    taps = taps + np.arange(SECOND.kernel_size)
    pixels = pixels.reshape(*pixels.shape[:4], -1)
    return Grid(
        pixels=pixels,
        taps=pixels[:, :, taps[:, None, :, None], taps[:, None]],
        first=_pairs(first_inside, np.logical_and),
        second=_pairs(second_inside, np.logical_and),
        alike=same.argmax(axis=1),
        row_shares=reads_row.sum(axis=1) / first_size,
        folds=bool(np.all(second_inside | ~first_inside[:, taps].any(axis=-1))),
    )


def _rows_left(size: int, stage: Stage) -> int:
    return -(-size // stage.stride)


def _reads(rows: np.ndarray, stage: Stage) -> np.ndarray:
    """Rows (...) of a stage's output -> the rows it reads, (..., kernel_size)."""
    taps = np.arange(stage.kernel_size) - stage.kernel_size // 2
    return stage.stride * rows[..., None] + taps


def _pairs(rows: np.ndarray, fn) -> np.ndarray:
    """Combines rows (a, b, ...) with columns of the same: (a, a, b, b, ...)."""
    axes = range(rows.ndim)
    y = np.expand_dims(rows, [2 * axis + 1 for axis in axes])
    return fn(y, np.expand_dims(rows, [2 * axis for axis in axes]))
