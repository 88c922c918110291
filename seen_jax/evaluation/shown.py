"""What a report shows beside numbers: activity by clip and a few windows, as one file.

shown.npz    of the first pass; beside the result files, for the page made of them
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

FILE = "shown.npz"
NUM_MISTAKES = 6


@dataclass(frozen=True)
class Shown:
    """Of the first pass; N clips whose activity was observed, M windows of any clips.

    Attributes:
      observed: (N,) clip names.
      attention: (N, 3), weights of the three scales.
      spatial_rate: (N,) share of J_s that fires.
      rates: (N, T, 5), share of LIF1 to LIF5 that fires.
      clips: (M,) clip names, first those of `examples`.
      event_frames: (M, T, H, W) uint8.
      intensity_frames: (M, 2, H, W) uint8, or as many as the network sees.
    """

    observed: np.ndarray
    attention: np.ndarray
    spatial_rate: np.ndarray
    rates: np.ndarray
    clips: np.ndarray
    event_frames: np.ndarray
    intensity_frames: np.ndarray


def choose(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Chooses the first clip of each emotion and the most confident mistakes.

    Args:
      labels: (N,) true classes.
      probabilities: (N, K) of one pass.

    Returns:
      (M,) clips, each once; the mistakes follow, the most confident first.
    """
    both = *examples(labels), *mistakes(labels, probabilities)
    return np.array([*dict.fromkeys(both)])


def examples(labels: np.ndarray) -> np.ndarray:
    """Returns the first clip of each emotion."""
    return np.unique(labels, return_index=True)[1]


def mistakes(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns the clips that are wrong with the highest scores, highest first."""
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    wrong = probabilities.argmax(axis=1)[order] != labels[order]
    return order[wrong][:NUM_MISTAKES]


def save(directory: str | os.PathLike, shown: Shown) -> None:
    arrays = {field.name: getattr(shown, field.name) for field in fields(Shown)}
    np.savez_compressed(Path(directory) / FILE, **arrays)


def load(directory: str | os.PathLike) -> Shown | None:
    """Returns what was saved, None where there is nothing.

    Raises:
      ValueError: the file is not of the form.
    """
    path = Path(directory) / FILE
    if not path.exists():
        return None
    try:
        with np.load(path) as arrays:
            return Shown(**{field.name: arrays[field.name] for field in fields(Shown)})
    except Exception as error:  # a broken archive raises one of many
        raise ValueError(
            f"{path}: expected what eval.py writes, got {error}; evaluate again or "
            "remove it"
        ) from error
