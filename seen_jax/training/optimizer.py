"""Stochastic gradient descent in PyTorch's order of operations.

    gradient = gradient + weight_decay * parameter
    velocity = momentum * velocity + gradient          (no Nesterov, no dampening)
    parameter = parameter - learning_rate * velocity

What a reader would get wrong: the decay goes into the velocity, and the learning rate
does not, so a change of the rate acts at once on all that is stored there.
"""

from __future__ import annotations

import jax.numpy as jnp
import optax


def learning_rate_by_epoch(
    initial: float, *, decay: float, steps_per_epoch: int
) -> optax.Schedule:
    """Returns step -> initial * decay ** (step // steps_per_epoch)."""

    def learning_rate(step):
        epoch = jnp.asarray(step) // steps_per_epoch
        return initial * decay ** epoch.astype(float)

    return learning_rate


def sgd(
    learning_rate: float | optax.Schedule, *, momentum: float, weight_decay: float
) -> optax.GradientTransformation:
    """Returns the optimiser; weight decay acts on every parameter, biases too."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.trace(decay=momentum),
        optax.scale_by_learning_rate(learning_rate),
    )
