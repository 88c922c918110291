"""Images as blocks of the places that reach the output, and products on them.

Row r of conv3_f2's output reads the rows 4 r - 1 to 4 r + 1 of conv2_f2, and those the
rows 8 r - 3 to 8 r + 3 of the first stage: blocks of 3 x 3 and of 7 x 7 that do not
overlap. So images of n x n blocks are kept as (n, n, 7, 7, C) and (n, n, 3, 3, C), and
each layer is a matrix product. What a reader would get wrong: a block at the border
reaches beyond the image, and what it holds there is zero, as padding is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from seen_jax.models.precision import Product

TAPS = 7  # rows and columns of the kernel that the first stage is folded to


@dataclass(frozen=True)
class Grid:
    """Which pixels each place reads, for images of S x S and n x n blocks.

    Attributes:
      pixels: (n, n, 7, 7, 49) index into S * S, -1 where there is none: outside the
        image, or for a place outside the first stage.
      first: (n, n, 7, 7), 1 where a place is inside the first stage, else 0.
      second: (n, n, 3, 3), 1 where one is inside conv2_f2's output, else 0.
      moments: (S, 7), an image's mean over all places, at each row of the kernel.
    """

    pixels: np.ndarray
    first: np.ndarray
    second: np.ndarray
    moments: np.ndarray


@cache
def grid(size: int) -> Grid:
    """Returns the grid for images of size x size."""
    first_size, second_size, blocks = _sizes(size)
    taps = np.arange(TAPS) - TAPS // 2
    first = 8 * np.arange(blocks)[:, None] + taps  # (n, 7) rows
    second = 4 * np.arange(blocks)[:, None] + np.arange(-1, 2)  # (n, 3)
    rows = 2 * first[..., None] + taps  # (n, 7, 7)
    first_in = _inside(first, first_size)
    rows_in = _inside(rows, size) & first_in[..., None]
    pixels = np.where(_both(rows_in), _both(rows, lambda y, x: y * size + x), -1)
    every_row = 2 * np.arange(first_size)[:, None] + taps
    moments = (every_row == np.arange(size)[:, None, None]).sum(axis=1) / first_size
    return Grid(
        pixels=pixels.reshape(*pixels.shape[:4], TAPS * TAPS),
        first=_both(first_in),
        second=_both(_inside(second, second_size)),
        moments=moments,
    )


def _sizes(size):
    """Rows of the first stage, of conv2_f2's output and of conv3_f2's."""
    first = -(-size // 2)
    second = -(-first // 2)
    return first, second, -(-second // 4)


def _inside(rows, size):
    return (rows >= 0) & (rows < size)


def _both(rows, fn=np.logical_and):
    """Combines rows (a, b, ...) with columns of the same: (a, a, b, b, ...)."""
    axes = range(rows.ndim)
    y = np.expand_dims(rows, [2 * axis + 1 for axis in axes])
    return fn(y, np.expand_dims(rows, [2 * axis for axis in axes]))


def folds(size: int) -> bool:
    """Whether images of size x size can be kept as blocks.

    Not where a block's last row of conv2_f2 is padding and reads rows that are none.
    """
    first, second, _ = _sizes(size)
    return first % 2 == 1 or second % 4 != 1


def patches(images: jax.Array, places: Grid) -> jax.Array:
    """Gathers what each place reads: (..., S, S, N) to (..., n, n, 7, 7, 49 * N)."""
    pixels = images.reshape(*images.shape[:-3], -1, images.shape[-1])
    none = pixels.shape[-2]  # the number of a pixel that is put behind the others: zero
    pixels = jnp.pad(pixels, [(0, 0)] * (pixels.ndim - 2) + [(0, 1), (0, 0)])
    index = np.where(places.pixels < 0, none, places.pixels).astype(np.int32)
    found = pixels.at[..., index, :].get(mode="promise_in_bounds")
    return found.reshape(*found.shape[:-2], -1)


def conv2(x: jax.Array, kernel: jax.Array, product: Product = jnp.matmul) -> jax.Array:
    """Convolves blocks (..., 7, 7, C) at stride 2: (..., 3, 3, D)."""
    taps = [x[..., y : y + 5 : 2, z : z + 5 : 2, :] for y in range(3) for z in range(3)]
    x = jnp.concatenate(taps, axis=-1)
    return product(x, kernel.reshape(-1, kernel.shape[-1]))


def conv3(x: jax.Array, kernel: jax.Array, product: Product = jnp.matmul) -> jax.Array:
    """Convolves blocks (..., 3, 3, C), one place each: (..., D)."""
    x = x.reshape(*x.shape[:-3], -1)
    return product(x, kernel.reshape(-1, kernel.shape[-1]))


def compose(kernel2: jax.Array, kernel3: jax.Array) -> jax.Array:
    """Makes the kernel of conv3(conv2(x)) on blocks of 7 x 7.

    Args:
      kernel2: (3, 3, C, D) of conv2.
      kernel3: (3, 3, D, E) of conv3.

    Returns:
      (49 * C, E).
    """
    shape = (TAPS, TAPS, kernel2.shape[2], kernel3.shape[3])
    kernel = jnp.zeros(shape, kernel2.dtype)
    for v in range(3):
        for u in range(3):
            rows, columns = slice(2 * v, 2 * v + 3), slice(2 * u, 2 * u + 3)
            kernel = kernel.at[rows, columns].add(kernel2 @ kernel3[v, u])
    return kernel.reshape(-1, shape[3])
