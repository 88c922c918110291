"""The step: the same on any number of devices, and what its loss is made of.

In float64: in float32 a membrane near the threshold may fire for one order of a sum and
not for the other, after which two runs drift apart, both right.
"""

import functools
import os
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from seen_jax import images
from seen_jax.models.seen import SEEN
from seen_jax.training import state as state_lib
from seen_jax.training import step as step_lib
from seen_jax.training.optimizer import sgd

T, B, SIZE, NUM_STEPS = 2, 8, 18, 4
MASKS = {  # of rows; on four devices of two rows, two have none of the last
    "full": np.ones(B, bool),
    "uneven": np.arange(B) < 5,
    "few": np.arange(B) < 3,
}
OPTIMIZER = sgd(0.05, momentum=0.9, weight_decay=1e-3)
MODEL = SEEN(axis_name=step_lib.AXIS)


def make_batch(number, mask):
    rng = np.random.default_rng(number)
    return {
        "event_frames": rng.integers(0, 256, (B, T, SIZE, SIZE), np.uint8),
        "intensity_frames": rng.integers(0, 256, (B, 2, SIZE, SIZE), np.uint8),
        "label": rng.integers(0, 7, B, np.int32),
        "mask": mask,
        "clip": np.arange(B, dtype=np.int32),
    }


@functools.cache
def compiled(num_devices):
    """The two steps on the first devices."""
    devices = jax.devices()[:num_devices]
    assert len(devices) == num_devices
    train_step = step_lib.make_train_step(MODEL, OPTIMIZER, devices)
    return devices, train_step, step_lib.make_predict(MODEL, devices)


@functools.cache
def initial_state():
    """The same in every process: others are given it as a file, which is faster."""
    if file := os.environ.get("SEEN_STATE"):
        return pickle.loads(Path(file).read_bytes())
    return jax.device_get(state_lib.create(MODEL, OPTIMIZER, T, seed=0, size=SIZE))


def environment(folder, num_devices):
    """The environment of another process that trains from the same state."""
    with jax.enable_x64(True):
        (folder / "state").write_bytes(pickle.dumps(initial_state()))
    return os.environ | {
        "SEEN_STATE": str(folder / "state"),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices}",
        "JAX_PLATFORMS": "cpu",
    }


def train(num_devices, mask, batch_of=make_batch):
    """Trains a few steps; returns losses, the state and a batch's probabilities."""
    with jax.enable_x64(True):
        devices, train_step, predict = compiled(num_devices)
        state = step_lib.replicate(initial_state(), devices)
        losses = []
        for number in range(NUM_STEPS):
            state, sums = train_step(state, batch_of(number, mask))
            sums = step_lib.first(sums)
            assert sums["count"] == mask.sum()
            losses.append(sums["loss"] / sums["count"])
        probabilities = predict(state.variables, make_batch(9, mask))
        return np.array(losses), step_lib.first(state), probabilities


@pytest.fixture(scope="module")
def on_one():
    return {name: train(1, mask) for name, mask in MASKS.items()}


def assert_same(one, other):
    assert one[0].dtype == np.float64
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12), one, other
    )


@pytest.mark.parametrize("name", MASKS)
def test_two_devices_train_as_one_does(name, on_one):
    assert_same(train(2, MASKS[name]), on_one[name])


def test_four_devices_train_as_one_does(on_one, tmp_path):
    script = (
        "import sys, pickle; from tests.training import test_step as t\n"
        "made = {name: t.train(4, mask) for name, mask in t.MASKS.items()}\n"
        "pickle.dump(made, open(sys.argv[1], 'wb'))\n"
    )
    out, env = tmp_path / "made", environment(tmp_path, 4)
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
        inputs = {
            "event_frames": images.normalise_events(batch["event_frames"], float),
            "intensity_frames": images.normalise_intensity(
                batch["intensity_frames"], float
            ),
        }

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
        np.testing.assert_allclose(loss, on_one["full"][0][0], rtol=1e-9)
        devices, train_step, _ = compiled(1)
        made, _ = train_step(step_lib.replicate(state, devices), batch)
        made = step_lib.first(made)
        assert made.step == 1
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12),
            made.params,
            params,
        )


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
        found = []
        for num_devices in (1, 2):
            devices, _, predict = compiled(num_devices)
            found.append(predict(step_lib.replicate(variables, devices), batch))
    assert found[0].shape == (3, 7)
    np.testing.assert_allclose(found[0].sum(axis=1), 1, rtol=1e-9)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)
