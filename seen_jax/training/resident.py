"""Steps whose images lie in the devices' own memory: many of them in one dispatch.

    store --once--> every device
    rows of the store's frames --per dispatch--> gather, then the step of step.py, again
    and again

The frames of all of SEE are 2.1 GB. What a reader would get wrong: these are the same
steps with the same batches, not others; only where the images wait differs, and how
often Python is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import lax

from seen_jax.training import step as step_lib
from seen_jax.training.state import TrainState

ROWS = ("event_rows", "intensity_rows", "label", "mask")
SHARE = 0.5  # of a device's free memory that frames may take

Frames = dict[str, jax.Array]  # event_frames, intensity_frames: (D, F, H, W) uint8


def has_room(num_bytes: int) -> bool:
    """Whether a device of this process takes so many bytes, and is no processor."""
    device = jax.local_devices()[0]
    stats = None if device.platform == "cpu" else device.memory_stats()
    if not stats or "bytes_limit" not in stats:
        return False
    free = stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return num_bytes <= SHARE * free


def place(
    event_frames: np.ndarray,
    intensity_frames: np.ndarray,
    devices: Sequence[jax.Device] | None = None,
) -> Frames:
    """Copies the frames of a store, (F, H, W) uint8 each, to every device."""
    frames = {"event_frames": event_frames, "intensity_frames": intensity_frames}
    return step_lib.replicate(frames, devices)


def make_train_steps(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    devices: Sequence[jax.Device] | None = None,
) -> Callable[[TrainState, Frames, Any], tuple[TrainState, dict[str, jax.Array]]]:
    """Returns (state, frames, rows) -> (state, sums); as `step_lib.make_train_step`.

    Args:
      model, optimizer, devices: as there.
      num_steps: the most at a time, S. However many are asked for, it is one program,
        so that a run that stopped in between goes on to the same numbers.

    The rows are of this process, as `Batches.rows` gives them, 1 to S steps. The sums
    are (S,), zero behind the steps that were asked for.
    """
    step = step_lib.train_step_fn(model, optimizer)

    def steps(state, frames, rows, count):
        def body(i, carry):
            state, sums = carry
            batch = jax.tree.map(lambda x: x[i], rows)
            state, one = step(state, _gather(frames, batch))
            return state, jax.tree.map(lambda all, x: all.at[i].set(x), sums, one)

        first = jax.eval_shape(step, state, _gather(frames, _first_of(rows)))[1]
        sums = jax.tree.map(lambda x: jnp.zeros(num_steps, x.dtype), first)
        return lax.fori_loop(0, count, body, (state, sums))

    compiled = step_lib.parallel(steps, devices, donate=(0,))
    num_local = step_lib.num_local_devices(devices)

    def run(state, frames, rows):
        count = len(rows["mask"])
        places = np.minimum(np.arange(num_steps), count - 1)
        sharded = _shard({name: rows[name][places] for name in ROWS}, num_local)
        return compiled(state, frames, sharded, np.full(num_local, count, np.int32))

    return run


def make_predict(
    model: nn.Module, devices: Sequence[jax.Device] | None = None
) -> Callable[[Any, Frames, Mapping[str, np.ndarray]], np.ndarray]:
    """Returns (variables, frames, rows) -> probabilities (S, B, K) of S batches.

    Otherwise as `step_lib.make_predict`.
    """
    predict = step_lib.predict_fn(model)

    def predict_all(variables, frames, rows):
        return lax.map(lambda one: predict(variables, _gather(frames, one)), rows)

    compiled = step_lib.parallel(predict_all, devices)
    num_local = step_lib.num_local_devices(devices)

    def run(variables, frames, rows):
        whole = _shard(rows, num_local * jax.process_count())
        begin = num_local * jax.process_index()
        mine = {name: x[begin : begin + num_local] for name, x in whole.items()}
        found = step_lib.first(compiled(variables, frames, mine))
        return found[:, : rows["mask"].shape[1]]

    return run


def _gather(frames, rows):
    """Turns one batch's rows into its images."""
    return {
        "event_frames": frames["event_frames"][rows["event_rows"]],
        "intensity_frames": frames["intensity_frames"][rows["intensity_rows"]],
        "label": rows["label"],
        "mask": rows["mask"],
    }


def _first_of(rows):
    return jax.tree.map(lambda x: x[0], rows)


def _shard(rows, num_devices):
    """Divides the rows of every batch: (S, B, ...) to (D, S, ceil(B / D), ...)."""
    by_row = {name: np.swapaxes(rows[name], 0, 1) for name in ROWS}
    sharded = step_lib.shard(by_row, num_devices, ROWS)
    return {name: np.swapaxes(x, 1, 2) for name, x in sharded.items()}
