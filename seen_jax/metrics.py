"""True and predicted classes -> confusion matrix -> recalls, UAR, WAR; shares, 0 to 1.

Every function takes the predictions of one pass. WAR (weighted average recall) is the
share of clips that are right. UAR (unweighted average recall) is the mean of the
recalls of the classes; a class without examples has no recall (nan) and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seen_jax import see
from seen_jax.errors import one_of, refuse


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
      UserError: shapes differ, or a class is out of range.
    """
    labels = _classes("labels", labels, num_classes)
    predictions = _classes("predictions", predictions, num_classes)
    if labels.shape != predictions.shape:
        refuse("predictions", f"{labels.shape}, as labels", predictions.shape)
    cells = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def recalls(matrix: np.ndarray) -> np.ndarray:
    """Returns (K,): the share right of each true class; nan without examples."""
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

    Reference: the published program's TensorBoard tag `F1-p=0.33`, which is not an F1.
    """
    return 0.33 * uar + 0.67 * war


def by_lighting(lightings: Sequence[str] | None, right: np.ndarray) -> dict[str, float]:
    """Returns the share right in each of `see.LIGHTINGS`; nan where there is no clip.

    Args:
      lightings: N names; None where they are not known.
      right: (N,) bool, whether the prediction is the true class.
    """
    if lightings is None:
        return dict.fromkeys(see.LIGHTINGS, np.nan)
    unknown = sorted({*lightings} - {*see.LIGHTINGS})
    if unknown:
        refuse("lightings", one_of(see.LIGHTINGS), repr(unknown[0]))
    names = np.asarray(lightings, dtype=str)
    here = {name: names == name for name in see.LIGHTINGS}
    return {name: float(_share(right[x].sum(), x.sum())) for name, x in here.items()}


def measure(
    labels: Sequence[str],
    label_index: np.ndarray,
    predictions: np.ndarray,
    lightings: Sequence[str] | None,
) -> dict[str, float]:
    """Computes the published table's shares of one pass.

    Args:
      labels: K class names in class order.
      label_index: (N,) true classes, positions in `labels`.
      predictions: (N,) predicted classes.
      lightings: N names, of `see.LIGHTINGS`; None where they are not known.

    Returns:
      A share for each label (its recall), each lighting, "WAR" and "UAR".

    Raises:
      UserError: a label repeats or is also the name of another share, a class is out of
        range, shapes differ, or a lighting is unknown.
    """
    check_labels(labels)
    matrix = confusion(label_index, predictions, len(labels))
    return {
        **dict(zip(labels, recalls(matrix).tolist(), strict=True)),
        **by_lighting(lightings, np.asarray(label_index) == np.asarray(predictions)),
        "WAR": war(matrix),
        "UAR": uar(matrix),
    }


def check_labels(labels: Sequence[str]) -> None:
    """Raises a `UserError` unless class names tell every share of `measure` apart."""
    reserved = (*see.LIGHTINGS, "WAR", "UAR")
    for i, label in enumerate(labels):
        if label in reserved or label in labels[:i]:
            rule = f"names that differ, and none of {', '.join(reserved)}"
            refuse("labels", rule, repr(label), "rename the class in the split file")


def _classes(argument: str, classes: np.ndarray, num_classes: int) -> np.ndarray:
    classes = np.asarray(classes)
    if classes.ndim != 1 or not (np.issubdtype(classes.dtype, np.integer)):
        refuse(argument, "integers (N,)", f"{classes.dtype} {classes.shape}")
    wrong = classes[(classes < 0) | (classes >= num_classes)]
    if wrong.size:
        refuse(argument, f"classes 0 to {num_classes - 1}", wrong[0])
    return classes.astype(np.int64)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divides counts; nan, without a warning, where `whole` is 0."""
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
