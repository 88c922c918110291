"""How far people, clips and rooms differ from each other: what makes a set hard.

`HARD` is meant to be as hard as the real SEE, for its reasons: people show an emotion
in ways of their own, partly, briefly or hardly at all, and with a share of another one;
helmets sit differently in every clip and slip; people blink and look around; some wear
glasses or make-up or have tears in their eyes; lamps flicker; the dark is noisy. No
label is wrong: the emotion of a clip's name has more weight in it than any other.

`EASY` is the set of simulator version 1, for demonstrations of few people and minutes:
every field has its default, which changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difficulty:
    """Ranges (lowest, highest), shares (0 to 1), spreads (standard deviations)."""

    name: str = "easy"  # for commands and `simulation.json`
    anatomy: float = 1.0  # spread of the measures of a face against that of `EASY`
    manner: float = 0.0  # log spread of how a volunteer moves a unit of an emotion
    missing: float = 0.0  # share of a volunteer's (emotion, unit) that hardly move
    # Factor of a clip's whole expression; strong ones are more frequent.
    strength: tuple[float, float] = (1.0, 1.0)
    partial: float = 0.0  # the most by which a clip leaves out a unit of the emotion
    mixing: float = 0.0  # the most of another emotion, against `expression.CLARITY`
    uneven: float = 0.0  # 0 to 1, how far emotions differ in how clear they are
    wandering: float = 0.0  # spread of the units that a clip shows by the way
    rest: tuple[float, float] = (1.0, 1.0)  # factor of the level between expressions
    apex: tuple[float, float] = (1.0, 1.0)  # factor of how long an expression stays
    delay: float = 0.0  # the most by which it begins later, in clip lengths
    busy: float = 0.0  # the most that multiplies blinks, gaze shifts and slips, less 1
    seat: float = 0.0  # spread of where the helmet sits in a clip, in pixels
    jolts_per_s: float = 0.0  # rate of sudden slips of the helmet
    glasses: float = 0.0  # share of volunteers that have them
    makeup: float = 0.0  # share of women who wear it
    tears: float = 0.0  # share of clips that have them
    flicker: float = 0.0  # share of rooms whose lamps flicker at 100 Hz
    dark_hz: float = 0.07  # noise events per pixel and second in the dark


EASY = Difficulty()
HARD = Difficulty(
    name="hard",
    anatomy=1.3,
    manner=0.1,
    missing=0.01,
    strength=(0.75, 1.3),
    partial=0.85,
    mixing=1.0,
    uneven=1.0,
    wandering=0.01,
    rest=(0.9, 1.15),
    apex=(0.75, 1.0),
    delay=0.03,
    busy=0.7,
    seat=1.5,
    jolts_per_s=0.1,
    glasses=0.12,
    makeup=0.35,
    tears=0.1,
    flicker=0.3,
    dark_hz=0.35,
)
DIFFICULTIES = {x.name: x for x in (HARD, EASY)}
