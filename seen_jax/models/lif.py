"""Leaky integrate-and-fire neurons with hard reset: one step, and its scan over time.

    V_t = decay * V_{t-1} * (1 - P_{t-1}) + X_t        membrane
    P_t = 1 if V_t > threshold else 0                  spike

State goes in and comes out, so a stream may be cut anywhere: the next scan starts from
the state that the last one returned. Arrays are (B, T, ...), time-major only inside the
scan.

Note: the gradient flows through the reset factor (1 - P_{t-1}) too, by the surrogate of
P; nothing is detached.

Reference: Zhang et al., "In the Blink of an Eye: Event-based Emotion Recognition",
SIGGRAPH 2023, eq. 13; the values are those of the published program.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from seen_jax.errors import refuse
from seen_jax.models import surrogate as surrogates


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LIFState:
    """Neurons at one moment (B, ...), or at every moment of a window (B, T, ...).

    Attributes:
      membrane: the potential, before the reset that follows a spike.
      spike: 0 or 1, in the membrane's dtype.
    """

    membrane: jax.Array
    spike: jax.Array

    @classmethod
    def at_rest(cls, shape: tuple[int, ...], dtype=jnp.float32) -> LIFState:
        """Returns neurons of that shape, (B, ...), before any input."""
        zeros = jnp.zeros(shape, dtype)
        return cls(zeros, zeros)


@dataclass(frozen=True)
class LIF:
    """The constants of a neuron; called on currents (B, T, ...), it runs from rest.

    Attributes:
      decay: share of the membrane that remains after one step.
      threshold: the neuron fires where its membrane is above it.
      surrogate: derivative of the spike in the backward pass.
    """

    decay: float = 0.2
    threshold: float = 0.3
    surrogate: surrogates.Surrogate = surrogates.rectangle

    def __call__(self, currents: jax.Array) -> LIFState:
        return lif_scan(self, currents)[1]


def lif_step(neuron: LIF, state: LIFState, current: jax.Array) -> LIFState:
    """Advances the neurons by one time step (eq. 13); all arrays have one shape."""
    membrane = neuron.decay * state.membrane * (1 - state.spike) + current
    fired = surrogates.spike(membrane - neuron.threshold, neuron.surrogate)
    return LIFState(membrane, fired)


def lif_scan(
    neuron: LIF, currents: jax.Array, state: LIFState | None = None
) -> tuple[LIFState, LIFState]:
    """Runs the neurons over every time step of a window.

    Args:
      neuron: the constants.
      currents: (B, T, ...) inputs, floating, T of 1 or more.
      state: (B, ...) state to continue from, of the currents' dtype; None is rest.

    Returns:
      The state after the last step (B, ...), and the state at every step (B, T, ...).

    Raises:
      UserError: the currents are not as described, or the state does not fit them.
    """
    currents = jnp.asarray(currents)
    given = f"{currents.dtype} of shape {currents.shape}"
    if currents.ndim < 2 or not currents.shape[1]:
        refuse("currents", "(B, T, ...) with T of 1 or more", given)
    if not jnp.issubdtype(currents.dtype, jnp.floating):
        refuse("currents", "floats", given)
    rest = LIFState.at_rest(currents[:, 0].shape, currents.dtype)
    state = rest if state is None else jax.tree.map(jnp.asarray, state)
    for name, x in vars(state).items():
        if (x.shape, x.dtype) != (rest.spike.shape, rest.spike.dtype):
            rule = f"{currents.dtype} of shape {rest.spike.shape}, as the currents have"
            refuse(f"state.{name}", rule, f"{x.dtype} of shape {x.shape}")

    def step(before, current):
        after = lif_step(neuron, before, current)
        return after, after

    # A window has few steps; unrolled, they compile to one loop over the neurons.
    last, states = jax.lax.scan(step, state, jnp.moveaxis(currents, 1, 0), unroll=True)
    return last, jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), states)
