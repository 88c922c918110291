"""What a gradient does to the parameters, as published.

It is stochastic gradient descent in PyTorch's order of operations:

    gradient = gradient + weight_decay * parameter
    velocity = momentum * velocity + gradient          (no Nesterov, no dampening)
    parameter = parameter - learning_rate * velocity

Note: the weight decay goes into the velocity and the learning rate does not, so a
change of the rate acts at once on all that is stored there.
"""

from __future__ import annotations

import jax.numpy as jnp
import optax

from seen_jax.models.fast import native

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("published", "cosine")


def learning_rate_by_epoch(
    initial: float, *, decay: float, steps_per_epoch: int
) -> optax.Schedule:
    """Returns step -> initial * decay ** (step // steps_per_epoch), for a decay > 0."""
    rate = optax.exponential_decay(initial, steps_per_epoch, decay, staircase=True)
    # Of an integer step the rate would be float32 where the parameters are float64.
    return lambda step: rate(jnp.asarray(step, float))


def sgd(
    learning_rate: float | optax.Schedule, *, momentum: float, weight_decay: float
) -> optax.GradientTransformation:
    """Returns the optimiser; its state has a velocity of each parameter's shape.

    Args:
      momentum: share of the velocity that is left after one step, 0 to 1.
      weight_decay: acts on every parameter, biases too.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        _velocity(momentum),
        optax.scale_by_learning_rate(learning_rate),
    )


def _velocity(momentum):
    """`optax.trace`, whose result is written to memory before parameters use it.

    XLA would compute it twice, for the velocity and for the parameter, and copy both of
    them first, since each of the two results takes the memory of what both read.
    """
    trace = optax.trace(decay=momentum)

    def update(gradients, state, params=None):
        _, state = trace.update(gradients, state, params)
        state = native.settled(state)
        return state.trace, state

    return optax.GradientTransformation(trace.init, update)
