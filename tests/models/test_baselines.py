import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax.models.baselines import CNN, CNN3D, LSTM, Transformer, relu_neuron
from seen_jax.models.seen import SCALES, STAGES
from tests.models.variables import MASK, assert_same, draw, halves

INPUTS = {
    "event_frames": np.random.default_rng(0).normal(size=(4, 4, 10, 10)),
    "intensity_frames": np.random.default_rng(1).normal(size=(4, 2, 10, 10)),
}
EVERY = pytest.mark.parametrize("model", [CNN, LSTM, Transformer, CNN3D])


def make(model):
    """Returns the inputs and drawn variables, in float64 where x64 is on."""
    inputs = jax.tree.map(jnp.asarray, INPUTS)
    return inputs, draw(model, inputs, scale=1.0)


@EVERY
def test_is_called_as_seen_is_and_every_parameter_learns(model):
    net = model(num_classes=5)

    @jax.jit
    @jax.grad
    def gradient(params, stats, inputs):
        how = {"train": True, "mask": MASK, "mutable": ["batch_stats"]}
        variables = {"params": params, "batch_stats": stats}
        logits, updates = net.apply(variables, **inputs, **how)
        assert (logits.shape, logits.dtype) == ((4, 5), jnp.float64)
        now, before = jax.tree.map(jnp.dtype, (updates["batch_stats"], stats))
        assert now == before
        return logits[0, 0] + logits[1, 1]

    with jax.enable_x64(True):
        inputs, variables = make(net)
        grad = gradient(variables["params"], variables["batch_stats"], inputs)
        leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(grad))
    assert {x.dtype for _, x in leaves} == {jnp.dtype("float64")}
    still = {jax.tree_util.keystr(path) for path, x in leaves if not x.any()}
    assert not still, still


def test_relu_neuron_by_hand():
    state = relu_neuron(jnp.array([[-1.0, 0.0, 2.5]]))
    assert state.membrane.tolist() == [[-1, 0, 2.5]]
    assert state.spike.tolist() == [[0, 0, 2.5]]


@functools.cache
def run(model):
    """Variables and inputs -> logits, and what fc2 gave."""
    is_shown = {"capture_intermediates": lambda module, _: module.name == "fc2"}
    return jax.jit(partial(model().apply, mutable=["intermediates"], **is_shown))


@pytest.mark.parametrize("model", [CNN, LSTM, Transformer])
def test_logits_are_the_mean_over_the_frames(model):
    with jax.enable_x64(True):
        inputs, variables = make(model())
        logits, captured = run(model)(variables, **inputs)
        (outputs,) = captured["intermediates"]["fc2"]["__call__"]
        assert outputs.shape == (4, 4, 7)
        expected = (outputs[:, 0] + outputs[:, 1] + outputs[:, 2] + outputs[:, 3]) / 4
        assert_same(logits, expected)


@EVERY
def test_only_the_cnn_does_not_see_the_order_of_the_frames(model):
    with jax.enable_x64(True):
        inputs, variables = make(model())
        first, _ = run(model)(variables, **inputs)
        inputs["event_frames"] = inputs["event_frames"][:, np.array([2, 0, 3, 1])]
        second, _ = run(model)(variables, **inputs)
    assert np.allclose(first, second, rtol=1e-9, atol=1e-12) == (model is CNN)


@EVERY
def test_two_devices_share_the_statistics_of_the_whole_batch(model):
    def statistics(inputs, mask, axis_name=None):
        apply = partial(model(axis_name=axis_name).apply, mutable=["batch_stats"])
        return apply(variables, **inputs, train=True, mask=mask)[1]

    with jax.enable_x64(True):
        inputs, variables = make(model())
        run = jax.pmap(partial(statistics, axis_name="devices"), "devices")
        both = run(*halves((inputs, MASK)))
        expected = jax.jit(statistics)(inputs, MASK)
        for device in (0, 1):
            assert_same(jax.tree.map(lambda x, i=device: x[i], both), expected)


def test_inputs_are_checked_as_for_seen():
    wrong = {**INPUTS, "event_frames": np.zeros((4, 4, 10, 9), np.float32)}
    with pytest.raises(ValueError, match=r"event_frames: expected \(B, T, H, W\)"):
        jax.eval_shape(lambda: CNN().init(jax.random.key(0), **wrong))


def test_a_transformer_serves_windows_of_one_length():
    inputs, variables = make(Transformer())
    inputs["event_frames"] = inputs["event_frames"][:, :3]
    message = r"params/position: expected .* \(3, 256\), .* got .* \(4, 256\)"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(partial(Transformer().apply, **inputs), variables)


def test_kernels_are_those_of_seen():
    inputs = {name: jnp.asarray(x, jnp.float32) for name, x in INPUTS.items()}
    params = jax.eval_shape(lambda: LSTM().init(jax.random.key(0), **inputs))["params"]
    assert set(params["frames"]["stem"]) == {
        "conv0",
        *STAGES,
        *(f"mlp_f{i}" for i in range(1, len(SCALES) + 1)),
    }
