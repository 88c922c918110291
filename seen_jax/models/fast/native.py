"""What the kernel in C computes on a CPU: calls of `seen_xla.c` inside JAX.

What enters fc1, conv2_f2 and conv3_f2 of T are spikes. There a spike adds a row of
weights, and a silent neuron costs nothing. With p the spikes of each time step, q those
of all steps, W the weights from N inputs to D outputs x, and g the gradient of x,

    x[B, T, D] = sum_N (p[B, T, N] + q[B, N]) W[N, D]
               = sum_N p[B, T, N] W[N, D] + sum_N q[B, N] W[N, D]
    dW[N, D] = sum_BT p[B, T, N] g[B, T, D] + sum_B q[B, N] (sum_T g[B, T, D])
    dp[B, T, N] = sum_D g[B, T, D] W[N, D]
    dq[B, N] = sum_D (sum_T g[B, T, D]) W[N, D]

In fc1 p is LIF3 and q J_s, which is the same at every time step and is read once. Where
branch T learns nothing it has no backward pass, and `temporal` computes all of it.

Branch S is linear up to J_s, but for the attention: `spatial` composes its kernels, as
`seen_spatial.c` says, and gives their gradients, too.

Note: a weight that is not finite shows only where a neuron fires that reads it; the
training loop checks all of them before it saves.

The source is compiled at the first use, as for the runtime (`compile_kernel`); one
library for float32, one for float64.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seen_jax.models.fast.geometry import FIRST, Grid, make_grid
from seen_jax.models.lif import LIF
from seen_jax.models.seen import SCALES
from seen_jax.runtime import seen_runtime

SOURCE = Path(__file__).with_name("seen_xla.c")
FLAGS = {"float32": (), "float64": ("-DREAL=double",)}
_MOST_SETTLED = 128  # arrays in a call: half of MAX_ARRAYS of seen_xla.c
NEAR_LINES, DEEP_LINES = 13, 21  # of the kernels that seen_spatial.c composes
TARGETS = (
    "temporal",
    "sum_rows",
    "sum_rows_gradient",
    "spatial",
    "spatial_gradient",
    "settled",
)


def is_available() -> bool:
    """Whether JAX runs on a CPU and the library can be compiled; it is, to know."""
    return jax.default_backend() == "cpu" and _is_compiled()


@functools.cache
def _is_compiled() -> bool:
    try:
        _register("float32")
    except OSError as error:
        remedy = "with a C compiler (gcc, or what CC names) SEEN takes a third of it"
        print(f"no kernel in C: {error}; XLA computes all; {remedy}", file=sys.stderr)
        return False
    return True


def has_images(grid: Grid, dtype: Any) -> bool:
    """Whether the library supports images of the grid's size and this dtype."""
    size, last_place = len(grid.row_shares), grid.first[-1, -1, -1, -1]
    return str(dtype) in FLAGS and 16 <= size <= 170 and bool(last_place)


@functools.cache
def _register(dtype: str) -> None:
    """Compiles the library for a dtype, and registers its functions."""
    kernel = Path(seen_runtime.__file__).with_name(seen_runtime.KERNEL)
    headers = Path(jax.ffi.include_dir())
    spatial = SOURCE.with_name("seen_spatial.c")
    included = kernel, spatial, headers / "xla/ffi/api/c_api.h"
    flags = "-pthread", f"-I{kernel.parent}", f"-I{headers}", *FLAGS[dtype]
    library = seen_runtime.compile_kernel(SOURCE, *flags, included=included)
    for name in TARGETS:
        function = jax.ffi.pycapsule(getattr(library, f"seen_{name}"))
        jax.ffi.register_ffi_target(_target(name, dtype), function, platform="cpu")


def num_threads() -> int:
    """Cores of this process for each of its devices."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return max((cores or os.cpu_count() or 1) // jax.local_device_count(), 1)


def _target(name: str, dtype: str) -> str:
    return f"seen_{name}_{dtype}"


def _call(
    name: str,
    shapes: Sequence[tuple[int, ...]],
    *arrays: jax.Array,
    decay: float = 0.0,
    threshold: float = 0.0,
    in_place: bool = False,
) -> list[jax.Array]:
    """Calls a function of the library: arrays of one type -> arrays of that type."""
    dtype = str(arrays[0].dtype)
    _register(dtype)
    results = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    aliases = {i: i for i in range(len(shapes))} if in_place else None
    call = jax.ffi.ffi_call(_target(name, dtype), results, input_output_aliases=aliases)
    return call(
        *arrays,
        decay=np.float64(decay),
        threads=np.int64(num_threads()),
        threshold=np.float64(threshold),
    )


def temporal(
    neuron: LIF,
    frames: jax.Array,
    weights: jax.Array,
    event: jax.Array,
    conv2: jax.Array,
    conv3: jax.Array,
    grid: Grid,
) -> jax.Array:
    """Runs branch T, through which no gradient flows.

    Args:
      neuron: the constants; it must not fire without a current.
      frames: (B, T, H, W), normalised event frames.
      weights: (B, 3), the attention.
      event: (3, 49, 64), first stage by scale; see `algebra.fold_cat`.
      conv2, conv3: kernels (3, 3, C, D).
      grid: of the images' size.

    Returns:
      Spikes of LIF3 (B, T, n, n, 512).
    """
    shape = (*frames.shape[:2], *grid.first.shape[:2], conv3.shape[-1])
    kernels = [x.reshape(-1, x.shape[-1]) for x in (event, conv2, conv3)]
    arrays = jax.lax.stop_gradient((frames, weights, *kernels))
    constants = dict(decay=neuron.decay, threshold=neuron.threshold)
    return _call("temporal", [shape], *arrays, **constants)[0]


@jax.custom_vjp
def spatial(
    frames: jax.Array,
    weights: jax.Array,
    first: jax.Array,
    conv2: jax.Array,
    conv3: jax.Array,
) -> jax.Array:
    """Runs branch S up to J_s, without biases; no gradient flows to the frames.

    Args:
      frames: (B, I, H, W), normalised intensity frames.
      weights: (B, 3), the attention.
      first: (3, 49, I, 64), first stage by scale; see `algebra.fold_cat`. What pads a
        scale to 7 x 7 must be 0 and gets no gradient.
      conv2, conv3: kernels (3, 3, C, D).

    Returns:
      Currents (B, n, n, 512).
    """
    return _spatial(frames, weights, first, conv2, conv3)[0]


def _spatial(frames, weights, first, conv2, conv3):
    grid = make_grid(frames.shape[-1])
    padded = jnp.pad(frames, [(0, 0)] * 2 + [(FIRST.kernel_size // 2,) * 2] * 2)
    arrays = padded, weights, first, conv2, conv3
    shape = (len(frames), *grid.first.shape[:2], conv3.shape[-1])
    near, deep = NEAR_LINES**2 * conv2.shape[-1], DEEP_LINES**2 * conv3.shape[-1]
    num_composed = len(SCALES) * frames.shape[1] * (near + deep)
    currents, composed = _call("spatial", [shape, (num_composed,)], *arrays)
    return currents, (*arrays, composed)


def _spatial_gradient(arrays, gradient):
    _, *inputs, composed = arrays
    shapes = [x.shape for x in (*inputs, composed)]
    *gradients, _ = _call("spatial_gradient", shapes, *arrays, gradient)
    return None, *gradients


spatial.defvjp(_spatial, _spatial_gradient)


@jax.custom_vjp
def sum_rows(spikes: jax.Array, shared: jax.Array, kernel: jax.Array) -> jax.Array:
    """Multiplies spikes (B, T, N), to which those of (B, N) are added, by (N, D).

    D is a multiple of 128. Returns (B, T, D).
    """
    shape = (*spikes.shape[:2], kernel.shape[1])
    return _call("sum_rows", [shape], spikes, shared, kernel)[0]


def _forward(spikes, shared, kernel):
    return sum_rows(spikes, shared, kernel), (spikes, shared, kernel)


def _backward(arrays, gradient):
    *spikes, kernel = arrays
    summed = gradient.sum(1)
    arrays = *spikes, gradient, summed
    by_kernel = _call("sum_rows_gradient", [kernel.shape], *arrays)[0]
    return jnp.matmul(gradient, kernel.T), jnp.matmul(summed, kernel.T), by_kernel


sum_rows.defvjp(_forward, _backward)


def product(spikes: jax.Array, kernel: jax.Array) -> jax.Array:
    """Multiplies spikes (B, ..., N) by (N, D); see `sum_rows`."""
    rows = spikes.reshape(len(spikes), -1, spikes.shape[-1])
    sums = sum_rows(rows, jnp.zeros_like(rows[:, 0]), kernel)
    return sums.reshape(*spikes.shape[:-1], -1)


def settled(tree: Any) -> Any:
    """Returns a tree of arrays, each of which XLA computes once, before its readers.

    Without the library, XLA decides that.
    """
    leaves, structure = jax.tree.flatten(tree)
    dtypes = {str(x.dtype) for x in leaves}
    if not is_available() or len(dtypes) != 1 or not dtypes <= FLAGS.keys():
        return tree
    done = []
    for begin in range(0, len(leaves), _MOST_SETTLED):
        some = leaves[begin : begin + _MOST_SETTLED]
        done += _call("settled", [x.shape for x in some], *some, in_place=True)
    return jax.tree.unflatten(structure, done)
