"""Who is recorded and what they do: volunteers, clips, names and the two subsets.

A seed and two numbers become a list of clips whose counts per emotion, lighting and
subset are in the proportions of the published testing clips, with lengths of the
published mean and spread. Every volunteer has one lighting, as in SEE. All of this is
drawn before the first clip, so that any worker can make any clip in any order.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import astuple, dataclass
from statistics import NormalDist

import numpy as np

from seen_jax import see
from seen_jax.errors import refuse

# Counts among the 767 published testing clips. Reference: the released result files.
_EMOTION_COUNTS = dict(
    angry=119,
    disgust=124,
    fear=113,
    happiness=89,
    neutral=92,
    sadness=100,
    surprise=130,
)
_LIGHTING_COUNTS = dict(normal=196, Overexposed=201, Low=189, HDR=181)
_SEX_COUNTS = dict(man=472, woman=295)
_DEGREE_COUNTS = dict(undergraduate=525, Master=155, Doctor=87)


@dataclass(frozen=True)
class Volunteer:
    """One person and the lighting of their clips."""

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
      UserError: there are fewer clips than volunteers, no volunteer, or more than 999;
        or the seed is negative.
    """
    if seed < 0:
        refuse("seed", "0 or more", seed)
    if not 1 <= num_volunteers <= min(num_clips, 999):
        rule = f"1 to 999 and no more than clips ({num_clips})"
        refuse("volunteers", rule, num_volunteers)
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
        of_volunteer = astuple(volunteer)  # in the order of the name
        name = see.ClipName(i + 1, *of_volunteer, emotion, int(lengths[i]), take)
        clips.append(PlannedClip(name, subsets[i]))
    return clips


def _quota(counts, total: int) -> list[int]:
    """Divides `total` in the proportions of `counts`, by largest remainders."""
    exact = np.asarray(counts, float) * total / sum(counts)
    quota = np.floor(exact).astype(int)
    for i in np.argsort(quota - exact, kind="stable")[: total - quota.sum()]:
        quota[i] += 1
    return quota.tolist()


def _shuffled(rng: np.random.Generator, counts: dict, total: int) -> list[str]:
    """Returns `total` names in the proportions of `counts`, in random order."""
    return rng.permutation(_in_proportion(counts, total)).tolist()


def _in_proportion(counts: dict, total: int) -> np.ndarray:
    return np.repeat([*counts], _quota([*counts.values()], total))


def _volunteers(rng: np.random.Generator, count: int) -> list[Volunteer]:
    """Draws the people; those of one lighting have neighbouring numbers."""
    sexes = _shuffled(rng, _SEX_COUNTS, count)
    degrees = _shuffled(rng, _DEGREE_COUNTS, count)
    lightings = _in_proportion(_LIGHTING_COUNTS, count).tolist()
    lowest = {"undergraduate": 18, "Master": 22, "Doctor": 24}
    return [
        Volunteer(i + 1, sex, int(lowest[degree] + rng.integers(0, 5)), degree, light)
        for i, (sex, degree, light) in enumerate(
            zip(sexes, degrees, lightings, strict=True)
        )
    ]


def _pairs(rng: np.random.Generator, volunteers: list[Volunteer], num_clips: int):
    """Assigns (volunteer, emotion) to clips, both counts and lightings by quota."""
    present = {x.lighting: _LIGHTING_COUNTS[x.lighting] for x in volunteers}
    lightings = _in_proportion(present, num_clips)
    emotions = _shuffled(rng, _EMOTION_COUNTS, num_clips)
    pairs = []
    for lighting in see.LIGHTINGS:
        people = [x for x in volunteers if x.lighting == lighting]
        people = [people[i] for i in rng.permutation(len(people))]
        group = [e for e, x in zip(emotions, lightings, strict=True) if x == lighting]
        # In turn over all emotions: everyone gets about as many clips of each.
        pairs += zip(itertools.cycle(people), sorted(group), strict=False)
    return sorted(pairs, key=lambda pair: (pair[0].number, pair[1]))


def _subsets(rng: np.random.Generator, pairs) -> list[str]:
    """Takes about every third clip of each emotion and lighting for testing."""
    groups = [(emotion, see.LIGHTINGS.index(v.lighting)) for v, emotion in pairs]
    order = sorted(rng.permutation(len(pairs)), key=lambda i: groups[i])
    count = round(len(pairs) * see.NUM_TESTING_CLIPS / see.NUM_CLIPS)
    testing = {order[int((i + 0.5) * len(pairs) / count)] for i in range(count)}
    return ["testing" if i in testing else "training" for i in range(len(pairs))]


def clip_lengths(num_clips: int) -> np.ndarray:
    """Returns int (num_clips,) lengths in frames: quantiles of a log-normal law."""
    shift = -5.0  # shifted by this, a law of SEE's moments has SEE's range too
    mean = see.LENGTH_MEAN - shift
    sigma = math.sqrt(math.log(1 + (see.LENGTH_STD / mean) ** 2))
    mu = math.log(mean) - sigma**2 / 2
    quantiles = (np.arange(num_clips) + 0.5) / num_clips
    normal = np.array([NormalDist().inv_cdf(q) for q in quantiles])
    lengths = shift + np.exp(mu + sigma * normal)
    return np.clip(np.round(lengths), see.LENGTH_MIN, see.LENGTH_MAX).astype(int)
