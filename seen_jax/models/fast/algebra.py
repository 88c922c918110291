"""The equations by which `network` computes less: one function each, all exact.

Between the images and J_s, and between the images and LIF1, SEEN is linear but for the
attention. Below, x is an image, k a kernel, b a bias and w the attention. S is a scale,
P a tap (Y and X flattened), R an RGB channel, I a frame, M = (P, I), C, D and E are
channels, q is a position, without its stride; blocks are those of `geometry.Grid`.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from seen_jax.models.fast.geometry import DEEP, FIRST, SECOND, THIRD, Grid
from seen_jax.models.precision import Product
from seen_jax.models.seen import NUM_CHANNELS


def grey_sum(kernel: jax.Array) -> jax.Array:
    """Sums a kernel over equal channels: (..., I * R, D) to (..., I, D).

    sum_IR k[I, R, D] x[I] = sum_I (sum_R k[I, R, D]) x[I]
    """
    *taps, _, features = kernel.shape
    return kernel.reshape(*taps, -1, NUM_CHANNELS, features).sum(axis=-2)


def scale_kernels(kernels: Sequence[jax.Array]) -> jax.Array:
    """Pads the scales' kernels (Y, X, R, C) to 7 x 7 and stacks them: (S, P, R, C)."""
    padded = []
    for kernel in kernels:
        margin = (FIRST.kernel_size - len(kernel)) // 2
        kernel = jnp.pad(kernel, [(margin, margin)] * 2 + [(0, 0)] * 2)
        padded.append(kernel.reshape(-1, *kernel.shape[2:]))
    return jnp.stack(padded)


def add_ones_frame(frames: jax.Array) -> jax.Array:
    """Appends a frame of ones: (B, I, H, W) to (B, H, W, I + 1); see `fold_conv0`."""
    frames = jnp.moveaxis(frames, 1, -1)
    return jnp.pad(frames, [(0, 0)] * 3 + [(0, 1)], constant_values=1)


def fold_conv0(kernels: jax.Array, kernel0: jax.Array, bias0: jax.Array) -> jax.Array:
    """Folds conv0, which mixes the intensity frames, into the scales' kernels.

    conv0's output m is padded with zeros before the scales read it, so its bias counts
    inside the image alone. Let 1[q] be 1 at the pixels q of the image and 0 in the
    padding. Then, inside and outside,

        m[q, R] = sum_I a[I, R] x[q, I] + b[R] 1[q]

    where a is the grey sum of conv0's kernel: b is the kernel of one more frame, whose
    pixels are all 1. With a[I + 1] = b and x[q, I + 1] = 1[q], a scale is

        sum_PR k[S, P, R, C] m[q + P, R]
          = sum_PI (sum_R k[S, P, R, C] a[I, R]) x[q + P, I]

    Args:
      kernels: (S, P, R, C) of the scales.
      kernel0, bias0: (1, 1, I * R, R) and (R,) of conv0.

    Returns:
      (S, P, I + 1, C), for frames of `add_ones_frame`.
    """
    mix = jnp.concatenate([grey_sum(kernel0)[0, 0], bias0[None]])
    return jnp.einsum("SPRC,IR->SPIC", kernels, mix)


def scale_means(
    frames: jax.Array, kernels: jax.Array, biases: jax.Array, grid: Grid
) -> jax.Array:
    """Computes the mean of each scale over its output, from the mean patch.

        mean_q (sum_M k[S, M, C] x[q + M] + b[S, C])
          = sum_M k[S, M, C] (mean_q x[q + M]) + b[S, C]

    and the mean patch, M = (Y, X, I), is sum_HW v[H, Y] v[W, X] x[H, W, I] with v the
    grid's row shares.

    Args:
      frames: (B, H, W, I).
      kernels, biases: (S, M, C) and (S, C).

    Returns:
      (S, B, C).
    """
    shares = jnp.asarray(grid.row_shares, frames.dtype)
    means = jnp.einsum("BHWI,HY,WX->BYXI", frames, shares, shares)
    means = means.reshape(len(frames), -1)
    return jnp.einsum("BM,SMC->SBC", means, kernels) + biases[:, None]


def fold_cat(kernels: jax.Array, kernel_cat: jax.Array) -> jax.Array:
    """Folds conv1_cat into each scale: (S, .., C) to (S, .., D), kernels or biases.

    With u the S parts of conv1_cat's kernel, (1, 1, S * C, D), conv1_cat gives

        sum_SC u[S, C, D] w[S] (sum_M k[S, M, C] x[M] + b[S, C])
          = sum_M (sum_S w[S] k'[S, M, D]) x[M] + sum_S w[S] b'[S, D]

    where k'[S, M, D] = sum_C k[S, M, C] u[S, C, D], and b' likewise.
    """
    parts = kernel_cat.reshape(len(kernels), -1, kernel_cat.shape[-1])
    return jnp.einsum("S...C,SCD->S...D", kernels, parts)


def first_kernel(weights: jax.Array, kernels: jax.Array) -> jax.Array:
    """Weighs k' of `fold_cat` by an attention (.., S): sum_S w[S] k'[S, M, D]."""
    return jnp.einsum("...S,SMD->...MD", weights, kernels)


def patches(images: jax.Array, index: np.ndarray) -> jax.Array:
    """Gathers what each place reads: (..., H, W, I) to (..., *places, M).

    Args:
      images: of which one example's pixels are numbered from 0 to H * W - 1.
      index: (*places, 49), `pixels` or `taps` of a grid.
    """
    pixels = images.reshape(*images.shape[:-3], -1, images.shape[-1])
    none = pixels.shape[-2]  # the index of one more pixel, which is zero
    pixels = jnp.pad(pixels, [(0, 0)] * (pixels.ndim - 2) + [(0, 1), (0, 0)])
    index = np.where(index < 0, none, index).astype(np.int32)
    read = pixels.at[..., index, :].get(mode="promise_in_bounds")
    return read.reshape(*read.shape[:-2], -1)


def conv2(x: jax.Array, kernel: jax.Array, product: Product = jnp.matmul) -> jax.Array:
    """Applies conv2_f2 to blocks: (..., 7, 7, C) to (..., 3, 3, D), without bias."""
    step, taps = SECOND.stride, range(SECOND.kernel_size)
    span = step * (THIRD.kernel_size - 1) + 1
    read = [
        x[..., y : y + span : step, z : z + span : step, :] for y in taps for z in taps
    ]
    x = jnp.concatenate(read, axis=-1)
    return product(x, kernel.reshape(-1, kernel.shape[-1]))


def over_taps(
    x: jax.Array, kernel: jax.Array, product: Product = jnp.matmul
) -> jax.Array:
    """Applies a kernel to what its taps read: (..., Y, X, C) to (..., D), no bias."""
    x = x.reshape(*x.shape[:-3], -1)
    return product(x, kernel.reshape(-1, kernel.shape[-1]))


def compose(kernel2: jax.Array, kernel3: jax.Array) -> jax.Array:
    """Returns the kernel of conv3(conv2(x)) on blocks.

    With v, u the rows and columns of kernel3 and s the stride of conv2_f2,

        sum_vuD k3[v, u, D, E] (sum_YXC k2[Y, X, C, D] x[s v + Y, s u + X, C])
          = sum_YXC (sum_vuD k2[Y - s v, X - s u, C, D] k3[v, u, D, E]) x[Y, X, C]

    Args:
      kernel2: (3, 3, C, D) of conv2_f2.
      kernel3: (3, 3, D, E) of conv3_f2.

    Returns:
      (49 * C, E).
    """
    shape = (DEEP.kernel_size,) * 2 + (kernel2.shape[2], kernel3.shape[3])
    kernel = jnp.zeros(shape, kernel2.dtype)
    for v in range(THIRD.kernel_size):
        for u in range(THIRD.kernel_size):
            y, x = SECOND.stride * v, SECOND.stride * u
            rows = slice(y, y + SECOND.kernel_size)
            columns = slice(x, x + SECOND.kernel_size)
            kernel = kernel.at[rows, columns].add(kernel2 @ kernel3[v, u])
    return kernel.reshape(-1, shape[3])
