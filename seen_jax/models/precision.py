"""Matrix products in the precision that a config asks for.

    float32     full precision, on GPUs too, where JAX's default rounds an operand's
                fraction from 23 bits to 10
    bfloat16    operands are rounded to 7 bits; sums, weights, neurons and everything
                else stay float32

Spikes, and LIF3 + J_s (0, 1 or 2), are exact in bfloat16.

Note: in the backward pass the incoming gradient is an operand, so it is rounded too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

Product = Callable[[jax.Array, jax.Array], jax.Array]


@jax.custom_vjp
def bfloat16_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Multiplies (..., C) by (C, D), rounded to bfloat16; sums in the dtype of x.

    The operands of the gradients' products are rounded likewise.
    """
    return _forward(x, kernel)[0]


def _forward(x, kernel):
    operands = _rounded(x), _rounded(kernel)
    return _multiply(*operands, x.dtype), operands


def _backward(operands, gradient):
    x, kernel = operands
    dtype, gradient = gradient.dtype, _rounded(gradient)
    rows = [a.reshape(-1, a.shape[-1]) for a in (x, gradient)]
    return _multiply(gradient, kernel.T, dtype), _multiply(rows[0].T, rows[1], dtype)


def _rounded(x):
    return x.astype(jnp.bfloat16)


def _multiply(x, y, dtype):
    return jnp.matmul(x, y, preferred_element_type=dtype)


bfloat16_product.defvjp(_forward, _backward)

PRODUCTS: dict[str, Product] = {"float32": jnp.matmul, "bfloat16": bfloat16_product}


def in_full(fn: Callable) -> Callable:
    """Decorates a function: its products use all bits of their operands."""

    @functools.wraps(fn)
    def wrapped(*args, **kwargs):
        with jax.default_matmul_precision("float32"):
            return fn(*args, **kwargs)

    return wrapped
