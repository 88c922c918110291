import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seen_jax.training.optimizer import learning_rate_by_epoch, sgd
from seen_jax.training.setup import make_learning_rate, make_optimizer


def test_two_steps_by_hand():
    # Rate 0.1, momentum 0.5, decay 0.01, gradient 1, from 2:
    # velocity 1 + 0.01 * 2 = 1.02, parameter 2 - 0.1 * 1.02 = 1.898; then
    # velocity 0.5 * 1.02 + 1 + 0.01 * 1.898 = 1.52898, parameter 1.745102.
    optimizer = sgd(0.1, momentum=0.5, weight_decay=0.01)
    params = jnp.array([2.0])
    state = optimizer.init(params)
    for expected in (1.898, 1.745102):
        update, state = optimizer.update(jnp.ones(1), state, params)
        params = optax.apply_updates(params, update)
        np.testing.assert_allclose(params, [expected], rtol=1e-6)


@pytest.mark.parametrize(
    "step, epoch", [(0, 0), (51, 0), (52, 1), (103, 1), (104, 2), (52 * 179, 179)]
)
def test_learning_rate_falls_after_every_epoch(step, epoch):
    rate = learning_rate_by_epoch(0.015, decay=0.94, steps_per_epoch=52)
    np.testing.assert_allclose(rate(step), 0.015 * 0.94**epoch, rtol=1e-5)


def test_a_new_rate_acts_on_the_stored_velocity():
    # Rates 1 and 0.5, momentum 1, gradients 1 and 0: 0 - 1 * 1 - 0.5 * 1 = -1.5.
    rate = learning_rate_by_epoch(1.0, decay=0.5, steps_per_epoch=1)
    optimizer = sgd(rate, momentum=1.0, weight_decay=0.0)
    params = jnp.array([0.0])
    state = optimizer.init(params)
    for gradient in (1.0, 0.0):
        update, state = optimizer.update(jnp.array([gradient]), state, params)
        params = optax.apply_updates(params, update)
    np.testing.assert_allclose(params, [-1.5], rtol=1e-6)


def test_a_cosine_after_a_warmup():
    # Two steps up to 1, then 8 down: after 2, 4 and 8 of them (1 + cos(pi k / 8)) / 2.
    config = {"schedule": "cosine", "learning_rate_decay": 0.9}
    config |= {"learning_rate": 1.0, "warmup_epochs": 1, "num_epochs": 5}
    rate = make_learning_rate(config, 2)
    expected = [0, 0.5, 1, (1 + np.sqrt(0.5)) / 2, 0.5, 0]
    np.testing.assert_allclose([rate(x) for x in (0, 1, 2, 4, 6, 10)], expected, 1e-6)
    config |= {"learning_rate": 0.5, "warmup_epochs": 0, "num_epochs": 4}
    rate = make_learning_rate(config, 1)
    np.testing.assert_allclose([rate(0), rate(2)], [0.5, 0.25], rtol=1e-6)


@jax.numpy_dtype_promotion("standard")  # optax needs it
def test_adamw_by_hand():
    # Both moments, corrected, are those of the first gradient 4: 4 / sqrt(16) = 1. From
    # 2 with rate 0.1 and decay 0.01: 2 - 0.1 * (1 + 0.01 * 2) = 1.898.
    config = {"optimizer": "adamw", "momentum": 0.5, "weight_decay": 0.01}
    optimizer = make_optimizer(config | {"clip_norm": 0.0}, 0.1)
    params = jnp.array([2.0])
    state = optimizer.init(params)
    update, state = optimizer.update(jnp.array([4.0]), state, params)
    params = optax.apply_updates(params, update)
    np.testing.assert_allclose(params, [1.898], rtol=1e-6)
    # Then gradient 0: mean 0.5 * 2 / (1 - 0.5^2) = 4 / 3, of the square
    # 0.999 * 0.016 / (1 - 0.999^2); the decay is 0.01 of 1.898.
    update, _ = optimizer.update(jnp.array([0.0]), state, params)
    square = 0.999 * 0.016 / (1 - 0.999**2)
    expected = -0.1 * (4 / 3 / np.sqrt(square) + 0.01 * 1.898)
    np.testing.assert_allclose(update, [expected], rtol=1e-4)


def test_a_gradient_longer_than_the_limit_is_cut_before_weight_decay():
    # (3, 4) has norm 5, so it becomes (0.6, 0.8); the decay adds 0.1 * (1, 1).
    params = {"a": jnp.array([1.0]), "b": jnp.array([1.0])}
    config = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.1}
    optimizer = make_optimizer(config | {"clip_norm": 1.0}, 1.0)
    state = optimizer.init(params)
    gradient = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    update, _ = optimizer.update(gradient, state, params)
    np.testing.assert_allclose([*update.values()], [[-0.7], [-0.9]], rtol=1e-6)
    short = {"a": jnp.array([0.3]), "b": jnp.array([0.4])}
    update, _ = optimizer.update(short, state, params)
    np.testing.assert_allclose([*update.values()], [[-0.4], [-0.5]], rtol=1e-6)
