"""SEEN without the work that reaches nothing: the same function of the same variables.

Exact algebra, and which of it stands where:

    images are grey: kernels are summed over the three equal channels    _first_stage
    conv1_f2|f3|f4, weighing and conv1_cat have no activation between
      them: one 7 x 7 kernel per example                                 _first_stage
    a score needs the mean of its scale, which is linear in the mean
      patch of the image                                                 _attention
    conv3_f2 reads 3 of every 4 rows and columns of conv2_f2; nothing
      else of conv2_f2 is computed, nor what only that would read        Grid
    T learns nothing before fc1: it is cut off from differentiation,
      so that nothing is kept for a backward pass                        _temporal

Row r of conv3_f2's output reads the rows 4 r - 1 to 4 r + 1 of conv2_f2, and those the
rows 8 r - 3 to 8 r + 3 of the first stage: blocks of 3 x 3 and of 7 x 7 that do not
overlap. Images are therefore kept as blocks, (..., n, n, 7, 7, C), and every layer is a
matrix product. What a reader would get wrong: a block at the border reaches beyond the
image, and what it holds there is zero, as padding is, whatever the biases.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from seen_jax.models.inputs import check_option
from seen_jax.models.seen import COPIES, SCALES, SEEN

TAPS = 7  # rows of the folded kernel, and of a block of the first stage


@dataclass(frozen=True)
class Grid:
    """Which pixel each place reads, for images of S x S and n x n blocks.

    Attributes:
      patches: (n, n, 7, 7, 49), index into the S * S pixels, S * S where there is none:
        outside the image, or for a place that is outside the first stage.
      first: (n, n, 7, 7), whether a place is inside the first stage.
      second: (n, n, 3, 3), whether a place is inside conv2_f2's output.
      moments: (S, 7), an image's mean over all places, at each row of the kernel.
    """

    patches: np.ndarray
    first: np.ndarray
    second: np.ndarray
    moments: np.ndarray


@cache
def grid(size: int) -> Grid:
    """Returns the grid for images of size x size."""
    first_size = -(-size // 2)
    second_size = -(-first_size // 2)
    blocks = np.arange(-(-second_size // 4))[:, None]
    second = 4 * blocks + np.arange(-1, 2)  # (n, 3)
    first = 8 * blocks + np.arange(-3, 4)  # (n, 7)
    taps = np.arange(TAPS) - TAPS // 2
    pixels = 2 * first[..., None] + taps  # (n, 7, 7)
    first_in, second_in = _inside(first, first_size), _inside(second, second_size)
    pixels_in = _inside(pixels, size) & first_in[..., None]
    index = _pairs(pixels) @ [size, 1]
    of_all = 2 * np.arange(first_size)[:, None] + taps
    moments = (of_all[:, None] == np.arange(size)[:, None]).sum(0) / first_size
    return Grid(
        np.where(_pairs(pixels_in).all(-1), index, size * size).reshape(
            *index.shape[:4], TAPS * TAPS
        ),
        _pairs(first_in).all(-1),
        _pairs(second_in).all(-1),
        moments,
    )


def _inside(lines, size):
    return (lines >= 0) & (lines < size)


def _pairs(x):
    """Pairs an array of rows (a, b, ...) with itself: (a, a, b, b, ..., 2)."""
    rows = np.expand_dims(x, tuple(range(1, 2 * x.ndim, 2)))
    columns = np.expand_dims(x, tuple(range(0, 2 * x.ndim, 2)))
    return np.stack(np.broadcast_arrays(rows, columns), axis=-1)


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
        if capture:
            return super().__call__(
                event_frames=event_frames,
                intensity_frames=intensity_frames,
                train=train,
                mask=mask,
                capture=True,
            )
        event_frames, intensity_frames, mask = self.check(
            event_frames, intensity_frames, mask
        )
        attention, spatial = self._spatial(intensity_frames, train, mask)
        temporal = self._temporal(event_frames, attention)
        return self.classify(temporal + spatial)[0]

    def _spatial(self, frames, train, mask):
        """Branch S: attention (B, 3) and spikes J_s (B, 1, n, n, 512)."""
        places = grid(frames.shape[-1])
        kernel0, bias0 = self.conv0.weights(3 * frames.shape[1], frames.dtype)
        grey0 = kernel0.reshape(-1, 3, 3).sum(axis=1)  # (N, 3)
        kernels, biases = self._scales(frames.dtype)  # (3, 49, 3, 64), (3, 64)
        frame_kernels = jnp.einsum("itrc,nr->itnc", kernels, grey0)  # (3, 49, N, 64)
        bias_kernels = jnp.einsum("itrc,r->itc", kernels, bias0)  # (3, 49, 64)

        moments = jnp.asarray(places.moments, frames.dtype)
        means = jnp.einsum("bnyx,yj,xk->bjkn", frames, moments, moments)
        mean1 = jnp.outer(moments.sum(axis=0), moments.sum(axis=0)).ravel()
        constant = jnp.einsum("t,itc->ic", mean1, bias_kernels) + biases
        features = jnp.einsum(
            "btn,itnc->ibc", means.reshape(len(frames), TAPS**2, -1), frame_kernels
        )
        features = features + constant[:, None]
        attention = self.attend(
            self.scores, list(features[:, :, None, None]), train, mask
        )

        cat, cat_bias = self.convs["conv1_cat"].weights(192, frames.dtype)
        cat = cat.reshape(3, 64, 64)
        inside = jnp.asarray(places.patches < frames.shape[-1] ** 2, frames.dtype)
        here = jnp.asarray(places.first, frames.dtype)[..., None]
        kernel = jnp.einsum("bi,itnc,icd->bntd", attention, frame_kernels, cat)
        border = jnp.einsum("...t,itc->i...c", inside, bias_kernels)
        border = border + biases[:, None, None, None, None] * here
        x = patches(frames, places)  # (B, N, n, n, 7, 7, 49)
        x = jnp.einsum("bnhwyxt,bntd->bhwyxd", x, kernel)
        x = x + jnp.einsum("bi,ihwyxc,icd->bhwyxd", attention, border, cat)
        x = x + cat_bias * here
        second = jnp.asarray(places.second, frames.dtype)[..., None]
        kernel2, bias2 = self.convs["conv2_f2"].weights(64, frames.dtype)
        kernel3, bias3 = self.convs["conv3_f2"].weights(256, frames.dtype)
        x = (conv2(x, kernel2) + bias2) * second
        x = conv3(x, kernel3) + bias3
        return attention, self.neuron(x[:, None]).spike

    def _temporal(self, frames, attention):
        """Branch T: spikes of LIF3 (B, T, n, n, 512), constants for the optimiser."""
        places, dtype = grid(frames.shape[-1]), frames.dtype
        kernels = self._scales(dtype)[0].sum(axis=2)  # (3, 49, 64)
        cat = self.convs["conv1_cat"].weights(192, dtype)[0].reshape(3, 64, 64)
        kernel2 = self.convs["conv2_f2"].weights(64, dtype)[0]
        kernel3 = self.convs["conv3_f2"].weights(256, dtype)[0]
        frames, attention, kernels, cat, kernel2, kernel3 = lax.stop_gradient(
            (frames, attention, kernels, cat, kernel2, kernel3)
        )
        kernel = jnp.einsum("bi,itc,icd->btd", attention, kernels, cat)
        second = jnp.asarray(places.second, dtype)[..., None]
        x = patches(frames, places)  # (B, T, n, n, 7, 7, 49)
        x = jnp.einsum("bfhwyxt,btd->bfhwyxd", x, kernel)
        x = self.neuron(x).spike
        x = self.neuron(conv2(x, kernel2) * second).spike
        return self.neuron(conv3(x, kernel3)).spike

    def _scales(self, dtype):
        """Kernels of the three scales as 7 x 7, (3, 49, 3, 64), and biases (3, 64)."""
        kernels, biases = zip(
            *(self.convs[name].weights(3, dtype) for name in SCALES), strict=True
        )
        margins = [(TAPS - len(kernel)) // 2 for kernel in kernels]
        wide = [
            jnp.pad(kernel, [(margin, margin)] * 2 + [(0, 0)] * 2)
            for kernel, margin in zip(kernels, margins, strict=True)
        ]
        return jnp.stack(wide).reshape(3, TAPS**2, 3, -1), jnp.stack(biases)


def patches(images: jax.Array, places: Grid) -> jax.Array:
    """Gathers what each place reads: (..., S, S) to (..., n, n, 7, 7, 49)."""
    pixels = images.reshape(*images.shape[:-2], -1)
    pixels = jnp.pad(pixels, [(0, 0)] * (pixels.ndim - 1) + [(0, 1)])
    return jnp.take(pixels, places.patches, axis=-1)


def conv2(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves blocks (..., 7, 7, C) at stride 2: (..., 3, 3, D)."""
    taps = [x[..., y : y + 5 : 2, z : z + 5 : 2, :] for y in range(3) for z in range(3)]
    return jnp.concatenate(taps, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def conv3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves blocks (..., 3, 3, C), one place each: (..., D)."""
    return x.reshape(*x.shape[:-3], -1) @ kernel.reshape(-1, kernel.shape[-1])


def network(**options) -> SEEN:
    """Returns the fastest network for the fields of `SEEN`; the choice lives here."""
    copied = all(options.get(x, "copied") == "copied" for x in ("kernels", "attention"))
    return (FoldedSEEN if copied else SEEN)(**options)
