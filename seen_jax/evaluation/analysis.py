"""Result files -> confusions, intervals, recall by group of people, calibration.

Shares are from 0 to 1. The two intervals answer different questions: the one over clips
is about other clips of the same people; the one over volunteers is about other people,
and is wider where people differ.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seen_jax import metrics, see
from seen_jax.evaluation import differences, statistics
from seen_jax.evaluation.results import Results, known
from seen_jax.evaluation.statistics import Interval

NUM_BINS = 10  # of the calibration, of equal width
# Years at which the next group begins; people in the published testing clips are 19 to
# 28 years old.
AGES = (20, 22, 24, 26)
AGE_GROUPS = (
    f"under {AGES[0]}",
    *(f"{low}-{high - 1}" for low, high in itertools.pairwise(AGES)),
    f"{AGES[-1]} and over",
)
MOST_GROUPS = 12  # of a metadata field
ORDERS = {
    "age": AGE_GROUPS,
    "sex": see.SEXES,
    "degree": see.DEGREES,
    "lighting": see.LIGHTINGS,
}


def confusion(results: Results) -> np.ndarray:
    """Counts by true (rows) and predicted class: (K, K), mean of the passes."""
    return np.mean(_confusions(results), axis=0)


def _confusions(results: Results) -> list[np.ndarray]:
    label_index, num_classes = results.label_index, len(results.labels)
    return [metrics.confusion(label_index, p, num_classes) for p in results.predictions]


def intervals(
    results: Results, units: Sequence | np.ndarray
) -> dict[metrics.Column, Interval]:
    """Returns the interval of each column of `statistics.FEWEST` units or more.

    Args:
      results: of N clips, with all passes of a clip together, since windows of one clip
        overlap and are no further evidence.
      units: (N,) what may be another one, as a whole: each clip's own number for an
        interval over clips, its volunteer for one over volunteers.
    """
    values, members = results.right.mean(axis=0), differences.members_of(results)
    sizes = {column: int(here.sum()) for column, here in members.items()}
    estimates = statistics.leave_one_out(values, units, members)
    by_column = {
        column: x.share_interval(sizes.get(column, len(values)))
        for column, x in estimates.items()
    }
    return {column: x for column, x in by_column.items() if x}


def over_clips(results: Results) -> dict[metrics.Column, Interval]:
    return intervals(results, range(len(results.names)))


def over_volunteers(results: Results) -> dict[metrics.Column, Interval]:
    who = results.volunteers
    return {} if who is None else intervals(results, who)


def column_intervals(results: Results) -> dict[metrics.Column, tuple[Interval, str]]:
    """Returns each column's interval over people, where too few have clips over clips.

    Returns:
      The interval and its units, "people" or "clips", of each column that has one.
    """
    sources = {"clips": over_clips(results), "people": over_volunteers(results)}
    return {
        column: (interval, units)
        for units, by_column in sources.items()
        for column, interval in by_column.items()
    }


@dataclass(frozen=True)
class Group:
    """The clips that have the same value of a metadata field.

    Attributes:
      kind: the field, for example "age" or "sex".
      name: the value, for example "20-21", in years.
      num_clips, num_volunteers: how many; the latter None where people are not known.
      war, uar: mean over the passes. UAR leaves out classes without clips in the group.
    """

    kind: str
    name: str
    num_clips: int
    num_volunteers: int | None
    war: float
    uar: float


def by_group(results: Results) -> list[Group]:
    """Measures the groups of clips that metadata make.

    A field makes groups where half of the clips or more have it, with 2 to
    `MOST_GROUPS` different values. Ages are put into bands first. Who is shown makes no
    group.
    """
    groups = []
    for field, values in results.metadata.items():
        names = _in_bands(values) if field == "age" else [*map(str, values.tolist())]
        here = known(values)
        chosen = {name for name, is_known in zip(names, here, strict=True) if is_known}
        few = 2 <= len(chosen) <= MOST_GROUPS and 2 * here.sum() >= len(here)
        if field != "volunteer" and few:
            of_clips = np.array(names)
            for name in _in_order(field, chosen):
                part = results.take((of_clips == name) & here)
                groups.append(_group(field, name, part))
    return groups


def _in_bands(ages: np.ndarray) -> list[str]:
    """Returns the band of each age, or the ages where one is no number."""
    try:
        return [
            AGE_GROUPS[bisect.bisect_right(AGES, float(age))] if is_known else ""
            for age, is_known in zip(ages, known(ages), strict=True)
        ]
    except ValueError:
        return [*map(str, ages.tolist())]


def _in_order(field: str, names: set[str]) -> list[str]:
    """Sorts values as SEE lists them, else as numbers, else as text."""
    order = ORDERS.get(field, ())
    if names <= {*order}:
        return [name for name in order if name in names]
    try:
        return sorted(names, key=float)
    except ValueError:
        return sorted(names)


def _group(kind: str, name: str, results: Results) -> Group:
    matrices = _confusions(results)
    return Group(
        kind,
        name,
        num_clips=len(results.names),
        num_volunteers=results.num_volunteers,
        war=float(np.mean([*map(metrics.war, matrices)])),
        uar=float(np.mean([*map(metrics.uar, matrices)])),
    )


@dataclass(frozen=True)
class Calibration:
    """Whether a score of 0.7 is right in 7 of 10 cases.

    Attributes:
      counts: (bins,) predictions whose best score falls into the bin.
      confidence, accuracy: (bins,) mean best score and share right; nan in empty bins.
      error: expected calibration error, their mean distance weighted by counts.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float


def calibration(results: Results) -> Calibration | None:
    """Compares best scores with how often they are right, over all passes.

    Returns:
      None where a file lists fewer than all classes, since its scores are then not
      known to be probabilities.

    Reference: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 3.
    """
    if np.isnan(results.scores).any():
        return None
    best = results.scores.max(axis=-1).ravel()
    right = (results.predictions == results.label_index).ravel()
    # Bins are (low, high], as in the reference; a score of 0 is in the first.
    bins = np.clip(np.ceil(best * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)
    sums = [np.bincount(bins, x, NUM_BINS) for x in (best, right.astype(float))]
    confidence, accuracy = (
        np.divide(x, counts, out=np.full(NUM_BINS, np.nan), where=counts > 0)
        for x in sums
    )
    error = np.abs(sums[0] - sums[1]).sum() / counts.sum()
    return Calibration(counts, confidence, accuracy, float(error))
