"""Who is recorded and what they do: volunteers, clips, names and the two subsets.

A seed and two numbers become a list of clips whose counts per emotion, lighting and
subset stand in the proportions of the published testing clips, with lengths of the
published mean and spread. Every volunteer has one lighting, as in SEE. Nothing here is
drawn when a clip is made, so that any worker can make any clip in any order.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from seen_jax import see

# Counts among the 767 published testing clips, in the order of the names in `see`.
_EMOTION_COUNTS = (119, 124, 113, 89, 92, 100, 130)
_LIGHTING_COUNTS = (196, 201, 189, 181)
_SEX_COUNTS = (472, 295)
_DEGREE_COUNTS = (525, 155, 87)
_LENGTH_MEAN, _LENGTH_STD, _LENGTH_RANGE = 53.5, 15.2, (18, 131)


@dataclass(frozen=True)
class Volunteer:
    """One person and the light of their session."""

    number: int  # from 1
    sex: str
    age: int
    degree: str
    lighting: str


@dataclass(frozen=True)
class PlannedClip:
    """A clip before it is made."""

    name: see.ClipName
    subset: str


def plan(num_volunteers: int, num_clips: int, seed: int) -> list[PlannedClip]:
    """Plans a cast.

    Raises:
      ValueError: there are fewer clips than volunteers, or no volunteer.
    """
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, got {seed}")
    if not 1 <= num_volunteers <= min(num_clips, 999):
        raise ValueError(
            "volunteers: expected 1 to 999 and no more than clips "
            f"({num_clips}), got {num_volunteers}"
        )
    rng = np.random.Generator(np.random.PCG64([seed, 0]))
    volunteers = _volunteers(rng, num_volunteers)
    pairs = _pairs(rng, volunteers, num_clips)
    lengths = rng.permutation(clip_lengths(num_clips))
    subsets = _subsets(rng, pairs)
    takes: Counter = Counter()
    clips = []
    for i, (volunteer, emotion) in enumerate(pairs):
        take = takes[volunteer, emotion]
        takes[volunteer, emotion] += 1
        v = volunteer
        name = see.ClipName(
            i + 1,
            v.number,
            v.sex,
            v.age,
            v.degree,
            v.lighting,
            emotion,
            int(lengths[i]),
            take,
        )
        clips.append(PlannedClip(name, subsets[i]))
    return clips


def _quota(counts, total: int) -> list[int]:
    """Divides `total` in the proportions of `counts`, by largest remainders."""
    exact = np.asarray(counts, float) * total / sum(counts)
    quota = np.floor(exact).astype(int)
    for i in np.argsort(quota - exact, kind="stable")[: total - quota.sum()]:
        quota[i] += 1
    return quota.tolist()


def _spread(rng: np.random.Generator, names, counts, total: int) -> list[str]:
    """Shuffles `total` names that stand in the proportions of `counts`."""
    quota = _quota(counts, total)
    return rng.permutation(np.repeat(names, quota)).tolist()


def _volunteers(rng: np.random.Generator, count: int) -> list[Volunteer]:
    """Draws the people; sessions of one lighting have neighbouring numbers."""
    sexes = _spread(rng, see.SEXES, _SEX_COUNTS, count)
    degrees = _spread(rng, see.DEGREES, _DEGREE_COUNTS, count)
    lightings = np.repeat(see.LIGHTINGS, _quota(_LIGHTING_COUNTS, count)).tolist()
    lowest = {"undergraduate": 18, "Master": 22, "Doctor": 24}
    return [
        Volunteer(i + 1, sex, int(lowest[degree] + rng.integers(0, 5)), degree, light)
        for i, (sex, degree, light) in enumerate(
            zip(sexes, degrees, lightings, strict=True)
        )
    ]


def _pairs(rng: np.random.Generator, volunteers: list[Volunteer], num_clips: int):
    """Assigns (volunteer, emotion) to clips, both counts and lightings by quota."""
    present = [x.lighting for x in volunteers]
    weights = [
        count if lighting in present else 0
        for lighting, count in zip(see.LIGHTINGS, _LIGHTING_COUNTS, strict=True)
    ]
    lightings = np.repeat(see.LIGHTINGS, _quota(weights, num_clips))
    emotions = _spread(rng, see.EMOTIONS, _EMOTION_COUNTS, num_clips)
    pairs = []
    for lighting in see.LIGHTINGS:
        people = [x for x in volunteers if x.lighting == lighting]
        people = [people[i] for i in rng.permutation(len(people))]
        group = [e for e, x in zip(emotions, lightings, strict=True) if x == lighting]
        # In turn over all emotions, so that everyone gets clips, of each about as many.
        pairs += zip(itertools.cycle(people), sorted(group), strict=False)
    return sorted(pairs, key=lambda pair: (pair[0].number, pair[1]))


def _subsets(rng: np.random.Generator, pairs) -> list[str]:
    """Takes every third clip or so of each emotion and lighting for testing."""
    groups = [(emotion, see.LIGHTINGS.index(v.lighting)) for v, emotion in pairs]
    order = sorted(rng.permutation(len(pairs)), key=lambda i: groups[i])
    count = round(len(pairs) * see.NUM_TESTING_CLIPS / see.NUM_CLIPS)
    testing = {order[int((i + 0.5) * len(pairs) / count)] for i in range(count)}
    return ["testing" if i in testing else "training" for i in range(len(pairs))]


def clip_lengths(num_clips: int) -> np.ndarray:
    """Returns int (num_clips,) lengths in frames: quantiles of a log-normal law."""
    shift = -5.0  # a log-normal law of these moments with this shift has this range
    mean = _LENGTH_MEAN - shift
    sigma = math.sqrt(math.log(1 + (_LENGTH_STD / mean) ** 2))
    mu = math.log(mean) - sigma**2 / 2
    quantiles = (np.arange(num_clips) + 0.5) / num_clips
    normal = np.array([NormalDist().inv_cdf(q) for q in quantiles])
    lengths = shift + np.exp(mu + sigma * normal)
    return np.clip(np.round(lengths), *_LENGTH_RANGE).astype(int)
