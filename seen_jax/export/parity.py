"""Logits of one network by two programs -> how far they agree, and where not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

TOLERANCE = 1e-3  # of a window's largest logit
NUM_LINES = 5  # windows named in an error


@dataclass(frozen=True)
class Parity:
    """How a program agrees with the reference over N windows.

    Attributes:
      num_windows: N.
      largest_difference: of a logit.
      largest_relative: the same, relative to the largest logit of its window.
      share_equal: windows with the same emotion first, 0 to 1.
    """

    num_windows: int
    largest_difference: float
    largest_relative: float
    share_equal: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(expected: np.ndarray, got: np.ndarray) -> Parity:
    """Compares logits, both (N, K) and finite."""
    difference = np.abs(got - expected).max(1)
    return Parity(
        len(expected),
        float(difference.max()),
        float((difference / np.abs(expected).max(1)).max()),
        float((expected.argmax(1) == got.argmax(1)).mean()),
    )


def check(
    program: str, expected: np.ndarray, got: np.ndarray, names: Sequence[str]
) -> Parity:
    """Compares, and raises if the two are not the same network.

    Args:
      program: whose logits `got` are.
      expected, got: (N, K).
      names: N, where each window comes from.

    Raises:
      ValueError: a logit differs by more than `TOLERANCE` of its window's largest, or
        another emotion comes first although the first two are further apart than that.
        Names the windows.
    """
    scale = np.abs(expected).max(1)
    relative = np.abs(got - expected).max(1) / scale
    second, first = np.sort(expected, axis=1)[:, -2:].T
    other = expected.argmax(1) != got.argmax(1)
    wrong = ~(relative <= TOLERANCE) | (other & (first - second > TOLERANCE * scale))
    if wrong.any():
        lines = [
            f"  {names[i]}: {relative[i]:.1e} of its largest logit"
            + (", another emotion first" if other[i] else "")
            for i in np.flatnonzero(wrong)[:NUM_LINES]
        ]
        raise ValueError(
            f"{program}: expected JAX's logits to {TOLERANCE:g}, got others in "
            f"{wrong.sum()} of {len(wrong)} windows\n" + "\n".join(lines)
        )
    return compare(expected, got)
