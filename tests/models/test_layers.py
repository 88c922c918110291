import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax.models.layers import BatchNorm, Conv, Dense, convolve


@pytest.mark.parametrize(
    "layer, shape, fan_in",
    [(Conv(64, 5), (1, 9, 9, 32), 5 * 5 * 32), (Dense(300), (1, 200), 200)],
    ids=["conv", "dense"],
)
def test_weights_and_biases_start_uniform_by_fan_in(layer, shape, fan_in):
    params = layer.init(jax.random.key(0), jnp.zeros(shape))["params"]
    limit = 1 / math.sqrt(fan_in)
    for name, tolerance in (("kernel", 0.02), ("bias", 0.2)):
        x = params[name]
        assert limit * 0.9 < x.max() <= limit and -limit <= x.min() < -limit * 0.9
        # A uniform distribution within +-limit has the deviation limit / sqrt(3).
        assert x.std() == pytest.approx(limit / math.sqrt(3), rel=tolerance)
    assert abs(params["bias"].mean()) < limit / 4


def test_padding_is_symmetric_at_stride_two():
    # 4 pixels, kernel [1 10 100] (columns), padding 1 on both sides, stride 2:
    # [0 1 2] -> 0 + 10 + 200 and [2 3 4] -> 2 + 30 + 400.
    # Padding as "SAME" has it, none in front, would give [1 2 3] and [3 4 0].
    image = jnp.arange(1.0, 5.0).reshape(1, 1, 4, 1)
    kernel = jnp.zeros((3, 3, 1, 1)).at[1, :, 0, 0].set(jnp.array([1.0, 10.0, 100.0]))
    assert convolve(image, kernel, 2).ravel().tolist() == [210, 432]


def test_a_copied_kernel_has_no_bias_and_no_gradient():
    layer, rng = Conv(2, 3), np.random.default_rng(0)
    with jax.enable_x64(True):
        images = jnp.asarray(rng.normal(size=(2, 3, 5, 5, 1)))
        variables = layer.init(jax.random.key(1), images)

        def total(variables, **how):
            return layer.apply(variables, images, **how).sum()

        copied = partial(total, add_bias=False, learn=False)
        kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
        expected = convolve(images, kernel).sum()
        np.testing.assert_allclose(copied(variables), expected)
        added = 2 * 3 * 5 * 5 * bias.sum()
        np.testing.assert_allclose(total(variables) - copied(variables), added)
        assert not any(x.any() for x in jax.tree.leaves(jax.grad(copied)(variables)))
        assert all(x.any() for x in jax.tree.leaves(jax.grad(total)(variables)))


def normalise(x, mask=None, train=True):
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), x, train=True)
    return norm.apply(variables, x, train=train, mask=mask, mutable=["batch_stats"])


def test_batch_norm_by_hand():
    # Mean 2, biased variance (4 + 0 + 4) / 3 = 8/3, unbiased 8/2 = 4.
    out, updates = normalise(jnp.array([[0.0], [2.0], [4.0]]))
    edge = 2 / math.sqrt(8 / 3 + 1e-5)
    np.testing.assert_allclose(out, [[-edge], [0], [edge]], rtol=1e-6)
    stats = updates["batch_stats"]
    np.testing.assert_allclose(stats["mean"], [0.1 * 2], rtol=1e-6)
    np.testing.assert_allclose(stats["var"], [0.9 * 1 + 0.1 * 4], rtol=1e-6)
    assert stats["num_batches"] == 1


def test_evaluation_uses_and_keeps_the_running_statistics():
    out, updates = normalise(jnp.array([[0.0], [2.0]]), train=False)
    np.testing.assert_allclose(out, [[0], [2]], rtol=1e-5)
    assert updates["batch_stats"]["num_batches"] == 0


def test_initialising_leaves_the_running_statistics():
    x = jnp.full((3, 2), 7.0)
    stats = BatchNorm().init(jax.random.key(0), x, train=True)["batch_stats"]
    assert (stats["mean"].tolist(), stats["var"].tolist()) == ([0, 0], [1, 1])


def test_masked_examples_are_not_in_the_statistics():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3, 4)))  # B, T, C
        mask = np.array([True, False, True, True, False])
        frames = np.broadcast_to(mask[:, None], (5, 3))
        out, updates = normalise(x.at[1].set(jnp.nan).at[4].set(1e6), frames)
        expected, expected_updates = normalise(x[mask])
        agrees = partial(np.testing.assert_allclose, rtol=1e-9)
        agrees(out[mask], expected)
        jax.tree.map(agrees, updates, expected_updates)


def test_one_example_alone_has_no_variance():
    _, updates = normalise(jnp.array([[3.0]]))
    np.testing.assert_allclose(updates["batch_stats"]["var"], [0.9], rtol=1e-6)
