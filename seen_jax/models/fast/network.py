"""SEEN without the work that does not reach the output: the same function, faster.

    images are grey: kernels are summed over the three equal channels    grey_sum
    the scales, their weights and conv1_cat have no activation between
      them: one 7 x 7 kernel for each example, in S and in T             first_kernel
    conv0 folds into that kernel, its bias by a frame of ones            fold_conv0
    a score needs the mean of its scale, which the mean patch gives      scale_means
    conv2_f2 and conv3_f2 have no activation between them in S
      (in training, from 16 examples on)                                 compose
    conv3_f2 reads 3 of every 4 rows and columns of conv2_f2's output;
      the rest, and what only the rest reads, is not computed            geometry.Grid
    T learns nothing before fc1 where it copies kernels and attention:
      no backward pass                                                   temporal_branch
    where it learns, LIF1 lies as conv2_f2 reads it, some of it more
      than once, so that nothing is moved on the way or back             over_taps
    a neuron that does not fire adds nothing: on a CPU, T from its
      frames on and fc1 add a row of weights for each spike (where T
      learns, conv2_f2 and conv3_f2, in training)                        native
    there, from 16 examples on, all of S but the attention is one
      kernel for each scale, weighed for each example                    native.spatial

Each line is exact, with its equation in `algebra`; only float rounding differs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from seen_jax.errors import check_option
from seen_jax.models.fast import algebra, native
from seen_jax.models.fast.algebra import conv2, over_taps
from seen_jax.models.fast.geometry import FIRST, Grid, make_grid
from seen_jax.models.lif import LIF, LIFState
from seen_jax.models.precision import PRODUCTS, Product, in_full
from seen_jax.models.seen import CHANNELS, NUM_CHANNELS, SCALES, SEEN, attend

Convs = Mapping[str, tuple[jax.Array, jax.Array]]  # a convolution's kernel and bias
COMPOSE_FROM = 16  # examples; for fewer, composing kernels costs more than it saves


def network(precision: str = "float32", **options: Any) -> nn.Module:
    """Returns the fastest network with the given fields of `SEEN`; see `fastest`."""
    return fastest(precision)(**options)


def fastest(precision: str = "float32") -> Callable[..., nn.Module]:
    """Returns what makes `FastSEEN` as it is fastest here, from fields of `SEEN`.

    Raises:
      UserError: the precision is not known.
    """
    check_option("precision", precision, PRODUCTS)
    # One example's patches fit into a CPU's cache, those of a batch do not.
    one_by_one = jax.default_backend() == "cpu"
    follow_spikes = precision == "float32" and native.is_available()
    return partial(
        FastSEEN,
        product=PRODUCTS[precision],
        one_by_one=one_by_one,
        follow_spikes=follow_spikes,
    )


def plain(model: nn.Module) -> nn.Module:
    """Returns a network with `SEEN` of the same options in place of `FastSEEN`."""
    if isinstance(model, FastSEEN):
        return SEEN(**options_of(model))
    return model.clone(stem=SEEN) if hasattr(model, "stem") else model


def program(model: nn.Module) -> str:
    """Names what computes a network of `network` here; each rounds differently."""
    made = model.stem() if hasattr(model, "stem") else model
    follows = getattr(made, "follow_spikes", False)
    return "XLA and the kernel in C" if follows else "XLA"


def options_of(model: nn.Module) -> dict[str, Any]:
    """Returns the fields of `SEEN` that a network of `network` has, by name."""
    names = {field.name for field in dataclasses.fields(SEEN)} - {"parent", "name"}
    return {name: getattr(model, name) for name in names}


class FastSEEN(nn.Module):
    """`SEEN` made faster: the same variables, arguments, results and errors.

    No gradient flows to the event frames through T, which nothing here asks for.

    With `capture`, and for image sizes that do not fold into blocks, it calls `SEEN`
    itself, in float32.

    Note: methods named as in `SEEN` do the same part of the work, on the blocks of a
    `Grid` and with convolutions that are read once (`read`).

    Attributes:
      num_classes, intensity, kernels, attention, readout, axis_name: as of `SEEN`.
      neuron: as of `SEEN`; it must not fire without a current.
      product: multiplies (..., C) by (C, D) in every layer but the scores.
      one_by_one: work on the examples of a batch in turn, so that each stays in the
        cache, instead of all at once.
      follow_spikes: compute what spikes enter by `native`, where it fits.
    """

    num_classes: int = 7
    intensity: str = "first_and_last"
    kernels: str = "copied"
    attention: str = "copied"
    readout: str = "mean_membrane"
    neuron: Callable[[jax.Array], LIFState] = LIF()
    axis_name: str | None = None
    product: Product = jnp.matmul
    one_by_one: bool = False
    follow_spikes: bool = False

    def setup(self):
        self.seen = SEEN(**options_of(self))
        nn.share_scope(self, self.seen)  # so that its variables have the same paths

    @in_full
    def __call__(self, *, train: bool = False, capture: bool = False, **inputs):
        """Classifies a batch of windows; arguments and result as of `SEEN.__call__`."""
        grid = self.grid(inputs)
        if capture or not grid.folds:
            return self.seen(train=train, capture=capture, **inputs)
        return self.classify(*self.branches(grid, train, **inputs), grid)

    @in_full
    def fuse(self, *, train: bool = False, **inputs) -> tuple[jax.Array, None]:
        """Runs both branches, up to fc1, as `SEEN.fuse` does; captures nothing."""
        grid = self.grid(inputs)
        if not grid.folds:
            return self.seen.fuse(train=train, **inputs)[0], None
        lif3, j_s = self.branches(grid, train, **inputs)
        return lif3 + j_s, None

    def grid(self, inputs: Mapping[str, jax.Array]) -> Grid:
        """Returns the grid of the images, which are checked."""
        return make_grid(self.seen.check(**inputs)[0].shape[-1])

    def branches(self, grid: Grid, train: bool, **inputs):
        """Returns spikes of LIF3 (B, T, n, n, 512) and J_s (B, 1, n, n, 512)."""
        events, intensities, mask = self.seen.check(**inputs)
        convs = self.read(intensities.shape[1], events.dtype)
        weights, j_s = self.spatial_branch(intensities, convs, grid, train, mask)
        return self.temporal_branch(events, weights, convs, grid, train, mask), j_s

    def read(self, num_intensity_frames: int, dtype) -> Convs:
        """Returns kernel (Y, X, C, D) and bias (D,) of each of SEEN's convolutions."""
        convs = {"conv0": self.seen.conv0, **self.seen.convs}
        channels = {"conv0": NUM_CHANNELS * num_intensity_frames, **CHANNELS}
        return {name: convs[name].weights(n, dtype) for name, n in channels.items()}

    def spatial_branch(self, frames, convs: Convs, grid: Grid, train, mask):
        """Branch S: attention weights (B, 3) and spikes J_s (B, 1, n, n, 512)."""
        raw_frames, frames = frames, algebra.add_ones_frame(frames)  # (B, H, W, I + 1)
        kernels = algebra.scale_kernels([convs[name][0] for name in SCALES])
        kernels = algebra.fold_conv0(kernels, *convs["conv0"])
        kernels = kernels.reshape(len(SCALES), -1, kernels.shape[-1])  # (S, M, C)
        biases = jnp.stack([convs[name][1] for name in SCALES])  # (S, C)

        means = algebra.scale_means(frames, kernels, biases, grid)
        images = list(means[:, :, None, None])  # of one pixel, which is its mean
        weights = attend(self.seen.scores, images, train, mask)

        cat, cat_bias = convs["conv1_cat"]
        kernels = algebra.fold_cat(kernels, cat)  # (S, M, D)
        biases = algebra.fold_cat(biases, cat)  # (S, D)
        by_kernel = self.follow_spikes and native.has_images(grid, frames.dtype)
        if by_kernel and len(frames) >= COMPOSE_FROM:
            x = self.composed(
                raw_frames, weights, kernels, biases + cat_bias, convs, grid
            )
            return weights, self.neuron(x[:, None]).spike
        inside = jnp.asarray(grid.first, frames.dtype)[..., None]

        @jax.checkpoint  # the backward pass gathers the patches again: less memory
        def first_stage(frames, weights):  # of one example: (H, W, I + 1) and (3,)
            patches = algebra.patches(frames, grid.pixels)
            bias = weights @ biases + cat_bias
            kernel = algebra.first_kernel(weights, kernels)
            return self.product(patches, kernel) + bias * inside

        def currents(frames, weights):
            return self.deep(first_stage(frames, weights)[None], convs, grid.second)[0]

        if train:  # gradients by kernels are faster for a whole batch
            x = self.for_each(first_stage, frames, weights)
            x = self.deep(x, convs, grid.second)
        else:
            x = self.for_each(currents, frames, weights)
        return weights, self.neuron(x[:, None]).spike

    def composed(self, frames, weights, kernels, biases, convs: Convs, grid: Grid):
        """Computes the currents of J_s (B, n, n, 512) by one kernel for each scale.

        The weights sum to 1, so the share of the biases is, as that of the kernels, a
        sum over the scales: (S, n, n, 512). conv0's bias is in it as the last input of
        `kernels`, a frame of ones (`algebra.fold_conv0`) that is 0 where images are
        padded. Blocks differ in that only by the padding they touch, so one of each
        kind (`Grid.alike`) is computed and stands for the others.
        """
        kernels = kernels.reshape(len(SCALES), FIRST.kernel_size**2, -1, FIRST.features)
        deep = convs["conv2_f2"][0], convs["conv3_f2"][0]
        x = native.spatial(frames, weights, kernels[:, :, :-1], *deep)

        rows = np.unique(grid.alike)
        some = np.ix_(rows, rows)
        ones = jnp.asarray(grid.pixels[some] >= 0, frames.dtype)  # (.., 7, 7, P)
        inside = jnp.asarray(grid.first[some], frames.dtype)[..., None]
        bias = jnp.tensordot(kernels[:, :, -1], ones, (1, -1))  # (S, D, .., 7, 7)
        bias = jnp.moveaxis(bias, 1, -1) + biases[:, None, None, None, None] * inside
        bias = self.deep(bias, convs, grid.second[some])
        alike = jnp.asarray(grid.alike[:, None] == rows, frames.dtype)
        return x + jnp.einsum("BS,SUVE,HU,WV->BHWE", weights, bias, alike, alike)

    def deep(self, x: jax.Array, convs: Convs, second: np.ndarray) -> jax.Array:
        """Applies conv2_f2 and conv3_f2 of S: (B, n, n, 7, 7, 64) to (B, n, n, 512)."""
        (kernel2, bias2), (kernel3, bias3) = convs["conv2_f2"], convs["conv3_f2"]
        bias2 = bias2 * jnp.asarray(second, x.dtype)[..., None]
        if len(x) < COMPOSE_FROM:
            x = conv2(x, kernel2, self.product) + bias2
            return over_taps(x, kernel3, self.product) + bias3
        kernel = algebra.compose(kernel2, kernel3)
        x = self.product(x.reshape(*x.shape[:3], -1), kernel)
        return x + over_taps(bias2, kernel3) + bias3

    def temporal_branch(self, frames, weights, convs: Convs, grid: Grid, train, mask):
        """Branch T: spikes of LIF3 (B, T, n, n, 512); the copied is constant in it."""
        frames, weights = lax.stop_gradient((frames, weights))
        if self.kernels == "copied":
            convs = lax.stop_gradient(convs)
        elif self.kernels == "own":
            own = self.seen.own_convs
            convs = {x: own[x].weights(n, frames.dtype) for x, n in CHANNELS.items()}
        kernels = algebra.scale_kernels([convs[name][0] for name in SCALES])
        kernels = algebra.grey_sum(kernels)[:, :, 0]  # (S, M, C): one frame at a time
        if self.attention == "own":
            weights = self.own_attention(frames, kernels, grid, train, mask)
        kernels = algebra.fold_cat(kernels, convs["conv1_cat"][0])
        deep = convs["conv2_f2"][0], convs["conv3_f2"][0]
        learns = (self.kernels, self.attention) != ("copied", "copied")
        follows = self.follows(grid, frames.dtype)
        if follows and not learns:
            return native.temporal(self.neuron, frames, weights, kernels, *deep, grid)
        product = native.product if follows and train else self.product

        def currents(frames, weights):  # of LIF1; of one example: (T, H, W) and (3,)
            index = grid.taps if learns else grid.pixels
            patches = algebra.patches(frames[..., None], index)
            kernel = algebra.first_kernel(weights, kernels)
            if weights.ndim == 2:  # (T, 3): a kernel for each event frame
                return jax.vmap(self.product)(patches, kernel)
            return self.product(patches, kernel)

        def spikes(x):  # (.., T, ...)
            x = self.neuron(x).spike
            second = over_taps if learns else conv2
            x = self.neuron(second(x, deep[0], product)).spike
            return self.neuron(over_taps(x, deep[1], product)).spike

        if learns and train:  # gradients by kernels are faster for a whole batch
            return spikes(self.for_each(currents, frames, weights))
        return self.for_each(
            lambda x, w: spikes(currents(x, w)[None])[0], frames, weights
        )

    def own_attention(self, frames, kernels, grid: Grid, train, mask):
        """Scores the scales of each event frame (B, T, H, W): weights (B, T, 3)."""
        none = jnp.zeros((len(kernels), kernels.shape[-1]), kernels.dtype)
        images = frames.reshape(-1, *frames.shape[2:], 1)
        means = algebra.scale_means(images, kernels, none, grid)  # (S, B T, C)
        means = means.reshape(len(kernels), *frames.shape[:2], 1, 1, -1)
        if mask is not None:
            mask = jnp.broadcast_to(mask[:, None], frames.shape[:2])
        return attend(self.seen.own_scores, list(means), train, mask)

    def classify(self, lif3, j_s, grid: Grid):
        """Reads spikes (B, T, n, n, 512) and (B, 1, n, n, 512): logits (B, K)."""
        if not self.follows(grid, lif3.dtype):
            return self.seen.classify(lif3 + j_s, self.product)[0]
        lif3, j_s = (x.reshape(*x.shape[:2], -1) for x in (lif3, j_s))
        kernel, bias = self.seen.fc1.weights(lif3.shape[-1], lif3.dtype)
        return self.seen.read_out(native.sum_rows(lif3, j_s[:, 0], kernel) + bias)[0]

    def follows(self, grid: Grid, dtype) -> bool:
        """Whether `native` computes what spikes enter."""
        has_neuron = isinstance(self.neuron, LIF)
        return self.follow_spikes and has_neuron and native.has_images(grid, dtype)

    def for_each(self, fn: Callable[..., jax.Array], *arrays: jax.Array) -> jax.Array:
        """Calls a function for each example, the leading axis of the arrays."""
        if self.one_by_one:
            return lax.map(lambda x: fn(*x), arrays)
        return jax.vmap(fn)(*arrays)
