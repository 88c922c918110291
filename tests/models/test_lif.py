from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax.models.lif import LIF, LIFState, lif_scan, lif_step
from seen_jax.models.surrogate import triangle


def test_membrane_and_spikes_by_hand():
    currents = jnp.array([[0.25, 0.26, 0.1, 0.3, 0.25]])
    _, states = lif_scan(LIF(), currents)
    # 0.25; 0.2 * 0.25 + 0.26 = 0.31 fires; reset, so 0.1; 0.2 * 0.1 + 0.3 = 0.32 fires
    np.testing.assert_allclose(states.membrane, [[0.25, 0.31, 0.1, 0.32, 0.25]], 1e-6)
    assert states.spike.tolist() == [[0, 1, 0, 1, 0]]


def test_membrane_at_the_threshold_does_not_fire():
    _, states = lif_scan(LIF(threshold=0.5), jnp.array([[0.5]]))
    assert states.spike.tolist() == [[0]]


def test_gradient_goes_through_the_reset():
    # V2 = 0.2 * V1 * (1 - P1) + x2 and dP1/dV1 = 1 near the threshold, so
    # dV2/dx1 = 0.2 * (1 - P1) - 0.2 * V1 = -0.2 * 0.4 at V1 = 0.4, where P1 = 1;
    # a detached reset would give 0.
    def last_membrane(currents):
        return lif_scan(LIF(), currents[None])[0].membrane[0]

    gradient = jax.grad(last_membrane)(jnp.array([0.4, 0.1]))
    np.testing.assert_allclose(gradient, [-0.08, 1], rtol=1e-6)


@pytest.mark.parametrize(
    "neuron", [LIF(), LIF(0.7, 1.0, triangle)], ids=["published", "triangle"]
)
def test_scan_equals_a_plain_loop_with_its_gradient(neuron):
    rng = np.random.default_rng(0)

    def scanned(currents):
        last, states = lif_scan(neuron, currents)
        return jnp.stack([states.membrane, states.spike]), last

    def looped(currents):
        state, states = LIFState.at_rest((3, 4, 5), currents.dtype), []
        for t in range(6):
            state = lif_step(neuron, state, currents[:, t])
            states.append(jnp.stack([state.membrane, state.spike]))
        return jnp.stack(states, axis=2), state

    def loss(run, currents):
        return (run(currents)[0] * weights).sum()

    near = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12)
    with jax.enable_x64(True):
        currents = jnp.asarray(rng.normal(0.2, 0.5, (3, 6, 4, 5)))
        weights = jnp.asarray(rng.normal(size=(2, 3, 6, 4, 5)))
        jax.tree.map(near, scanned(currents), looped(currents))
        near(*(jax.grad(partial(loss, run))(currents) for run in (scanned, looped)))


def test_a_stream_continues_where_it_stopped():
    # Currents of whole eighths and a decay of 1/4 leave nothing to round in 7 steps.
    neuron = LIF(decay=0.25)
    currents = np.random.default_rng(0).integers(-8, 9, (2, 7, 3)) / np.float32(8)
    last, states = lif_scan(neuron, currents)
    state, first = lif_scan(neuron, currents[:, :4])
    state, second = lif_scan(neuron, currents[:, 4:], state)
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b], 1), first, second)
    jax.tree.map(np.testing.assert_array_equal, (state, both), (last, states))


def test_state_cannot_be_changed():
    with pytest.raises(AttributeError):
        LIFState.at_rest((1,)).spike = 1


@pytest.mark.parametrize(
    "currents, message",
    [
        (jnp.zeros(5), r"expected \(B, T, ...\) .* got float32 of shape \(5,\)"),
        (jnp.zeros((2, 0, 3)), r"expected .* T of 1 or more, got .* \(2, 0, 3\)"),
        (jnp.zeros((2, 5), int), r"expected floats, got int32 of shape \(2, 5\)"),
    ],
)
def test_currents_that_are_none_are_named(currents, message):
    with pytest.raises(ValueError, match=f"currents: {message}"):
        lif_scan(LIF(), currents)


@pytest.mark.parametrize("field", ["membrane", "spike"])
@pytest.mark.parametrize("wrong", [jnp.zeros((4, 3)), jnp.zeros((2, 3), jnp.bfloat16)])
def test_a_state_that_does_not_fit_is_named(field, wrong):
    state = replace(LIFState.at_rest((2, 3)), **{field: wrong})
    message = rf"state.{field}: expected float32 of shape \(2, 3\), .* {wrong.dtype} of"
    with pytest.raises(ValueError, match=message):
        lif_scan(LIF(), jnp.zeros((2, 5, 3)), state)
