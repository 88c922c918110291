"""True and predicted classes -> confusion matrix -> recalls, UAR, WAR; shares, 0 to 1.

Every function takes the predictions of one pass. WAR (weighted average recall) is the
share of clips that are right. UAR (unweighted average recall) is the mean of the
recalls of the classes; a class without examples has no recall (nan) and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seen_jax import see
from seen_jax.errors import refuse

Column = tuple[str, str]  # a kind of share and its name
Shares = dict[Column, float]
KINDS = ("recalls", "lightings", "overall")
WAR, UAR = ("overall", "WAR"), ("overall", "UAR")


def confusion(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int
) -> np.ndarray:
    """Counts examples by true and predicted class.

    Args:
      labels, predictions: (N,) integers in {0..K-1}.

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

    Returns:
      Nothing where a lighting is unknown or is not one of SEE's.
    """
    names = np.asarray([] if lightings is None else lightings, dtype=str)
    if not {*names.tolist()} <= {*see.LIGHTINGS} or len(names) != len(right):
        return {}
    here = {name: names == name for name in see.LIGHTINGS}
    return {name: float(_share(right[x].sum(), x.sum())) for name, x in here.items()}


def measure(
    labels: Sequence[str],
    label_index: np.ndarray,
    predictions: np.ndarray,
    lightings: Sequence[str] | None,
) -> Shares:
    """Computes the shares of one pass.

    A share is named by its kind and its name, since a class may be called "normal", as
    a lighting is, or "WAR".

    Args:
      labels: K class names in class order.
      label_index: (N,) true classes, positions in `labels`.
      predictions: (N,) predicted classes.
      lightings: N names; None where they are not known.

    Returns:
      ("recalls", label) of each label, ("lightings", name) as of `by_lighting`, then
      `WAR` and `UAR`.

    Raises:
      UserError: a label repeats, a class is out of range, or shapes differ.
    """
    if len({*labels}) < len(labels):
        refuse("labels", "names that differ", list(labels), "rename one of them")
    matrix = confusion(label_index, predictions, len(labels))
    right = np.asarray(label_index) == np.asarray(predictions)
    each = zip(labels, recalls(matrix).tolist(), strict=True)
    lit = by_lighting(lightings, right)
    return {
        **{("recalls", name): share for name, share in each},
        **{("lightings", name): share for name, share in lit.items()},
        WAR: war(matrix),
        UAR: uar(matrix),
    }


def nest(shares: Mapping[Column, Any]) -> dict[str, dict[str, Any]]:
    """Returns shares as JSON has them: kind to name to share, None in place of nan."""
    nested: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for (kind, name), share in shares.items():
        unknown = isinstance(share, float) and math.isnan(share)
        nested[kind][name] = None if unknown else share
    return nested


def flatten(nested: Mapping[str, Any]) -> dict[Column, Any]:
    """Undoes `nest`, and reads the flat form that older runs wrote."""
    if isinstance(nested.get("overall"), dict):
        return {(kind, x): y for kind in KINDS for x, y in nested[kind].items()}
    kinds = dict.fromkeys(("WAR", "UAR"), "overall")  # no label could be called so
    kinds |= dict.fromkeys(see.LIGHTINGS, "lightings")
    return {(kinds.get(x, "recalls"), x): share for x, share in nested.items()}


def titles(columns: Sequence[Column]) -> list[str]:
    """Returns the names of columns; where two have the same, the kind is added."""
    names = [name for _, name in columns]
    words = {"recalls": " (class)", "lightings": " (lighting)", "overall": ""}
    return [x + (words[kind] if names.count(x) > 1 else "") for kind, x in columns]


def _classes(argument: str, classes: np.ndarray, num_classes: int) -> np.ndarray:
    classes = np.asarray(classes)
    if classes.ndim != 1 or not (np.issubdtype(classes.dtype, np.integer)):
        refuse(argument, "integers (N,)", f"{classes.dtype} {classes.shape}")
    wrong = classes[(classes < 0) | (classes >= num_classes)]
    if wrong.size:
        refuse(argument, f"classes 0 to {num_classes - 1}", wrong[0])
    return classes.astype(np.int64)


def _share(part: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Divides counts; nan, without a warning, where `total` is 0."""
    part, total = np.asarray(part, float), np.asarray(total, float)
    return np.divide(part, total, out=np.full(part.shape, np.nan), where=total > 0)
