import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax.models.baselines import CNN, CNN3D, LSTM, Transformer
from seen_jax.models.seen import SCALES, STAGES
from tests.models.variables import draw

INPUTS = {
    "event_frames": np.random.default_rng(0).normal(size=(3, 4, 10, 10)),
    "intensity_frames": np.random.default_rng(1).normal(size=(3, 2, 10, 10)),
}


@pytest.mark.parametrize("model", [CNN, LSTM, Transformer, CNN3D])
def test_is_called_as_seen_is_and_every_parameter_learns(model):
    inputs = {name: jnp.asarray(x, jnp.float32) for name, x in INPUTS.items()}
    net = model(num_classes=5)
    variables = draw(net, inputs, scale=1.0)

    @jax.jit
    @jax.grad
    def gradient(params):
        logits, updates = net.apply(
            {**variables, "params": params},
            **inputs,
            train=True,
            mask=jnp.array([True, True, False]),
            mutable=["batch_stats"],
        )
        assert logits.shape == (3, 5)
        assert jax.tree.structure(updates["batch_stats"]) == jax.tree.structure(
            variables["batch_stats"]
        )
        return logits[0, 0] + logits[1, 1]

    leaves = jax.tree_util.tree_leaves_with_path(gradient(variables["params"]))
    still = {jax.tree_util.keystr(path) for path, x in leaves if not x.any()}
    assert not still, still


def test_inputs_are_checked_as_for_seen():
    wrong = {**INPUTS, "event_frames": np.zeros((3, 4, 10, 9), np.float32)}
    with pytest.raises(ValueError, match=r"event_frames: expected \(B, T, H, W\)"):
        jax.eval_shape(lambda: CNN().init(jax.random.key(0), **wrong))


def test_kernels_are_those_of_seen():
    inputs = {name: jnp.asarray(x, jnp.float32) for name, x in INPUTS.items()}
    params = jax.eval_shape(lambda: LSTM().init(jax.random.key(0), **inputs))["params"]
    assert set(params["frames"]["stem"]) == {
        "conv0",
        *STAGES,
        *(f"mlp_f{i}" for i in range(1, len(SCALES) + 1)),
    }
