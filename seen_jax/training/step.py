"""One step of training, and one of prediction, on all devices at once.

    batch (uint8, host)  --shard-->  a share per device  --normalise, SEEN-->  logits
    loss, gradient, BatchNorm: over the real examples of the batch of ALL devices

A device's share may be all padding, so nothing is averaged on a device; sums and counts
are added up over the devices, then divided. With the same batch, any number of devices
therefore takes the same step, but for rounding.

`parallel` is the only function of this project that names `jax.pmap`.
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

from seen_jax import images
from seen_jax.training.augment import Augment
from seen_jax.training.freeze import apply_updates
from seen_jax.training.loss import Loss, cross_entropy
from seen_jax.training.state import TrainState

AXIS = "devices"  # give it to a model as its `axis_name`
INPUTS = ("event_frames", "intensity_frames", "label", "mask", "clip")

Batch = Mapping[str, np.ndarray]
Sums = dict[str, jax.Array]
StepFn = Callable[[TrainState, Any], tuple[TrainState, Sums]]


def parallel(
    fn: Callable, devices: Sequence[jax.Device] | None, donate: tuple[int, ...] = ()
) -> Callable:
    """Runs a function on every device; arguments and results get a leading axis.

    Args:
      fn: may add up over `AXIS`.
      devices: those of all processes; None takes all there are.
      donate: positions of the arguments whose memory the results may take.
    """
    return jax.pmap(fn, AXIS, devices=devices, donate_argnums=donate)


def make_train_step(
    step: StepFn, devices: Sequence[jax.Device] | None = None
) -> Callable[[TrainState, Batch], tuple[TrainState, Sums]]:
    """Returns (state, batch) -> (state, sums); the state passed in is used up.

    The state is replicated (`replicate`). The batch holds this process's rows, uint8
    and on the host, at least one of them real over all processes. The sums are
    `loss` and `correct` over the real examples of all processes, and their number
    `count`; one copy per device, see `first`.
    """
    compiled = parallel(step, devices, donate=(0,))
    num_local = num_local_devices(devices)
    return lambda state, batch: compiled(state, shard(batch, num_local))


def train_step_fn(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    loss_of: Loss = cross_entropy,
    augment: Augment | None = None,
) -> StepFn:
    """Returns (state, share of a batch) -> (state, sums), for `parallel`.

    What a step does is said here alone; whatever takes steps is given this function.
    """

    def loss_fn(params, batch_stats, batch, total):
        logits, updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            **_inputs(batch, params),
            train=True,
            mask=batch["mask"],
            mutable=["batch_stats"],
        )
        losses = loss_of(logits, batch["label"])
        loss = jnp.where(batch["mask"], losses, 0).sum()
        return loss / total, (loss, logits, updated.get("batch_stats", {}))

    def step(state, batch):
        if augment is not None:
            batch = augment(batch, state.step)
        total = lax.psum(batch["mask"].sum(dtype=_dtype(state.params)), AXIS)
        gradients, (loss, logits, batch_stats) = jax.grad(loss_fn, has_aux=True)(
            state.params, state.batch_stats, batch, total
        )
        if lax.psum(1, AXIS) > 1:  # of one device XLA would copy them
            gradients = lax.psum(gradients, AXIS)  # of shares of one mean: their sum
        # With the axis that `parallel` gives them, results may take the memory of
        # arguments: on a CPU they would be copied there otherwise.
        trees = gradients, state.opt_state, state.params
        gradients, opt_state, params = jax.tree.map(_with_axis, trees)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        params = apply_updates(params, updates)
        params, opt_state = jax.tree.map(_without_axis, (params, opt_state))
        best = lax.argmax(logits, 1, batch["label"].dtype)
        right = (best == batch["label"]) & batch["mask"]
        sums = {"loss": loss, "correct": right.sum(dtype=total.dtype)}
        sums = lax.psum(sums, AXIS) | {"count": total}
        return TrainState(state.step + 1, params, batch_stats, opt_state), sums

    return step


def _with_axis(x):
    return x[None] if x.ndim else x


def _without_axis(x):
    return x[0] if x.ndim else x


def make_predict(
    model: nn.Module, devices: Sequence[jax.Device] | None = None
) -> Callable[[Any, Batch], np.ndarray]:
    """Returns (variables, batch) -> probabilities (B, K) of ALL the batch's rows.

    The variables are replicated. Every process passes the same whole batch, computes
    its share, and gets the result of all.
    """

    compiled = parallel(predict_fn(model), devices)
    num_local = num_local_devices(devices)

    def predict(variables, batch):
        mine = rows_of_process(batch, num_local)
        return first(compiled(variables, mine))[: len(batch["mask"])]

    return predict


def predict_fn(model: nn.Module) -> Callable[[Any, Any], jax.Array]:
    """Returns (variables, share of a batch) -> probabilities (B, K) of all shares."""

    def predict(variables, batch):
        logits = model.apply(variables, **_inputs(batch, variables))
        return lax.all_gather(nn.softmax(logits), AXIS, tiled=True)

    return predict


def _inputs(batch, params):
    dtype = _dtype(params)  # float64 serves comparisons
    return {
        "event_frames": images.normalise_events(batch["event_frames"], dtype),
        "intensity_frames": images.normalise_intensity(
            batch["intensity_frames"], dtype
        ),
    }


def _dtype(params):
    """The type of the first floating leaf, which that of all of them is."""
    leaves = jax.tree.leaves(params)
    return next(x.dtype for x in leaves if jnp.issubdtype(x.dtype, jnp.floating))


def num_local_devices(devices: Sequence[jax.Device] | None) -> int:
    """Counts those of the devices that belong to this process."""
    if devices is None:
        return jax.local_device_count()
    return sum(device.process_index == jax.process_index() for device in devices)


def shard(
    batch: Batch, num_devices: int, names: Sequence[str] = INPUTS
) -> dict[str, np.ndarray]:
    """Divides the rows of a batch among devices: (B, ...) to (D, ceil(B / D), ...).

    Rows that are missing for that are copies of the first, and masked.
    """
    num_rows = len(batch["mask"])
    rows = np.arange(-(-num_rows // num_devices) * num_devices)
    missing = rows >= num_rows
    sharded = {}
    for name in names:
        x = batch[name]
        if missing.any():
            x = x[np.where(missing, 0, rows)]
            if name == "mask":
                x = x & ~missing.reshape(-1, *[1] * (x.ndim - 1))
        sharded[name] = x.reshape(num_devices, -1, *x.shape[1:])
    return sharded


def rows_of_process(
    batch: Batch, num_local: int, divide: Callable = shard
) -> dict[str, np.ndarray]:
    """Returns this process's part of a whole batch, divided among its devices."""
    parts = divide(batch, num_local * jax.process_count())
    begin = num_local * jax.process_index()
    return {name: x[begin : begin + num_local] for name, x in parts.items()}


def replicate(tree: Any, devices: Sequence[jax.Device] | None = None) -> Any:
    """Copies a tree of arrays to each of this process's devices.

    By way of a step that does nothing: arrays placed by other means differ from what a
    step returns, if only in a name, and the second step would be compiled again.
    """
    num_local = num_local_devices(devices)

    def repeat(x):
        return np.broadcast_to(x, (num_local, *np.shape(x)))

    return parallel(lambda tree: tree, devices)(jax.tree.map(repeat, tree))


def first(tree: Any) -> Any:
    """Returns the first device's copy, as NumPy arrays that nothing else refers to.

    On the CPU a view of the device's memory would see what later steps write there.
    """
    return jax.tree.map(lambda x: np.array(x.addressable_shards[0].data[0]), tree)
