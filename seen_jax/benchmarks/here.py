"""This project's training and predictions on a few devices, for comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

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
Call = Callable[[], np.ndarray]  # waits for its result


class Training:
    """Trains by the published recipe.

    Args:
      weights: to start from, whose type is that of all numbers.
      batches: to train on.
      precision: as of `network`.
      frames: of the batches' store, on the devices; None sends batches from the host.
      devices: None takes the first one.

    Attributes:
      state: the current state, replicated.
      num_steps: that were dispatched.
    """

    def __init__(
        self,
        weights: Weights,
        batches: Batches,
        precision: str = "float32",
        frames: Frames | None = None,
        devices: Sequence[jax.Device] | None = None,
    ):
        self.batches, self.num_steps = batches, 0
        self.devices = devices or jax.local_devices()[:1]
        self.model = network(precision, axis_name=step.AXIS)
        rate = learning_rate_by_epoch(
            torch_seen.LEARNING_RATE,
            decay=torch_seen.LEARNING_RATE_DECAY,
            steps_per_epoch=len(batches),
        )
        momentum, weight_decay = torch_seen.MOMENTUM, torch_seen.WEIGHT_DECAY
        self.optimizer = sgd(rate, momentum=momentum, weight_decay=weight_decay)
        feed = Feed(batches, frames, self.devices)
        self._train = feed.make_train(self.model, self.optimizer)
        variables, number = variables_from_torch(weights), np.zeros((), np.int32)
        opt_state = self.optimizer.init(variables["params"])
        state = TrainState(number, **variables, opt_state=opt_state)
        self.state = step.replicate(state, self.devices)

    def start(self, num_steps: int) -> list[Sums]:
        """Dispatches steps of one epoch; the devices may not have their sums yet."""
        start, parts = self.num_steps, []
        self.num_steps += num_steps
        for state, _, sums in self._train(self.state, start, self.num_steps):
            self.state = state
            parts.append(sums)
        return parts

    def epoch(self) -> float:
        """Trains an epoch; returns its mean loss."""
        return mean_loss(self.start(len(self.batches)))

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
    """Waits for the sums of some steps and returns their mean loss."""
    parts = [step.first(sums) for sums in parts]
    total, count = (sum(np.sum(x[name]) for x in parts) for name in ("loss", "count"))
    return float(total / count)
