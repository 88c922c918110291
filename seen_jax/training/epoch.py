"""An epoch's numbers: the sums of its steps, and the passes -> a row of metrics.jsonl.

What a reader would get wrong: the loss and accuracy of training are those of the steps
as they were taken, with weights that changed from one to the next.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from seen_jax import metrics, see
from seen_jax.training.setup import Task


@dataclasses.dataclass
class EpochSums:
    """The epoch so far; kept in checkpoints, since a run may stop within an epoch."""

    loss: float = 0.0
    correct: float = 0.0
    count: float = 0.0
    seconds: float = 0.0

    def add(self, loss: float, correct: float, count: float) -> None:
        self.loss += loss
        self.correct += correct
        self.count += count

    def means(self) -> tuple[float, float]:
        """Returns loss and accuracy."""
        return self.loss / self.count, self.correct / self.count


def make_row(
    task: Task, step: int, sums: EpochSums, probabilities: np.ndarray | None
) -> dict[str, Any]:
    """Returns what `Journal.epoch` takes.

    Args:
      task: what is trained.
      step: the last one of the epoch.
      sums: of all of it.
      probabilities: (P, N, K) of the evaluation passes; None if there were none.
    """
    loss, accuracy = sums.means()
    row = {
        "epoch": step // len(task.train),
        "step": step,
        "loss": loss,
        "accuracy": accuracy,
        "learning_rate": float(task.learning_rate(step - 1)),
        "seconds": sums.seconds,
        "windows_per_s": sums.count / sums.seconds,
    }
    return row if probabilities is None else row | _measure(task, probabilities)


def _measure(task: Task, probabilities: np.ndarray) -> dict[str, Any]:
    records = task.evaluation.provider.records
    names = [see.ClipName.parse(name) for name in records.names]
    passes = [
        metrics.measure(names, x.argmax(-1), records.labels) for x in probabilities
    ]
    mean = {key: float(np.mean([x[key] for x in passes])) for key in passes[0]}
    wars = [x["WAR"] for x in passes]
    return {
        "split": task.split,
        "war": mean["WAR"],
        "uar": mean["UAR"],
        "war_std": float(np.std(wars, ddof=1)) if len(wars) > 1 else None,
        "mean": _without_nan(mean),
        "passes": [_without_nan(x) for x in passes],
    }


def _without_nan(shares: dict[str, float]) -> dict[str, float | None]:
    """JSON has no nan: a lighting or an emotion without clips has no share."""
    return {key: None if math.isnan(x) else x for key, x in shares.items()}


def checkpoint_metrics(row: dict[str, Any]) -> dict[str, Any]:
    """Returns what the checkpoint of an evaluated epoch says of itself."""
    names = ("epoch", "loss", "accuracy", "split", "war", "uar", "war_std")
    return {name: row[name] for name in names}
