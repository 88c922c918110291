"""Logits of one network by two programs -> how far they agree, and where not.

In float32 two programs of the same network need not agree: where a membrane is at its
threshold, rounding decides whether the neuron fires. A window is excused for that if
the network is shown to be the same in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from seen_jax.errors import refuse

TOLERANCE = 1e-3  # of a window's largest logit
EXACT = 1e-9  # the same in float64
MOST_BY_ROUNDING = 0.05  # share of the windows
NUM_LINES = 5  # windows named in an error


def relative(expected: np.ndarray, got: np.ndarray) -> np.ndarray:
    """Returns the largest difference of each window by its largest logit: (N,).

    It is 0 where both are 0, as where the spikes of LIF5 are read and none fired.
    """
    difference, size = np.abs(got - expected).max(1), np.abs(expected).max(1)
    with np.errstate(divide="ignore"):
        return np.divide(
            difference, size, out=np.zeros_like(size), where=difference != 0
        )


def differs(expected: np.ndarray, got: np.ndarray) -> np.ndarray:
    """Tells which windows differ by more than float32's rounding: (N,) bool.

    A logit differs by more than `TOLERANCE` of its window's largest, or another emotion
    comes first although the first two are further apart than that.
    """
    second, first = np.sort(expected, axis=1)[:, -2:].T
    clear = first - second > TOLERANCE * np.abs(expected).max(1)
    other = expected.argmax(1) != got.argmax(1)
    return ~(relative(expected, got) <= TOLERANCE) | (other & clear)


def check(
    program: str,
    expected: np.ndarray,
    got: np.ndarray,
    names: Sequence[str],
    by_rounding: Callable[[np.ndarray], np.ndarray],
) -> dict[str, Any]:
    """Compares logits, and raises if the two are not the same network.

    Args:
      expected, got: (N, K).
      names: N, where each window comes from.
      by_rounding: from numbers of windows (n,) to whether rounding alone decides there,
        (n,) bool; asked only about windows that differ.

    Returns:
      Of N windows, num_windows; largest_difference of a logit where rounding does not
      decide, largest_relative to the largest logit of its window; share_equal, of those
      with the same emotion first, 0 to 1; by_rounding, names of those in which rounding
      decides a spike.

    Raises:
      UserError: windows differ and rounding is not why, or it is in more of them than
        `MOST_BY_ROUNDING`. Names them, or the first.
    """
    wrong, excused = differs(expected, got), np.zeros(len(expected), bool)
    numbers = np.flatnonzero(wrong)
    if len(numbers):
        excused[numbers] = by_rounding(numbers)
    if (wrong & ~excused).any():
        far, other = relative(expected, got), expected.argmax(1) != got.argmax(1)
        lines = [
            f"  {names[i]}: {far[i]:.1e} of its largest logit"
            + (", another emotion first" if other[i] else "")
            for i in np.flatnonzero(wrong & ~excused)[:NUM_LINES]
        ]
        count = f"others in {(wrong & ~excused).sum()} of {len(wrong)} windows\n"
        refuse(program, f"JAX's logits to {TOLERANCE:g}", count + "\n".join(lines))
    most = max(1, int(MOST_BY_ROUNDING * len(expected)))
    if excused.sum() > most:
        rule = f"rounding to decide in {most} of {len(wrong)} windows at most"
        got = f"{excused.sum()}, the first {names[excused.argmax()]}"
        remedy = "export a checkpoint whose membranes are further from the threshold"
        refuse(program, rule, got, remedy)
    kept = ~excused
    return {
        "num_windows": len(expected),
        "largest_difference": float(np.abs(got - expected)[kept].max(initial=0)),
        "largest_relative": float(relative(expected, got)[kept].max(initial=0)),
        "share_equal": float((expected.argmax(1) == got.argmax(1)).mean()),
        "by_rounding": [names[i] for i in np.flatnonzero(excused)],
    }
