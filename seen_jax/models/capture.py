"""What `SEEN` returns with `capture=True`: the attention and every neuron's state.

Note: rates and means include padding, and under `pmap` each device has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from seen_jax.models.lif import LIFState


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Capture:
    """The network's intermediate results for a batch.

    Attributes:
      attention: (B, 3), the weights of the three scales in S, also where T has its own.
      spatial: J_s, membranes and spikes (B, 1, h, w, 512).
      temporal: LIF1 to LIF5, each (B, T, ...).
    """

    attention: jax.Array
    spatial: LIFState
    temporal: tuple[LIFState, ...]

    @property
    def spike_rates(self) -> jax.Array:
        """Mean spike of each step: J_s, then LIF1 to LIF5 for each t; (1 + 5 T,)."""
        return self._means(lambda state: state.spike)

    @property
    def membrane_means(self) -> jax.Array:
        """Mean membrane of each step, in the same order."""
        return self._means(lambda state: state.membrane)

    def _means(self, field: Callable[[LIFState], jax.Array]) -> jax.Array:
        def by_time(state):
            x = field(state)
            return x.mean(axis=(0, *range(2, x.ndim)))

        temporal = jnp.stack([by_time(state) for state in self.temporal], axis=1)
        return jnp.concatenate([by_time(self.spatial), temporal.ravel()])
