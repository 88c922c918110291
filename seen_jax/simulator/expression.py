"""From an emotion to the movement of an eye region over time.

An emotion is a set of Facial Action Units around the eye. In a clip they rise, stay and
fall, beginning in any phase; blinks, gaze shifts, micro-saccades, tremor and a slipping
helmet are added, for neutral too. The result is a `Pose` per moment.

Reference: P. Ekman and W. V. Friesen, "Facial Action Coding System", 1978 (units and
their combinations); blink and saccade times as in R. J. Leigh and D. S. Zee, "The
Neurology of Eye Movements", 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import numpy as np

from seen_jax.simulator.difficulty import Difficulty
from seen_jax.simulator.renderer import Pose

UNITS = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    43: "lid droop",
}
TREMOR = {6: 0.3}  # of an active unit; 0.17 for the others. Laughter shakes the cheek
EMOTION_UNITS: dict[str, dict[int, float]] = {
    "angry": {4: 1.0, 5: 0.35, 7: 0.8},
    "disgust": {4: 0.75, 7: 0.7, 9: 1.0},
    "fear": {1: 0.95, 2: 0.45, 4: 0.55, 5: 0.95, 7: 0.5},
    "happiness": {6: 1.0, 7: 0.45},
    "neutral": {},
    "sadness": {1: 0.85, 4: 0.35, 43: 0.6},
    "surprise": {1: 1.0, 2: 1.0, 5: 0.9},
}


@dataclass(frozen=True)
class Clarity:
    """How clearly an emotion is shown where `Difficulty` asks for differences."""

    # What else a clip may show, and the most of it: emotions that share units or that
    # people take for each other.
    companions: dict[str, float] = field(default_factory=dict)
    partial: float = 0.0  # how much of one of its units a clip may lack
    clear: float = 1.0  # factor of the strength
    faint: float = 0.0  # share of the clips that hardly show it


# Chosen so that a network's recalls resemble those of the released result files of
# E4_S3: disgust and surprise are the hardest, angry and sadness the easiest. Companions
# are as in S. Du, Y. Tao and A. M. Martinez, "Compound facial expressions of emotion",
# PNAS 2014. Disgust is shown by nose and mouth more than by the eye, and surprise is
# soon over.
CLARITY = {
    "angry": Clarity(clear=1.5),
    "disgust": Clarity(
        {"angry": 0.4, "happiness": 0.9, "sadness": 0.8, "surprise": 0.75},
        partial=0.7,
        faint=0.2,
    ),
    "fear": Clarity({"sadness": 0.05}, clear=1.4),
    "happiness": Clarity({"disgust": 0.25, "sadness": 0.2}, partial=0.3, clear=1.1),
    "neutral": Clarity(),
    "sadness": Clarity({"neutral": 0.05}, partial=0.4, clear=1.2),
    "surprise": Clarity(
        {"fear": 0.8, "happiness": 0.7, "disgust": 0.75}, partial=0.6, faint=0.12
    ),
}
FAINT = (0.45, 0.7)  # factor of the strength of clips that hardly show their emotion


@dataclass(frozen=True)
class Habits:
    """How one volunteer moves."""

    gains: dict[int, float]  # expressiveness of each action unit, about 1
    stray: dict[int, float]  # activation of each unit, added to any expression
    # Factor of each unit in each emotion; near 0 for units that do not move.
    manner: dict[str, dict[int, float]]
    tempo: float  # speed of expressions against the average
    blinks_per_s: float
    gaze_shifts_per_s: float
    slip: float  # how loosely the helmet sits, in pixels


def sample_habits(
    rng: np.random.Generator, more: np.random.Generator, difficulty: Difficulty
) -> Habits:
    """Draws the habits of one volunteer.

    Args:
      rng: source of what every difficulty draws.
      more: source of what `difficulty` adds, so that `EASY` stays what it was.
      difficulty: how far people differ.
    """
    overall = np.exp(rng.normal(0, 0.12))
    return Habits(
        gains={unit: overall * np.exp(rng.normal(0, 0.12)) for unit in UNITS},
        stray={unit: max(0.0, rng.normal(0.0, 0.06)) for unit in UNITS},
        manner={emotion: _manner(more, difficulty) for emotion in EMOTION_UNITS},
        tempo=float(np.exp(rng.normal(0, 0.2))),
        blinks_per_s=rng.uniform(0.15, 0.6),
        gaze_shifts_per_s=rng.uniform(0.8, 2.0),
        slip=rng.uniform(0.5, 1.3),
    )


def _manner(rng: np.random.Generator, difficulty: Difficulty) -> dict[int, float]:
    return {
        unit: np.exp(rng.normal(0, difficulty.manner))
        * (0.15 if rng.random() < difficulty.missing else 1.0)
        for unit in UNITS
    }


def sample_poses(
    rng: np.random.Generator,
    more: np.random.Generator,
    emotion: str,
    habits: Habits,
    times_s: np.ndarray,
    difficulty: Difficulty,
) -> Pose:
    """Draws one clip's movement.

    Args:
      rng, more: sources of the clip's variation, as of `sample_habits`.
      emotion: one of `EMOTION_UNITS`.
      habits: of the volunteer.
      times_s: (N,) moments in seconds, evenly spaced, from 0.
      difficulty: how far clips differ.

    Returns:
      A pose whose fields are float32 (N,).
    """
    strength = np.clip(rng.normal(1.0, 0.13), 0.6, 1.35)
    weakest, strongest = difficulty.strength
    strength *= weakest + (strongest - weakest) * np.sqrt(more.random())
    strength *= _clearness(more, emotion, difficulty)
    course = _sample_course(rng, more, habits, times_s[-1], difficulty)
    levels = _levels(more, emotion, habits, difficulty)
    units = {}
    for unit in UNITS:
        level = levels[unit] * habits.gains[unit] * strength
        level *= np.exp(rng.normal(0, 0.13))
        # Each unit starts a little earlier or later than the others, and trembles.
        shown = course(times_s - rng.normal(0, 0.03))
        tremor = 1.0 + TREMOR.get(unit, 0.17) * _smooth_noise(rng, times_s, 4.0)
        stray = habits.stray[unit] + abs(more.normal(0, difficulty.wandering))
        units[unit] = level * shown * tremor + stray
    # Some clips have more blinks and glances, or a looser helmet, than others.
    often, about, loose = 1.0 + difficulty.busy * more.random(3) ** 3
    calm = emotion == "neutral"
    gaze_x, gaze_y = _gaze(rng, habits.gaze_shifts_per_s * about, times_s)
    rate = habits.blinks_per_s * (2.2 if calm else 0.7)
    blink = _blinks(rng, rate * often, times_s)
    slip_x, slip_y = (
        slip
        * (_smooth_noise(rng, times_s, 1.5) + 0.35 * _smooth_noise(rng, times_s, 6))
        for slip in [habits.slip * loose] * 2
    )
    # The brow's muscles and the cheek push the helmet's cushion.
    slip_y = slip_y + 0.6 * habits.slip * (units[4] - units[1] - units[6])
    slip_x, slip_y = (x + _seat(more, difficulty, times_s) for x in (slip_x, slip_y))
    return _pose(units, blink, gaze_x, gaze_y, slip_x, slip_y)


def _clearness(rng, emotion: str, difficulty: Difficulty) -> float:
    """Factor of the strength: some emotions are clear, some clips hardly show them."""
    clarity, level = CLARITY[emotion], rng.uniform(*FAINT)
    if rng.random() < difficulty.uneven * clarity.faint:
        return level
    return clarity.clear**difficulty.uneven


def _levels(
    rng: np.random.Generator, emotion: str, habits: Habits, difficulty: Difficulty
) -> dict[int, float]:
    """Activation of each unit at the apex: an emotion and a share of another.

    The share is less than half: the emotion of the clip's name has the larger weight.
    Where the other moves more units, a clip may look more like that one all the same.
    """
    companions = CLARITY[emotion].companions or {emotion: 0.0}
    other = [*companions][rng.integers(len(companions))]
    share = min(0.49, rng.random() * difficulty.mixing * companions[other])

    def level(shown, unit):
        return EMOTION_UNITS[shown].get(unit, 0.0) * habits.manner[shown][unit]

    levels = {
        unit: (1.0 - share) * level(emotion, unit) + share * level(other, unit)
        for unit in UNITS
    }
    own = [*EMOTION_UNITS[emotion]] or [*UNITS]
    most = difficulty.partial * CLARITY[emotion].partial
    levels[own[rng.integers(len(own))]] *= 1.0 - most * rng.random()
    return levels


def _seat(rng, difficulty: Difficulty, times_s: np.ndarray) -> np.ndarray:
    """Where the helmet sits in a clip, and its sudden slips of some 0.1 s."""
    at = np.full_like(times_s, rng.normal(0, difficulty.seat))
    for _ in range(rng.poisson(difficulty.jolts_per_s * times_s[-1])):
        start, size = rng.uniform(0, times_s[-1]), rng.normal(0, 2.5)
        at += size * _smoothstep((times_s - start) / rng.uniform(0.06, 0.2))
    return at


def _sample_course(
    rng: np.random.Generator,
    more: np.random.Generator,
    habits: Habits,
    length_s: float,
    difficulty: Difficulty,
) -> Callable[[np.ndarray], np.ndarray]:
    """Draws when an expression happens in a clip, which begins in any phase of it.

    Returns:
      Times in seconds -> levels 0 to 1: onset, apex, offset and onset again.
    """
    start = (rng.uniform(-0.5, 0.3) + more.uniform(0, difficulty.delay)) * length_s
    onset = rng.uniform(0.22, 0.6) / habits.tempo
    apex = rng.uniform(0.25, 0.9) * length_s * more.uniform(*difficulty.apex)
    offset = rng.uniform(0.3, 0.8) / habits.tempo
    pause = rng.uniform(0.1, 0.6)
    # People do not quite let go between two expressions.
    rest = rng.uniform(0.45, 0.75) * more.uniform(*difficulty.rest)
    second = rng.uniform(0.6, 1.0)  # how strongly the expression comes again

    def course(times_s):
        time = times_s - start
        rise = _smoothstep(time / onset)
        time = time - onset - apex
        fall = _smoothstep(time / offset)
        again = _smoothstep((time - offset - pause) / onset)
        return np.maximum(rest, np.maximum(rise - fall, second * again))

    return course


def _smoothstep(x):
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _smooth_noise(rng, times_s: np.ndarray, rate_hz: float) -> np.ndarray:
    """Noise of standard deviation about 1 that turns about `rate_hz` times a second."""
    knots = np.arange(-2.0, times_s[-1] * rate_hz + 3.0)
    values = rng.standard_normal(len(knots))
    at = times_s * rate_hz + rng.uniform(0, 1)
    index = np.floor(at).astype(int) + 2
    share = _smoothstep(at - np.floor(at))
    index = np.minimum(index, len(knots) - 2)
    return values[index] * (1 - share) + values[index + 1] * share


def _blinks(rng, rate_per_s: float, times_s: np.ndarray) -> np.ndarray:
    """Closing of the lids, 0 to 1: about 90 ms down, 30 ms closed, 170 ms up."""
    closed = np.zeros_like(times_s)
    begin, end = -0.3, times_s[-1]
    for _ in range(rng.poisson(rate_per_s * (end - begin))):
        start, depth = rng.uniform(begin, end), rng.uniform(0.75, 1.0)
        down, hold, up = rng.uniform((0.07, 0.02, 0.13), (0.11, 0.06, 0.24))
        blink = _smoothstep((times_s - start) / down)
        blink -= _smoothstep((times_s - start - down - hold) / up)
        closed = np.maximum(closed, depth * blink)
    return closed


def _gaze(
    rng, shifts_per_s: float, times_s: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fixations with drift, saccades of some 40 ms and micro-saccades, in pixels."""
    x = rng.normal(0, 3.0) + 0.25 * _smooth_noise(rng, times_s, 2.0)
    y = rng.normal(0, 1.5) + 0.18 * _smooth_noise(rng, times_s, 2.0)
    for rate, size, duration in ((shifts_per_s, 3.2, 0.042), (1.6, 0.4, 0.018)):
        for _ in range(rng.poisson(rate * times_s[-1])):
            shift = _smoothstep((times_s - rng.uniform(0, times_s[-1])) / duration)
            x = x + size * rng.normal() * shift
            y = y + 0.5 * size * rng.normal() * shift
    return 9.0 * np.tanh(x / 9.0), 5.0 * np.tanh(y / 5.0)


def _pose(units, blink, gaze_x, gaze_y, slip_x, slip_y) -> Pose:
    """Turns action units into displacements: what each muscle pulls, and how far."""
    lid = 1.0 + 0.36 * units[5] - 0.12 * units[4] - 0.70 * units[43] - 0.20 * units[9]
    lid = np.clip(lid - 0.018 * gaze_y, 0.0, 1.4) * (1.0 - blink)
    pose = Pose(
        lid=lid,
        lower_lid=0.75 * units[7] + 0.35 * units[6] + 0.3 * units[9] + 0.25 * blink,
        brow_inner=14.0 * units[1] - 12.0 * units[4] - 4.0 * units[9],
        brow_outer=14.0 * units[2] - 5.5 * units[4] - 1.5 * units[6],
        brow_pull=6.0 * units[4] + 1.5 * units[9],
        furrow=units[4] + 0.3 * units[9],
        nose=units[9],
        cheek=units[6] + 0.35 * units[9],
        gaze_x=gaze_x,
        gaze_y=gaze_y,
        pupil=1.0 + 0.12 * units[5],
        slip_x=slip_x,
        slip_y=slip_y,
    )
    return jax.tree.map(lambda x: np.ascontiguousarray(x, np.float32), pose)
