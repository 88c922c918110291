"""An epoch's numbers: the sums of its steps, and its passes -> a row (`rows`).

Note: loss and accuracy of training are those of the steps as they were taken, with
weights that changed from one to the next.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from seen_jax import metrics
from seen_jax.data.clips import Clips


@dataclasses.dataclass
class EpochSums:
    """The epoch so far; kept in checkpoints, since a run may stop within an epoch."""

    loss: float = 0.0
    correct: float = 0.0
    count: float = 0.0
    seconds: float = 0.0

    def add(self, step_sums: Mapping[str, np.ndarray]) -> int | None:
        """Adds the sums of one step, or of several, (S,) each.

        Returns:
          The first of the steps whose loss is not finite, None if all are.
        """
        each = {name: np.atleast_1d(x) for name, x in step_sums.items()}
        for i in range(len(each["loss"])):
            if not math.isfinite(each["loss"][i]):
                return i
            self.loss += float(each["loss"][i])
            self.correct += float(each["correct"][i])
            self.count += float(each["count"][i])
        return None

    def means(self) -> tuple[float, float]:
        """Returns loss and accuracy."""
        return self.loss / self.count, self.correct / self.count


def make_row(
    sums: EpochSums, *, epoch: int, step: int, learning_rate: float
) -> dict[str, Any]:
    """Returns the row of an epoch (from 1), of its last step and that step's rate."""
    loss, accuracy = sums.means()
    return {
        "epoch": epoch,
        "step": step,
        "loss": loss,
        "accuracy": accuracy,
        "learning_rate": learning_rate,
        "seconds": sums.seconds,
        "windows_per_s": sums.count / sums.seconds,
    }


def measure(clips: Clips, split: str, probabilities: np.ndarray) -> dict[str, Any]:
    """Returns what an epoch's row adds for probabilities (P, N, K) of passes."""
    lightings = clips.metadata.get("lighting")
    passes = [
        metrics.measure(clips.labels, clips.label_index, x.argmax(-1), lightings)
        for x in probabilities
    ]
    mean = {key: float(np.mean([x[key] for x in passes])) for key in passes[0]}
    wars = [x[metrics.WAR] for x in passes]
    return {
        "split": split,
        "war": mean[metrics.WAR],
        "uar": mean[metrics.UAR],
        "war_std": float(np.std(wars, ddof=1)) if len(wars) > 1 else None,
        "mean": metrics.nest(mean),
        "passes": [*map(metrics.nest, passes)],
    }
