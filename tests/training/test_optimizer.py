import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seen_jax.training.optimizer import learning_rate_by_epoch, sgd


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
