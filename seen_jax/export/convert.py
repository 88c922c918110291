"""Variables of `SEEN` to the entries of a published checkpoint, and back, bit by bit.

    published                           variables
    NAME.weight (out, in, row, col)     params/NAME/kernel (row, col, in, out)
    fc2.weight (out, in)                params/fc2/kernel (in, out)
    fc1.weight (out, C * row * col)     params/fc1/kernel (row * col * C, out)
    mlp_f1.1, .2, .4                    params/mlp_f1/reduce, norm, score
    .2.running_mean, _var               batch_stats/mlp_f1/norm/mean, var
    .2.num_batches_tracked int64        batch_stats/mlp_f1/norm/num_batches int32

What branch T has of its own (`kernels` or `attention` of `SEEN`), as the published
network has not, is named with "_t" on both sides: conv1_f2_t.weight, mlp_f1_t.1.bias.

Note: fc1 reads an image flattened as channel, row, column in the published weights, and
as row, column, channel here, where channels come last.

Values keep their type. Image size and number of classes follow from the entries, the
latter from fc2's bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from seen_jax.errors import refuse
from seen_jax.models.seen import CHANNELS, SCORES, STAGES

FLOAT32_MAX = np.finfo(np.float32).max
ENTRIES = "the entries of a published checkpoint"
FC1_CHANNELS = STAGES["conv3_f2"].features  # fc1 reads its output flattened


class Layout(NamedTuple):
    """How one kind of array becomes that of the other side: two exact inverses."""

    to_variable: Callable[[np.ndarray], np.ndarray]
    to_published: Callable[[np.ndarray], np.ndarray]


def _fc1_to_variable(weight):
    side = _side(weight.shape[1])
    image = weight.reshape(-1, FC1_CHANNELS, side, side)
    return image.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])


def _fc1_to_published(kernel):
    side = _side(kernel.shape[0])
    image = kernel.reshape(side, side, FC1_CHANNELS, -1)
    return image.transpose(3, 2, 0, 1).reshape(kernel.shape[1], -1)


def _side(num_inputs: int) -> int:
    return math.isqrt(num_inputs // FC1_CHANNELS)


SAME = Layout(lambda x: x, lambda x: x)
CONV = Layout(lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1))
# A 1 x 1 convolution there, a dense layer here.
POINTWISE = Layout(lambda x: x[:, :, 0, 0].T, lambda x: x.T[:, :, None, None])
DENSE = Layout(lambda x: x.T, lambda x: x.T)
FC1 = Layout(_fc1_to_variable, _fc1_to_published)
COUNT = Layout(lambda x: x.astype(np.int32), lambda x: x.astype(np.int64))


class Entry(NamedTuple):
    """A published entry: its shape, its place in the variables, its layout."""

    shape: tuple[int, ...]
    place: str
    layout: Layout = SAME

    @property
    def variable_shape(self) -> tuple[int, ...]:
        return self.layout.to_variable(np.empty(self.shape, np.int8)).shape


def published_entries(
    *,
    conv0_inputs: int = 6,
    fc1_inputs: int = 18432,
    num_classes: int,
    own_kernels: bool = False,
    own_attention: bool = False,
) -> dict[str, Entry]:
    """Returns the entries of a published checkpoint by name.

    Args:
      conv0_inputs: 3 for every intensity frame that the network sees.
      fc1_inputs: 512 * side * side, side being what the strides leave of the image.
      own_kernels, own_attention: whether there are those of T, too; not published.
    """
    entries = _layer("conv0", "conv0", CONV, 3, conv0_inputs, 1, 1)
    for name, channels in CHANNELS.items():
        features, size, _ = STAGES[name]
        shape = features, channels, size, size
        entries |= _layer(name, name, CONV, *shape)
        if own_kernels:  # without bias
            own = f"{name}_t"
            entries[f"{own}.weight"] = Entry(shape, f"params/{own}/kernel", CONV)
    entries |= _layer("fc1", "fc1", FC1, 256, fc1_inputs)
    entries |= _layer("fc2", "fc2", DENSE, num_classes, 256)
    for name in SCORES:
        entries |= _mlp(name)
        entries |= _mlp(f"{name}_t") if own_attention else {}
    return entries


def _layer(name: str, place: str, layout: Layout, *shape: int) -> dict[str, Entry]:
    return {
        f"{name}.weight": Entry(shape, f"params/{place}/kernel", layout),
        f"{name}.bias": Entry(shape[:1], f"params/{place}/bias"),
    }


def _mlp(name: str) -> dict[str, Entry]:
    norm, stats = f"params/{name}/norm", f"batch_stats/{name}/norm"
    return {
        **_layer(f"{name}.1", f"{name}/reduce", POINTWISE, 8, 64, 1, 1),
        f"{name}.2.weight": Entry((8,), f"{norm}/scale"),
        f"{name}.2.bias": Entry((8,), f"{norm}/bias"),
        f"{name}.2.running_mean": Entry((8,), f"{stats}/mean"),
        f"{name}.2.running_var": Entry((8,), f"{stats}/var"),
        f"{name}.2.num_batches_tracked": Entry((), f"{stats}/num_batches", COUNT),
        **_layer(f"{name}.4", f"{name}/score", POINTWISE, 1, 8, 1, 1),
    }


def variables_from_torch(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Turns a published state_dict, name to array, into variables for `SEEN.apply`.

    They are {"params": ..., "batch_stats": ...} of numpy arrays, copies.

    Raises:
      UserError: lists every entry that is missing, not known, or of another shape or
        kind of number.
    """
    if isinstance(state_dict.get("state_dict"), Mapping):
        got, remedy = "the whole checkpoint", "give its `state_dict`"
        refuse("state_dict", ENTRIES, got, remedy)
    arrays = {name: np.asarray(array) for name, array in state_dict.items()}
    places = ("conv0.weight", 1), ("fc1.weight", 1), ("fc2.bias", 0)
    entries = published_entries(
        **_sizes(arrays, *places),
        own_kernels=any(f"{name}_t.weight" in arrays for name in STAGES),
        own_attention=any(f"{name}_t.1.weight" in arrays for name in SCORES),
    )
    _check("state_dict", arrays, {x: (e, e.shape) for x, e in entries.items()})
    return traverse_util.unflatten_dict(
        {
            entry.place: np.array(entry.layout.to_variable(arrays[name]), order="C")
            for name, entry in entries.items()
        },
        sep="/",
    )


def torch_from_variables(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Turns the variables of a `SEEN` into a state_dict of numpy arrays, copies.

    Raises:
      UserError: lists every variable that is missing, not known, or of another shape or
        kind of number.
    """
    flat = traverse_util.flatten_dict(variables, sep="/")
    arrays = {place: np.asarray(array) for place, array in flat.items()}
    places = (
        ("params/conv0/kernel", 2),
        ("params/fc1/kernel", 0),
        ("params/fc2/bias", 0),
    )
    entries = published_entries(
        **_sizes(arrays, *places),
        own_kernels=any(f"params/{name}_t/kernel" in arrays for name in STAGES),
        own_attention=any(f"params/{x}_t/reduce/kernel" in arrays for x in SCORES),
    )
    _check(
        "variables", arrays, {e.place: (e, e.variable_shape) for e in entries.values()}
    )
    return {
        name: np.array(entry.layout.to_published(arrays[entry.place]), order="C")
        for name, entry in entries.items()
    }


_SIZES = {  # that models differ in: what each may be
    "conv0_inputs": lambda size: size % 3 == 0,
    "fc1_inputs": lambda size: size == FC1_CHANNELS * _side(size) ** 2,
    "num_classes": bool,
}


def _sizes(
    arrays: Mapping[str, np.ndarray], *places: tuple[str, int]
) -> dict[str, int]:
    """Reads each of `_SIZES` from an array's axis, except those that are impossible.

    An array of an impossible size is thus reported against the published shape.
    """
    sizes = {}
    for (argument, allowed), (name, axis) in zip(_SIZES.items(), places, strict=True):
        shape = arrays[name].shape if name in arrays else ()
        if axis < len(shape) and shape[axis] and allowed(shape[axis]):
            sizes[argument] = shape[axis]
    return sizes


def _check(
    argument: str,
    arrays: Mapping[str, np.ndarray],
    expected: Mapping[str, tuple[Entry, tuple[int, ...]]],
) -> None:
    """Raises one ValueError that lists all differences from the expected entries."""
    problems = [f"missing {name}" for name in expected if name not in arrays]
    problems += [f"not known: {name}" for name in arrays if name not in expected]
    for name in [name for name in expected if name in arrays]:
        (entry, shape), array = expected[name], arrays[name]
        if array.shape != shape:
            problems.append(f"{name}: expected shape {shape}, got {array.shape}")
        elif entry.layout is not COUNT:
            if not jnp.issubdtype(array.dtype, jnp.floating):
                problems.append(f"{name}: expected floats, got {array.dtype}")
            elif (np.abs(array) > FLOAT32_MAX).any():
                problems.append(f"{name}: expected numbers that float32 holds")
            elif entry.place.endswith("/var") and (array < 0).any():
                problems.append(f"{name}: expected variances from 0, got {array.min()}")
        elif array.dtype.kind not in "iu" or not 0 <= array < 2**31:
            rule = "an integer of 0 to 2**31 - 1"
            problems.append(f"{name}: expected {rule}, got {array.dtype} {array}")
    if problems:
        refuse(argument, ENTRIES, "\n  ".join(["others", *problems]))
