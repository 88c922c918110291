"""True and predicted classes -> confusion matrix -> recalls, UAR, WAR; shares, 0 to 1.

Every function is given what one pass said. What a reader would get wrong: UAR is the
mean of the recalls, so each class counts alike, while WAR is the plain share of clips
that are right. A class without examples has no recall, nan, and is left out of UAR.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seen_jax import see


def confusion(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int
) -> np.ndarray:
    """Counts examples by true and predicted class.

    Args:
      labels, predictions: (N,) integers in {0..K-1}.
      num_classes: K.

    Returns:
      (K, K) int64; rows are true classes, columns predicted ones.

    Raises:
      ValueError: shapes differ, or a class is out of range.
    """
    labels = _classes("labels", labels, num_classes)
    predictions = _classes("predictions", predictions, num_classes)
    if labels.shape != predictions.shape:
        raise ValueError(
            f"predictions: expected {labels.shape}, as labels, got {predictions.shape}"
        )
    cells = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def recalls(matrix: np.ndarray) -> np.ndarray:
    """Returns (K,), the share right of each true class; nan where there is none."""
    return _share(np.diag(matrix), matrix.sum(axis=1))


def uar(matrix: np.ndarray) -> float:
    """Unweighted average recall: the mean over the classes that have examples."""
    each = recalls(matrix)
    known = each[~np.isnan(each)]
    return float(known.mean()) if known.size else np.nan


def war(matrix: np.ndarray) -> float:
    """Weighted average recall: the share of examples that are right."""
    return float(_share(np.trace(matrix), matrix.sum()))


def blend(uar: float, war: float) -> float:
    """Returns 0.33 UAR + 0.67 WAR.

    Reference: the published program's TensorBoard tag `F1-p=0.33`. It is no F1.
    """
    return 0.33 * uar + 0.67 * war


def by_lighting(
    lightings: Sequence[str], labels: np.ndarray, predictions: np.ndarray
) -> dict[str, float]:
    """Returns the share right for each of `see.LIGHTINGS`; nan where there is no clip.

    Args:
      lightings: N names.
      labels, predictions: (N,) classes.
    """
    unknown = sorted(set(lightings) - set(see.LIGHTINGS))
    if unknown:
        raise ValueError(
            f"lightings: expected {see.one_of(see.LIGHTINGS)}, got {unknown[0]!r}"
        )
    lightings = np.asarray(lightings, dtype=str)
    right = np.asarray(labels) == np.asarray(predictions)
    return {
        name: float(_share(right[lightings == name].sum(), (lightings == name).sum()))
        for name in see.LIGHTINGS
    }


def measure(labels, label_index, predictions, lightings):
    matrix = confusion(label_index, predictions, len(labels))
    return {
        **dict(zip(labels, recalls(matrix).tolist(), strict=True)),
        **by_lighting(lightings, label_index, predictions),
        "WAR": war(matrix),
        "UAR": uar(matrix),
    }


def _classes(argument: str, classes: np.ndarray, num_classes: int) -> np.ndarray:
    classes = np.asarray(classes)
    if classes.ndim != 1 or not (np.issubdtype(classes.dtype, np.integer)):
        raise ValueError(
            f"{argument}: expected integers (N,), got {classes.dtype} {classes.shape}"
        )
    wrong = classes[(classes < 0) | (classes >= num_classes)]
    if wrong.size:
        raise ValueError(
            f"{argument}: expected classes 0 to {num_classes - 1}, got {wrong[0]}"
        )
    return classes.astype(np.int64)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divides counts; nan, and no warning, where there is nothing to divide by."""
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
