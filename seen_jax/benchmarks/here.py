"""This project's training and predictions on the first device, for comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn

from seen_jax.benchmarks import torch_seen
from seen_jax.data.batches import Batches
from seen_jax.export.convert import torch_from_variables, variables_from_torch
from seen_jax.models.fast.network import network
from seen_jax.protocol import Answer
from seen_jax.training import step
from seen_jax.training.feed import Feed, Frames, Sums
from seen_jax.training.optimizer import learning_rate_by_epoch, sgd
from seen_jax.training.state import TrainState

Weights = Mapping[str, np.ndarray]  # by published name


def make_model(precision: str = "float32") -> nn.Module:
    """Returns the network that is trained, for steps on several devices too."""
    return network(precision, axis_name=step.AXIS)


def make_optimizer(steps_per_epoch: int) -> optax.GradientTransformation:
    """Returns the optimiser of the published recipe."""
    rate = learning_rate_by_epoch(
        torch_seen.LEARNING_RATE,
        decay=torch_seen.LEARNING_RATE_DECAY,
        steps_per_epoch=steps_per_epoch,
    )
    momentum, weight_decay = torch_seen.MOMENTUM, torch_seen.WEIGHT_DECAY
    return sgd(rate, momentum=momentum, weight_decay=weight_decay)


def initial_state(
    weights: Weights, optimizer: optax.GradientTransformation
) -> TrainState:
    """Returns the state before the first step, in the type of the weights."""
    variables, number = variables_from_torch(weights), np.zeros((), np.int32)
    opt_state = optimizer.init(variables["params"])
    return TrainState(number, **variables, opt_state=opt_state)


class Training:
    """Trains by the published recipe, one epoch per call.

    Args:
      weights: to start from.
      batches: to train on.
      precision: as of `network`.
      frames: of the batches' store, on the device; None sends batches from the host.

    Attributes:
      state: the current state, replicated.
    """

    def __init__(
        self,
        weights: Weights,
        batches: Batches,
        precision: str = "float32",
        frames: Frames | None = None,
    ):
        self.devices = jax.local_devices()[:1]
        self.model = make_model(precision)
        self.optimizer = make_optimizer(len(batches))
        self.batches, self.num_epochs = batches, 0
        feed = Feed(batches, frames, self.devices)
        self._train = feed.make_train(self.model, self.optimizer)
        state = initial_state(weights, self.optimizer)
        self.state = step.replicate(state, self.devices)

    def start_epoch(self) -> list[Sums]:
        """Dispatches an epoch; returns its sums, which the device may not have yet."""
        start = self.num_epochs * len(self.batches)
        self.num_epochs += 1
        parts = []
        for state, _, sums in self._train(self.state, start, start + len(self.batches)):
            self.state = state
            parts.append(sums)
        return parts

    def epoch(self) -> float:
        """Trains an epoch; returns its mean loss."""
        return mean_loss(self.start_epoch())

    def make_predict(
        self, batches: Batches, frames: Frames | None = None
    ) -> Callable[[Any, int], Iterator[Answer]]:
        """As `Feed.make_predict`; compiled once."""
        return Feed(batches, frames, self.devices).make_predict(self.model)

    def answers(self, batches: Batches, num_passes: int) -> Iterator[Answer]:
        """Predicts the passes of an evaluation, as `protocol.evaluate` wants them."""
        return self.make_predict(batches)(self.state.variables, num_passes)

    def weights(self) -> Weights:
        return torch_from_variables(step.first(self.state).variables)


def mean_loss(parts: list[Sums]) -> float:
    """Waits for an epoch's sums and returns its mean loss."""
    parts = [step.first(sums) for sums in parts]
    total, count = (sum(np.sum(x[name]) for x in parts) for name in ("loss", "count"))
    return float(total / count)
