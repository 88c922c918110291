"""The step: the same on any number of devices, and what its loss is made of."""

import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from seen_jax import images
from seen_jax.models.seen import SEEN
from seen_jax.training import step as step_lib
from tests.helpers import cpu_environment
from tests.training.steps import (
    MASKS,
    OPTIMIZER,
    B,
    assert_same,
    compiled,
    initial_state,
    make_batch,
    train,
)


@pytest.fixture(scope="module")
def on_one():
    return {name: train(1, mask) for name, mask in MASKS.items()}


@pytest.mark.parametrize("name", MASKS)
def test_two_devices_train_as_one_does(name, on_one):
    assert_same(train(2, MASKS[name]), on_one[name])


def test_four_devices_train_as_one_does(on_one, tmp_path):
    script = (
        "import sys, pickle; from tests.training import steps\n"
        "made = {name: steps.train(4, mask) for name, mask in steps.MASKS.items()}\n"
        "pickle.dump(made, open(sys.argv[1], 'wb'))\n"
    )
    out, env = tmp_path / "made", cpu_environment(4)
    subprocess.run([sys.executable, "-c", script, out], env=env, check=True)
    for name, made in pickle.loads(out.read_bytes()).items():
        assert_same(made, on_one[name])


def test_what_the_padding_shows_changes_nothing(on_one):
    def other_padding(number, mask):
        batch = make_batch(number, mask)
        for key in ("event_frames", "intensity_frames", "label"):
            batch[key][~mask] = 1
        return batch

    made = train(1, MASKS["uneven"], other_padding)
    assert_same(made[:2], on_one["uneven"][:2])


def test_a_step_is_the_plain_step(on_one):
    # Without pmap, mask or shards: the mean loss, its gradient, one update.
    with jax.enable_x64(True):
        model, state = SEEN(), initial_state()
        batch = make_batch(0, MASKS["full"])
        events = images.normalise_events(batch["event_frames"], float)
        others = images.normalise_intensity(batch["intensity_frames"], float)
        inputs = {"event_frames": events, "intensity_frames": others}

        @jax.jit
        def step(params):
            def loss_fn(params):
                logits, _ = model.apply(
                    {**state.variables, "params": params},
                    **inputs,
                    train=True,
                    mutable="batch_stats",
                )
                chances = nn.log_softmax(logits)
                right = jnp.take_along_axis(chances, batch["label"][:, None], axis=1)
                return -right.mean()

            loss, gradients = jax.value_and_grad(loss_fn)(params)
            updates, _ = OPTIMIZER.update(gradients, state.opt_state, params)
            return loss, optax.apply_updates(params, updates)

        loss, params = step(state.params)
        devices, train_step, _ = compiled(1)
        made, _ = train_step(step_lib.replicate(state, devices), batch)
        made = step_lib.first(made)
        assert made.step == 1
        assert_same((loss[None], made.params), (on_one["full"][0][:1], params))


def test_the_loss_falls(on_one):
    # Noise as images, but always the same: it can be learned by heart.
    losses, _, _ = train(1, MASKS["full"], lambda _, mask: make_batch(0, mask))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("rows, num_devices", [(8, 2), (7, 2), (3, 4), (1, 4)])
def test_shards_hold_every_row_once_and_mask_the_rest(rows, num_devices):
    whole = make_batch(0, np.ones(B, bool))
    batch = {name: x[:rows] for name, x in whole.items()}
    sharded = step_lib.shard(batch, num_devices)
    assert sharded["mask"].shape == (num_devices, -(-rows // num_devices))
    assert sharded["mask"].sum() == rows
    for name in step_lib.INPUTS:
        flat = sharded[name].reshape(-1, *batch[name].shape[1:])
        np.testing.assert_array_equal(flat[:rows], batch[name])


def test_rows_that_do_not_divide_are_predicted_too(on_one):
    batch = {name: x[:3] for name, x in make_batch(0, np.ones(B, bool)).items()}
    with jax.enable_x64(True):
        variables = initial_state().variables
        both = []
        for num_devices in (1, 2):
            devices, _, predict = compiled(num_devices)
            both.append(predict(step_lib.replicate(variables, devices), batch))
    assert both[0].shape == (3, 7)
    np.testing.assert_allclose(both[0].sum(axis=1), 1, rtol=1e-9)
    np.testing.assert_allclose(both[0], both[1], rtol=1e-9)
