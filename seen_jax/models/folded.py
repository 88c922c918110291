"""SEEN without the work that reaches nothing: the same function of the same variables.

Exact algebra, and where it stands:

    images are grey: kernels are summed over the three equal channels    _first_kernels
    conv1_f2|f3|f4, weighing and conv1_cat have no activation between
      them: one 7 x 7 kernel for each example, in both branches          _first_kernels
    a score needs the mean of its scale, which the mean patch gives      _attention
    conv2_f2 and conv3_f2 of S have none either: one kernel              compose
    conv3_f2 reads 3 of every 4 rows and columns of conv2_f2; nothing
      else of conv2_f2 is computed, nor what only that would read        Grid
    T learns nothing before fc1, so it is cut off from differentiation   _temporal

Row r of conv3_f2's output reads the rows 4 r - 1 to 4 r + 1 of conv2_f2, and those the
rows 8 r - 3 to 8 r + 3 of the first stage: blocks of 3 x 3 and of 7 x 7 that do not
overlap. So images are kept as blocks, (n, n, 7, 7, C), and each layer is a matrix
product. What a reader would get wrong: a block at the border reaches beyond the image,
and what it holds there is zero, as padding is, whatever the biases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from seen_jax.models.inputs import check_option
from seen_jax.models.seen import COPIES, SCALES, SEEN

TAPS = 7  # rows and columns of the folded kernel
COMPOSE_FROM = 16  # examples; for fewer, `compose` costs more than it saves


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


class FoldedSEEN(SEEN):
    """`SEEN` made faster; fields, variables, arguments and results are the same.

    For kernels and attention that T copies from S. A capture shows what is left out
    here, so that a call with `capture` is one of `SEEN`.
    """

    def setup(self):
        super().setup()
        check_option("kernels", self.kernels, COPIES[:1])
        check_option("attention", self.attention, COPIES[:1])

    def __call__(
        self,
        *,
        event_frames: jax.Array,
        intensity_frames: jax.Array,
        train: bool = False,
        mask: jax.Array | None = None,
        capture: bool = False,
    ):
        events, intensities, mask = self.check(event_frames, intensity_frames, mask)
        if capture or not folds(events.shape[-1]):
            return super().__call__(
                event_frames=events,
                intensity_frames=intensities,
                train=train,
                mask=mask,
                capture=capture,
            )
        attention, spatial = self._spatial(intensities, train, mask)
        return self.classify(self._temporal(events, attention) + spatial)[0]

    def _spatial(self, frames, train, mask):
        """Branch S: attention (B, 3) and spikes J_s (B, 1, n, n, 512)."""
        dtype, places = frames.dtype, grid(frames.shape[-1])
        frames, kernels, biases = self._mix(frames)
        attention = self._attention(frames, kernels, biases, train, mask)
        cat, cat_bias = self._cat(dtype)
        kernels = jnp.einsum("imc,icd->imd", kernels, cat)
        biases = jnp.einsum("ic,icd->id", biases, cat)
        inside = jnp.asarray(places.first, dtype)[..., None]

        @jax.checkpoint  # for the backward pass, patches are made anew and not kept
        def first_stage(frames, weights):
            kernel = jnp.einsum("i,imd->md", weights, kernels)
            bias = weights @ biases + cat_bias
            return patches(frames, places) @ kernel + bias * inside

        x = self._deep(each(first_stage, frames, attention), places)
        return attention, self.neuron(x[:, None]).spike

    def _mix(self, frames):
        """Takes conv0 into the scales' kernels.

        Returns:
          Frames (B, S, S, N + 1), kernels (3, 49 * (N + 1), 64), biases (3, 64). The
          kernels of the last frame, whose pixels are all 1, are conv0's bias: so it
          stays out of the padding.
        """
        kernel, bias = self.conv0.weights(3 * frames.shape[1], frames.dtype)
        mix = jnp.concatenate([kernel.reshape(-1, 3, 3).sum(axis=1), bias[None]])
        kernels, biases = self._scales(frames.dtype)
        kernels = jnp.einsum("itrc,nr->itnc", kernels, mix).reshape(3, -1, 64)
        frames = jnp.moveaxis(frames, 1, -1)
        widths = [(0, 0)] * 3 + [(0, 1)]
        return jnp.pad(frames, widths, constant_values=1), kernels, biases

    def _attention(self, frames, kernels, biases, train, mask):
        """Scores the scales by their means, from those of the pixels: (B, 3)."""
        moments = jnp.asarray(grid(frames.shape[1]).moments, frames.dtype)
        means = jnp.einsum("byxn,yj,xk->bjkn", frames, moments, moments)
        means = means.reshape(len(frames), -1)
        features = jnp.einsum("bm,imc->ibc", means, kernels) + biases[:, None]
        images = list(features[:, :, None, None])  # of one place, which is its mean
        return self.attend(self.scores, images, train, mask)

    def _deep(self, x, places):
        """conv2_f2 and conv3_f2 of S: (B, n, n, 7, 7, 64) to (B, n, n, 512)."""
        kernel2, bias2 = self.convs["conv2_f2"].weights(64, x.dtype)
        kernel3, bias3 = self.convs["conv3_f2"].weights(256, x.dtype)
        bias2 = bias2 * jnp.asarray(places.second, x.dtype)[..., None]
        if len(x) < COMPOSE_FROM:
            return conv3(conv2(x, kernel2) + bias2, kernel3) + bias3
        x = x.reshape(*x.shape[:3], -1) @ compose(kernel2, kernel3)
        return x + conv3(bias2, kernel3) + bias3

    def _temporal(self, frames, attention):
        """Branch T: spikes of LIF3 (B, T, n, n, 512), constants for the optimiser."""
        dtype, places = frames.dtype, grid(frames.shape[-1])
        kernels, cat = self._scales(dtype)[0], self._cat(dtype)[0]
        kernels = jnp.einsum("itrc,icd->itd", kernels, cat)
        kernel2, _ = self.convs["conv2_f2"].weights(64, dtype)
        kernel3, _ = self.convs["conv3_f2"].weights(256, dtype)
        frames, attention, kernels, kernel2, kernel3 = lax.stop_gradient(
            (frames, attention, kernels, kernel2, kernel3)
        )

        def spikes(currents):  # of one example, (T, ...)
            return self.neuron(currents[None]).spike[0]

        def branch(frames, weights):
            kernel = jnp.einsum("i,itd->td", weights, kernels)
            x = spikes(patches(frames[..., None], places) @ kernel)
            x = spikes(conv2(x, kernel2))
            return spikes(conv3(x, kernel3))

        return each(branch, frames, attention)

    def _scales(self, dtype):
        """Kernels of the three scales as 7 x 7, (3, 49, 3, 64), and biases (3, 64)."""
        kernels, biases = [], []
        for name in SCALES:
            kernel, bias = self.convs[name].weights(3, dtype)
            margin = (TAPS - len(kernel)) // 2
            kernel = jnp.pad(kernel, [(margin, margin)] * 2 + [(0, 0)] * 2)
            kernels.append(kernel.reshape(TAPS * TAPS, 3, -1))
            biases.append(bias)
        return jnp.stack(kernels), jnp.stack(biases)

    def _cat(self, dtype):
        """conv1_cat by scale, (3, 64, 64), and its bias (64,)."""
        kernel, bias = self.convs["conv1_cat"].weights(192, dtype)
        return kernel.reshape(3, 64, 64), bias


def each(fn: Callable[..., jax.Array], *arrays: jax.Array) -> jax.Array:
    """Calls a function for each example (of the leading axis) of the arrays.

    On a CPU one after the other, so that what an example needs stays in the cache;
    elsewhere all at once.
    """
    if jax.default_backend() == "cpu":
        return lax.map(lambda x: fn(*x), arrays)
    return jax.vmap(fn)(*arrays)


def patches(images: jax.Array, places: Grid) -> jax.Array:
    """Gathers what each place reads: (..., S, S, N) to (..., n, n, 7, 7, 49 * N)."""
    pixels = images.reshape(*images.shape[:-3], -1, images.shape[-1])
    none = pixels.shape[-2]  # the number of a pixel that is put behind the others: zero
    pixels = jnp.pad(pixels, [(0, 0)] * (pixels.ndim - 2) + [(0, 1), (0, 0)])
    index = np.where(places.pixels < 0, none, places.pixels).astype(np.int32)
    found = pixels.at[..., index, :].get(mode="promise_in_bounds")
    return found.reshape(*found.shape[:-2], -1)


def conv2(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves blocks (..., 7, 7, C) at stride 2: (..., 3, 3, D)."""
    taps = [x[..., y : y + 5 : 2, z : z + 5 : 2, :] for y in range(3) for z in range(3)]
    return jnp.concatenate(taps, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def conv3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves blocks (..., 3, 3, C), one place each: (..., D)."""
    return x.reshape(*x.shape[:-3], -1) @ kernel.reshape(-1, kernel.shape[-1])


def compose(kernel2: jax.Array, kernel3: jax.Array) -> jax.Array:
    """Makes the kernel of conv3(conv2(x)) on blocks of 7 x 7.

    Args:
      kernel2: (3, 3, C, D) of conv2.
      kernel3: (3, 3, D, E) of conv3.

    Returns:
      (49 * C, E).
    """
    products = jnp.einsum("yxcd,vude->yxcvue", kernel2, kernel3)
    shape = (TAPS, TAPS, kernel2.shape[2], kernel3.shape[3])
    kernel = jnp.zeros(shape, kernel2.dtype)
    for v in range(3):
        for u in range(3):
            rows, columns = slice(2 * v, 2 * v + 3), slice(2 * u, 2 * u + 3)
            kernel = kernel.at[rows, columns].add(products[..., v, u, :])
    return kernel.reshape(-1, shape[3])


def network(**options) -> SEEN:
    """Returns the fastest network for the fields of `SEEN`; the choice lives here."""
    copied = all(options.get(x, "copied") == "copied" for x in ("kernels", "attention"))
    return (FoldedSEEN if copied else SEEN)(**options)
