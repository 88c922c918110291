"""Each equation against the layers that it stands for, in float64 with few channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax.models.fast import algebra
from seen_jax.models.fast.geometry import make_grid
from seen_jax.models.layers import convolve
from seen_jax.models.seen import grey_to_rgb, weigh


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def normal(*shape):
    rng = np.random.default_rng(np.prod(shape))
    return jnp.asarray(rng.normal(size=shape))


def agrees(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11)


def test_grey_sum():
    images, kernel = normal(1, 9, 9, 2), normal(3, 3, 6, 4)
    expected = convolve(grey_to_rgb(images), kernel)
    agrees(convolve(images, algebra.grey_sum(kernel)), expected)


@pytest.mark.parametrize("size", [1, 6, 8, 17, 22, 45, 90])
def test_blocks_hold_what_the_convolutions_read(size):
    images = normal(2, size, size, 1)
    kernels = normal(7, 7, 1, 2), normal(3, 3, 2, 3), normal(3, 3, 3, 4)
    expected = images
    for kernel, stride in zip(kernels, (2, 2, 4), strict=True):
        expected = convolve(expected, kernel, stride)
    grid = make_grid(size)
    assert grid.folds
    first = algebra.patches(images, grid.pixels) @ kernels[0].reshape(49, 2)
    second = algebra.conv2(first, kernels[1])
    agrees(algebra.over_taps(second, kernels[2]), expected)
    # and with what each tap reads
    taps = algebra.patches(images, grid.taps) @ kernels[0].reshape(49, 2)
    agrees(algebra.over_taps(taps, kernels[1]), second)
    # and by one kernel for the last two
    rows = first.reshape(*first.shape[:3], -1)
    agrees(rows @ algebra.compose(*kernels[1:]), expected)


def test_first_stage_of_the_spatial_branch():
    frames = normal(2, 2, 22, 22)  # B, I
    kernel0, bias0 = normal(1, 1, 6, 3), normal(3)
    kernels, biases = [normal(n, n, 3, 4) for n in (3, 5, 7)], normal(3, 4)
    cat, weights = normal(1, 1, 12, 5), normal(2, 3)

    mixed = convolve(grey_to_rgb(jnp.moveaxis(frames, 1, -1)), kernel0) + bias0
    scales = [convolve(mixed, k, 2) + b for k, b in zip(kernels, biases, strict=True)]
    expected = convolve(weigh(scales, weights), cat)  # (2, 11, 11, 5)

    folded = algebra.fold_conv0(algebra.scale_kernels(kernels), kernel0, bias0)
    assert folded.shape == (3, 49, 3, 4)  # S, P, I + 1, C
    folded, grid = folded.reshape(3, -1, 4), make_grid(22)
    with_ones = algebra.add_ones_frame(frames)
    means = algebra.scale_means(with_ones, folded, biases, grid)
    agrees(means, jnp.stack([scale.mean(axis=(1, 2)) for scale in scales]))

    patches = algebra.patches(with_ones, grid.pixels)  # (2, 2, 2, 7, 7, 49 * 3)
    folded, biases = algebra.fold_cat(folded, cat), algebra.fold_cat(biases, cat)
    for example in (0, 1):
        kernel = algebra.first_kernel(weights[example], folded)
        got = patches[example] @ kernel + weights[example] @ biases
        # Block (0, 0) begins 3 rows and columns before the image, block (1, 1) 5 in it.
        agrees(got[0, 0, 3:, 3:], expected[example, :4, :4])
        agrees(got[1, 1, :6, :6], expected[example, 5:, 5:])
