"""What training changes: weights, running statistics, velocities, the step's number.

A state is a tree of arrays and nothing else, so it may be copied to devices, donated,
saved and compared. On one machine or many, every device holds the same state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import traverse_util

from seen_jax import see
from seen_jax.data.windows import intensity_places


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """Everything that a step reads and writes.

    Attributes:
      step: () int32, steps done; it is the number of the next batch too.
      batch_stats: running statistics of BatchNorm; {} where there is none.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """What the model is applied to."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def create(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    num_event_frames: int,
    key: jax.Array,
    size: int = see.INPUT_SIZE,
) -> TrainState:
    """Returns the state before the first step, the same wherever it is made.

    To be compiled: it draws six million numbers, by `key`. The model is as
    `models/README.md` describes it; `size` is that of its images, H and W.
    """
    num_intensity_frames = len(intensity_places(model.intensity, num_event_frames))
    variables = model.init(
        key,
        event_frames=jnp.zeros((1, num_event_frames, size, size)),
        intensity_frames=jnp.zeros((1, num_intensity_frames, size, size)),
    )
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(variables["params"]),
    )


def shapes(model: nn.Module, num_event_frames: int) -> dict[str, Any]:
    """Returns the variables of a model as shapes and dtypes; computes nothing."""
    make = partial(create, model, optax.identity(), num_event_frames)
    return jax.eval_shape(make, jax.random.key(0)).variables


def with_weights(state: TrainState, weights: Mapping[str, np.ndarray]) -> TrainState:
    """Puts arrays in place of those drawn, before the first step.

    What the state's optimiser holds does not depend on the weights. They are by path,
    such as params/fc1/bias, with the shapes of those drawn.
    """
    flat = traverse_util.flatten_dict(state.variables, sep="/") | {**weights}
    return replace(state, **traverse_util.unflatten_dict(flat, sep="/"))
