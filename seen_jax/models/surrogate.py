"""The spike, and the surrogates of its derivative.

A neuron fires where its membrane is above the threshold. The derivative of that step is
zero almost everywhere, so the backward pass uses another function of the same argument,
`offset = membrane - threshold`: a surrogate, any function from offset to derivative. To
change a width or a slope, bind it: `functools.partial(rectangle, width=1.0)`; `named`
does so for a config.

Note: `width` is the half-width, and the published rectangle has height 1 whatever its
width, so its area is 1 only at the default.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from seen_jax.errors import refuse

Surrogate = Callable[[jax.Array], jax.Array]


def rectangle(offset: jax.Array, width: float = 0.5) -> jax.Array:
    """Returns 1 where |offset| < width, else 0; 0 at the edges themselves.

    Reference: the published program. Wu et al., "Spatio-temporal backpropagation for
    training high-performance spiking neural networks", 2018, whose height is
    1 / (2 width): the same at width 0.5.
    """
    return (jnp.abs(offset) < width).astype(offset.dtype)


def triangle(offset: jax.Array, width: float = 1.0) -> jax.Array:
    """Returns max(0, 1 - |offset| / width).

    Reference: Esser et al., "Convolutional networks for fast, energy-efficient
    neuromorphic computing", 2016. Bellec et al., "Long short-term memory and learning-
    to-learn in networks of spiking neurons", 2018, divide the offset by the threshold
    and damp the triangle by 0.3.
    """
    return jnp.maximum(1 - jnp.abs(offset) / width, 0)


def arctan(offset: jax.Array, slope: float = 2.0) -> jax.Array:
    """Returns (slope / 2) / (1 + (pi / 2 * slope * offset)^2).

    Reference: Fang et al., "Incorporating learnable membrane time constant to enhance
    learning of spiking neural networks", 2021; at slope 2 it is the derivative of
    arctan(pi x) / pi + 1/2.
    """
    return slope / 2 / (1 + jnp.square(jnp.pi / 2 * slope * offset))


def fast_sigmoid(offset: jax.Array, slope: float = 10.0) -> jax.Array:
    """Returns 1 / (1 + slope * |offset|)^2.

    Reference: Zenke and Ganguli, "SuperSpike: supervised learning in multilayer spiking
    neural networks", 2018: the derivative of x / (1 + |x|) at x = slope * offset,
    without the factor slope. The default slope is this project's choice.
    """
    return 1 / jnp.square(1 + slope * jnp.abs(offset))


SURROGATES = {x.__name__: x for x in (rectangle, triangle, arctan, fast_sigmoid)}
WITH_WIDTH = ("rectangle", "triangle")


def named(name: str, width: float = 0.0) -> Surrogate:
    """Returns a surrogate of `SURROGATES`.

    Args:
      name: of the surrogate.
      width: its half-width, above 0; 0 leaves its own.

    Raises:
      UserError: a width for one that has none.
    """
    if not width:
        return SURROGATES[name]
    if name not in WITH_WIDTH:
        rule = f"0, since {name} has a slope and no width"
        remedy = f"leave it out, or give --config.surrogate={WITH_WIDTH[0]}"
        refuse("surrogate_width", rule, width, remedy)
    return partial(SURROGATES[name], width=width)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def spike(offset: jax.Array, surrogate: Surrogate = rectangle) -> jax.Array:
    """Fires where the membrane is above the threshold.

    Args:
      offset: membrane - threshold, any shape, floating.
      surrogate: derivative of the spike by the offset in the backward pass.

    Returns:
      1 where offset > 0, else 0 (also at 0: the published program compares strictly,
      the paper's eq. 13 prints >=); shape and dtype of offset.

    Raises:
      UserError: offset is not floating.
    """
    if not jnp.issubdtype(offset.dtype, jnp.floating):
        refuse("offset", "floats", f"{offset.dtype} of shape {offset.shape}")
    return (offset > 0).astype(offset.dtype)


def _spike_forward(offset, surrogate):
    return spike(offset, surrogate), offset


def _spike_backward(surrogate, offset, gradient):
    return (gradient * surrogate(offset),)


spike.defvjp(_spike_forward, _spike_backward)
