"""Batches -> the devices: an epoch of training, or the passes of an evaluation.

    images on the host      a batch at a time is gathered or decoded, sent, and used
    images on the devices   copied there once; the rows of an epoch's windows are sent,
                            and the epoch is one dispatch

All images of SEE are 2.1 GB. Both ways take the same steps on the same batches; only
where the images wait differs, and how often Python is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from seen_jax.data.batches import Batches
from seen_jax.data.store import Store
from seen_jax.protocol import Answer
from seen_jax.training import hosts
from seen_jax.training import step as step_lib
from seen_jax.training.state import TrainState
from seen_jax.training.step import StepFn, Sums

IMAGES = ("auto", "device", "store", "records")  # where images wait
ROWS = ("event_rows", "intensity_rows", "label", "mask", "clip")
SHARE = 0.5  # of a device's free memory that frames may take

Frames = dict[str, jax.Array]  # event_frames, intensity_frames: (D, F, H, W) uint8


class Feed:
    """Windows of some clips, shown to a network on all devices.

    Args:
      batches: this process's rows for training, all rows for an evaluation.
      frames: of the clips' store, on the devices; None sends batches from the host.
      devices: of all processes; None takes all there are.
    """

    def __init__(
        self,
        batches: Batches,
        frames: Frames | None = None,
        devices: Sequence[jax.Device] | None = None,
    ):
        self.batches, self.frames, self.devices = batches, frames, devices

    def make_train(
        self, step: StepFn
    ) -> Callable[[TrainState, int, int], Iterator[tuple[TrainState, int, Sums]]]:
        """Returns a function that takes the steps start to stop - 1 of one epoch.

        It is given the state, which is used up, start and stop, and yields the state,
        the number of steps since the last time, and their sums (`step.train_step_fn`;
        (S,) each, of which the first are those steps).
        """
        if self.frames is None:
            take_step = step_lib.make_train_step(step, self.devices)

            def train(state, start, stop):
                for batch in self.batches.iterate(start, stop):
                    state, sums = take_step(state, batch)
                    yield state, 1, sums

        else:
            take_steps = make_train_steps(step, len(self.batches), self.devices)

            def train(state, start, stop):
                rows = self.batches.rows(start, stop)
                state, sums = take_steps(state, self.frames, rows)
                yield state, stop - start, sums

        return train

    def make_predict(self, model: nn.Module) -> Callable[[Any, int], Iterator[Answer]]:
        """Returns (variables, number of passes) -> answers for `protocol.evaluate`.

        The variables are replicated. Every process gets the answers of all rows.
        """
        size = len(self.batches)
        if self.frames is None:
            predict = step_lib.make_predict(model, self.devices)

            def answers(variables, num_passes):
                for batch in self.batches.iterate(0, num_passes * size):
                    yield batch, predict(variables, batch)

        else:
            predict_rows = make_predict_rows(model, self.devices)

            def answers(variables, num_passes):
                for start in range(0, num_passes * size, size):
                    rows = self.batches.rows(start, start + size)
                    yield rows, predict_rows(variables, self.frames, rows)

        return answers


def make_feeds(images: str, *all_batches: Batches) -> list[Feed]:
    """Decides where the images wait, and copies them to the devices if there.

    Every process calls this with the same `images`, since all decide alike.

    Args:
      images: one of `IMAGES`; auto: the devices, where they have room.
      *all_batches: those of one store share a copy.
    """
    all_images = [x.images for x in all_batches]
    stores = {x.path: x for x in all_images if isinstance(x, Store)}
    if images in ("store", "records") or not stores:
        return [Feed(x) for x in all_batches]
    num_bytes = sum(2 * store.event_frames.nbytes for store in stores.values())
    if images == "auto" and not hosts.everywhere(has_room(num_bytes)):
        return [Feed(x) for x in all_batches]
    frames = {path: place(store) for path, store in stores.items()}
    return [Feed(x, frames[x.images.path]) for x in all_batches]


def has_room(num_bytes: int) -> bool:
    """Whether a device of this process has room for so many bytes, and is no CPU."""
    device = jax.local_devices()[0]
    stats = None if device.platform == "cpu" else device.memory_stats()
    if not stats or "bytes_limit" not in stats:
        return False
    free = stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return num_bytes <= SHARE * free


def place(store: Store, devices: Sequence[jax.Device] | None = None) -> Frames:
    """Copies the frames of a store to every device."""
    names = ("event_frames", "intensity_frames")
    return step_lib.replicate({name: getattr(store, name) for name in names}, devices)


def make_train_steps(
    step: StepFn, num_steps: int, devices: Sequence[jax.Device] | None = None
) -> Callable[[TrainState, Frames, Any], tuple[TrainState, Sums]]:
    """Returns (state, frames, rows) -> (state, sums); as `step.make_train_step`.

    Args:
      step, devices: as there.
      num_steps: the most at a time, S. However many are asked for, it is one program,
        so that a run that stopped in between resumes to the same numbers.

    The rows are of this process, as `Batches.rows` gives them, 1 to S steps. The sums
    are (S,), zero after the steps that were asked for.
    """

    def steps(state, frames, rows, count):
        def body(i, carry):
            state, sums = carry
            batch = jax.tree.map(lambda x: x[i], rows)
            state, one = step(state, _gather(frames, batch))
            return state, jax.tree.map(lambda all, x: all.at[i].set(x), sums, one)

        first_rows = jax.tree.map(lambda x: x[0], rows)
        one = jax.eval_shape(step, state, _gather(frames, first_rows))[1]
        sums = jax.tree.map(lambda x: jnp.zeros(num_steps, x.dtype), one)
        return lax.fori_loop(0, count, body, (state, sums))

    compiled = step_lib.parallel(steps, devices, donate=(0,))
    num_local = step_lib.num_local_devices(devices)

    def run(state, frames, rows):
        count = len(rows["mask"])
        places = np.minimum(np.arange(num_steps), count - 1)
        sharded = _shard({name: rows[name][places] for name in ROWS}, num_local)
        return compiled(state, frames, sharded, np.full(num_local, count, np.int32))

    return run


def make_predict_rows(
    model: nn.Module, devices: Sequence[jax.Device] | None = None
) -> Callable[[Any, Frames, Mapping[str, np.ndarray]], np.ndarray]:
    """Returns (variables, frames, rows) -> probabilities (S, B, K) of S batches.

    Otherwise as `step.make_predict`.
    """
    predict = step_lib.predict_fn(model)

    def predict_all(variables, frames, rows):
        return lax.map(lambda one: predict(variables, _gather(frames, one)), rows)

    compiled = step_lib.parallel(predict_all, devices)
    num_local = step_lib.num_local_devices(devices)

    def run(variables, frames, rows):
        mine = step_lib.rows_of_process(rows, num_local, _shard)
        probabilities = step_lib.first(compiled(variables, frames, mine))
        return probabilities[:, : rows["mask"].shape[1]]

    return run


def _gather(frames, rows):
    """Turns one batch's rows into its images."""
    return {
        "event_frames": frames["event_frames"][rows["event_rows"]],
        "intensity_frames": frames["intensity_frames"][rows["intensity_rows"]],
        **{name: rows[name] for name in ("label", "mask", "clip")},
    }


def _shard(rows, num_devices):
    """Divides the rows of every batch: (S, B, ...) to (D, S, ceil(B / D), ...)."""
    by_row = {name: np.swapaxes(rows[name], 0, 1) for name in ROWS}
    sharded = step_lib.shard(by_row, num_devices, ROWS)
    return {name: np.swapaxes(x, 1, 2) for name, x in sharded.items()}
