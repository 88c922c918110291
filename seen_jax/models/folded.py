"""SEEN without the work that reaches nothing: the same function of the same variables.

Exact algebra, and where it stands:

    images are grey: kernels are summed over the three equal channels    _mix, _temporal
    conv1_f2|f3|f4, weighing and conv1_cat have no activation between
      them: one 7 x 7 kernel for each example, in both branches          _scales, _cat
    a score needs the mean of its scale, which the mean patch gives      _attention
    conv2_f2 and conv3_f2 of S have none either: one kernel              deep
    conv3_f2 reads 3 of every 4 rows and columns of conv2_f2; nothing
      else of conv2_f2 is computed, nor what only that would read        blocks
    T learns nothing before fc1, so it is cut off from differentiation   _temporal

What a reader would get wrong: memory is what it costs. An example's images fit into the
cache of a processor, a batch's do not, so there examples are worked on in turn.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from seen_jax.errors import check_option
from seen_jax.models.blocks import (
    TAPS,
    Grid,
    compose,
    conv2,
    conv3,
    folds,
    grid,
    patches,
)
from seen_jax.models.precision import PRODUCTS, Product, in_full
from seen_jax.models.seen import COPIES, SCALES, SEEN

Weights = tuple[jax.Array, jax.Array]  # a convolution's kernel and bias
COMPOSE_FROM = 16  # examples; for fewer, `compose` costs more than it saves


class FoldedSEEN(SEEN):
    """`SEEN` made faster; fields, variables, arguments and results are the same.

    For kernels and attention that T copies from S, and neurons that do not fire without
    a current. All layers but the scores multiply by `product`. A capture shows what is
    left out here, so a call with `capture` is one of `SEEN`.
    """

    def setup(self):
        super().setup()
        check_option("kernels", self.kernels, COPIES[:1])
        check_option("attention", self.attention, COPIES[:1])

    @in_full
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
        last = [
            self.convs["conv2_f2"].weights(64, dtype),
            self.convs["conv3_f2"].weights(256, dtype),
        ]

        @jax.checkpoint  # for the backward pass, patches are made anew and not kept
        def first_stage(frames, weights):
            kernel = jnp.einsum("i,imd->md", weights, kernels)
            bias = weights @ biases + cat_bias
            return self.product(patches(frames, places), kernel) + bias * inside

        def currents(frames, weights):
            x = first_stage(frames, weights)[None]
            return deep(x, places, *last, self.product)[0]

        if train:  # gradients of kernels are faster over a whole batch
            x = each(first_stage, frames, attention)
            x = deep(x, places, *last, self.product)
        else:
            x = each(currents, frames, attention)
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
            x = spikes(self.product(patches(frames[..., None], places), kernel))
            x = spikes(conv2(x, kernel2, self.product))
            return spikes(conv3(x, kernel3, self.product))

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


def deep(
    x: jax.Array, places: Grid, second: Weights, third: Weights, product: Product
) -> jax.Array:
    """Convolves twice, by conv2_f2 and conv3_f2 of S.

    Args:
      x: (B, n, n, 7, 7, 64), blocks of the first stage.
      places: what the blocks are of.
      second, third: kernels and biases of the two.
      product: multiplies (..., C) by (C, D).

    Returns:
      (B, n, n, 512).
    """
    (kernel2, bias2), (kernel3, bias3) = second, third
    bias2 = bias2 * jnp.asarray(places.second, x.dtype)[..., None]
    if len(x) < COMPOSE_FROM:
        return conv3(conv2(x, kernel2, product) + bias2, kernel3, product) + bias3
    x = product(x.reshape(*x.shape[:3], -1), compose(kernel2, kernel3))
    return x + conv3(bias2, kernel3) + bias3


def network(precision: str = "float32", **options) -> SEEN:
    """Returns the fastest network for the fields of `SEEN`; the choice lives here.

    Args:
      precision: of matrix products, "float32" or "bfloat16"; see `precision`.
      options: fields of `SEEN`.

    Raises:
      ValueError: a precision that there is not, or not for these options.
    """
    check_option("precision", precision, PRODUCTS)
    own = {name: options.get(name, "copied") for name in ("kernels", "attention")}
    copied = set(own.values()) == {"copied"}
    if not copied and precision != "float32":
        raise ValueError(f"precision: expected float32 with {own}, got {precision!r}")
    return (FoldedSEEN if copied else SEEN)(product=PRODUCTS[precision], **options)
