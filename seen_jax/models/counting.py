"""The size and the cost of a model: parameters and multiply-accumulates (MACs).

Note: the paper's column "FLOPS" holds MACs, each of which is two operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax


def count_parameters(variables: Any) -> int:
    """Sums the sizes of the arrays in variables["params"]."""
    return sum(math.prod(x.shape) for x in jax.tree.leaves(variables["params"]))


def count_macs(fn: Callable[..., Any], *args: Any) -> int:
    """Counts the multiply-accumulates of convolutions and matrix products in a call.

    Nothing is computed: the function is traced and its shapes are read. Products with
    padding count, as in the paper, and so do products with the zeros that the gradient
    of a strided convolution inserts. A `while` counts as one iteration, a `cond` as all
    its branches together.
    """
    return _macs(jax.make_jaxpr(fn)(*args).jaxpr)


def _macs(jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        repeats = equation.params.get("length", 1)  # of a scan
        inner = sum(_macs(inner) for inner in _inner_jaxprs(equation))
        total += repeats * inner + _macs_of_product(equation)
    return total


def _inner_jaxprs(equation) -> Iterator[Any]:
    """Yields the programs inside a jit, a scan, a cond or a custom derivative."""
    for value in equation.params.values():
        for item in value if isinstance(value, (tuple, list)) else [value]:
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                yield item


def _macs_of_product(equation) -> int:
    shapes = [variable.aval.shape for variable in equation.invars]
    out_size = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
    if equation.primitive.name == "conv_general_dilated":
        kernel_spec = equation.params["dimension_numbers"].rhs_spec
        out_features = shapes[1][kernel_spec[0]]
        return out_size * math.prod(shapes[1]) // out_features
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return out_size * math.prod(shapes[0][axis] for axis in contracted)
    return 0
