"""A small training in float64, the same in whichever processes and on any devices.

In float32 a membrane near the threshold may fire for one order of a sum and not for
the other, after which two runs drift apart, both right.
"""

import functools

import jax
import numpy as np

from seen_jax.models.seen import SEEN
from seen_jax.training import step as step_lib
from seen_jax.training.optimizer import sgd
from seen_jax.training.state import TrainState
from tests.models.variables import draw, windows

T, B, SIZE = 2, 8, 18
MASKS = {  # of rows; on four devices of two rows, two have none of the last
    "full": np.ones(B, bool),
    "uneven": np.arange(B) < 5,
    "few": np.arange(B) < 3,
}
OPTIMIZER = sgd(0.05, momentum=0.9, weight_decay=1e-3)
MODEL = SEEN(axis_name=step_lib.AXIS)
STEP = step_lib.train_step_fn(MODEL, OPTIMIZER)


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
    train_step = step_lib.make_train_step(STEP, devices)
    return devices, train_step, step_lib.make_predict(MODEL, devices)


@functools.cache
def initial_state():
    """In float64 where x64 is on at the first call."""
    variables = jax.device_get(draw(SEEN(), windows(SIZE, 1, T), scale=1.0))
    opt_state = OPTIMIZER.init(variables["params"])
    return TrainState(np.int32(0), **variables, opt_state=jax.device_get(opt_state))


def train(num_devices, mask, batch_of=make_batch):
    """Trains four steps; returns losses, the state and a batch's probabilities."""
    with jax.enable_x64(True):
        devices, train_step, predict = compiled(num_devices)
        state = step_lib.replicate(initial_state(), devices)
        losses = []
        for number in range(4):
            state, sums = train_step(state, batch_of(number, mask))
            sums = step_lib.first(sums)
            assert sums["count"] == mask.sum()
            losses.append(sums["loss"] / sums["count"])
        probabilities = predict(state.variables, make_batch(9, mask))
        return np.array(losses), step_lib.first(state), probabilities


def assert_same(one, other):
    assert one[0].dtype == np.float64
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12), one, other
    )
