"""What result files say beyond the published table.

Confusions, intervals, recall by group of people, calibration; shares from 0 to 1. What
a reader would get wrong: the two intervals answer different questions. Drawing clips
anew asks about other clips of the same people; drawing volunteers anew, each with all
clips, asks about other people, and is wider where people differ.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seen_jax import metrics, see
from seen_jax.evaluation.results import Results

NUM_CLASSES = len(see.EMOTIONS)
NUM_DRAWS = 2000  # of the bootstrap
LEVEL = 0.95
NUM_BINS = 10  # of the calibration, of equal width
FEWEST = 5  # units that the bootstrap draws from: it needs some that differ
FEW = 20  # below, its intervals are rough, and mostly too narrow
# Years at which the next group begins; the published testing clips show people of 19 to
# 28.
AGES = (20, 22, 24, 26)
AGE_GROUPS = (
    f"under {AGES[0]}",
    *(f"{low}-{high - 1}" for low, high in itertools.pairwise(AGES)),
    f"{AGES[-1]} and over",
)


def labels_of(results: Results) -> np.ndarray:
    """Returns (N,) the true classes, positions in `see.EMOTIONS`."""
    return np.array([see.EMOTIONS.index(name.emotion) for name in results.names])


def confusion(results: Results) -> np.ndarray:
    """Counts by true (rows) and predicted class: (K, K), mean of the passes."""
    labels = labels_of(results)
    each = [metrics.confusion(labels, p, NUM_CLASSES) for p in results.predictions]
    return np.mean(each, axis=0)


@dataclass(frozen=True)
class Interval:
    """The middle `LEVEL` of what the bootstrap found."""

    low: float
    high: float


def bootstrap(
    results: Results, units: Sequence[int], num_draws: int = NUM_DRAWS, seed: int = 0
) -> dict[str, Interval] | None:
    """Draws units with replacement and measures WAR and UAR of the mean confusion.

    Args:
      results: P passes of N clips; each draw keeps all passes of a clip, whose windows
        overlap: they are no further clips.
      units: (N,) what each clip belongs to, drawn as a whole: its own number for an
        interval over clips, its volunteer for one over volunteers.
      num_draws: how often.
      seed: of the draws.

    Returns:
      Intervals by "WAR" and "UAR", by percentiles; None for fewer than `FEWEST` units.
    """
    labels = labels_of(results)
    unit = np.unique(np.asarray(units), return_inverse=True)[1]
    if unit.max() + 1 < FEWEST:
        return None
    cells = labels * NUM_CLASSES + results.predictions  # (P, N)
    counts = np.zeros((unit.max() + 1, NUM_CLASSES**2))
    np.add.at(counts, (np.broadcast_to(unit, cells.shape), cells), 1)
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = rng.multinomial(
        len(counts), np.full(len(counts), 1 / len(counts)), num_draws
    )
    drawn = (weights @ counts).reshape(-1, NUM_CLASSES, NUM_CLASSES)
    edges = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    found = {
        "WAR": [metrics.war(matrix) for matrix in drawn],
        "UAR": [metrics.uar(matrix) for matrix in drawn],
    }
    return {
        name: Interval(*np.quantile(values, edges).tolist())
        for name, values in found.items()
    }


def over_clips(results: Results) -> dict[str, Interval] | None:
    return bootstrap(results, range(len(results.names)))


def over_volunteers(results: Results) -> dict[str, Interval] | None:
    return bootstrap(results, [name.volunteer for name in results.names])


@dataclass(frozen=True)
class Group:
    """Some of the clips.

    Attributes:
      kind: "age", "sex" or "degree".
      name: e.g. "20-21", in years.
      num_clips, num_volunteers: how many.
      war, uar: mean over the passes. UAR is the mean recall of the emotions that the
        group has.
    """

    kind: str
    name: str
    num_clips: int
    num_volunteers: int
    war: float
    uar: float


def by_group(results: Results) -> list[Group]:
    """Measures age groups, sexes and degrees; those without clips are left out."""
    ages = [bisect.bisect_right(AGES, clip.age) for clip in results.names]
    values = {
        "age": [AGE_GROUPS[i] for i in ages],
        "sex": [clip.sex for clip in results.names],
        "degree": [clip.degree for clip in results.names],
    }
    known = {
        "age": AGE_GROUPS,
        "sex": see.SEXES,
        "degree": see.DEGREES,
    }
    return [
        _group(results, kind, name, np.array(values[kind]) == name)
        for kind, names in known.items()
        for name in names
        if name in values[kind]
    ]


def _group(results: Results, kind: str, name: str, here: np.ndarray) -> Group:
    labels = labels_of(results)[here]
    matrices = [
        metrics.confusion(labels, predictions[here], NUM_CLASSES)
        for predictions in results.predictions
    ]
    people = {results.names[i].volunteer for i in np.flatnonzero(here)}
    return Group(
        kind,
        name,
        len(labels),
        len(people),
        float(np.mean([metrics.war(matrix) for matrix in matrices])),
        float(np.mean([metrics.uar(matrix) for matrix in matrices])),
    )


@dataclass(frozen=True)
class Calibration:
    """Whether a score of 0.7 is right in 7 of 10 cases.

    Attributes:
      counts: (bins,) predictions whose best score falls into the bin.
      confidence, accuracy: (bins,) mean best score and share right; nan in empty bins.
      error: expected calibration error, the mean distance of the two, weighed by count.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float


def calibration(results: Results, num_bins: int = NUM_BINS) -> Calibration | None:
    """Compares best scores with how often they are right, over all passes.

    Returns:
      None where a file lists fewer than all classes, since what is listed need then
      not be a probability.

    Reference: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 3.
    """
    if np.isnan(results.scores).any():
        return None
    best = results.scores.max(axis=-1).ravel()
    right = (results.predictions == labels_of(results)).ravel()
    # Bins are (low, high], as in the reference; a score of 0 is in the first.
    place = np.clip(np.ceil(best * num_bins).astype(int) - 1, 0, num_bins - 1)
    counts = np.bincount(place, minlength=num_bins)
    sums = [np.bincount(place, x, num_bins) for x in (best, right.astype(float))]
    confidence, accuracy = (
        np.divide(x, counts, out=np.full(num_bins, np.nan), where=counts > 0)
        for x in sums
    )
    error = np.abs(sums[0] - sums[1]).sum() / counts.sum()
    return Calibration(counts, confidence, accuracy, float(error))
