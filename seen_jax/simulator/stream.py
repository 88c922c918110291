"""A virtual volunteer before a virtual camera, in real time and without an end.

One person of the cast goes through the emotions, a clip of 3 s each. The next clip is
simulated while the last one is given, by a thread: JAX computes without Python's lock.
Between two clips the scene jumps, and the camera is blind to that as at a clip's start.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from seen_jax import see
from seen_jax.events import Recording
from seen_jax.simulator import cast
from seen_jax.simulator.clip import SimulatedClip, simulate_clip
from seen_jax.simulator.difficulty import EASY, Difficulty

CLIP_LENGTH = 90  # periods
PARTS = 6  # packets a period
# Added to the seed: no simulated set, whose seeds are small, has this person, these
# movements or this sensor, so that no network was trained on them.
UNSEEN = 1 << 32


def stream(
    seed: int = 0,
    origin_us: int = 0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    difficulty: Difficulty = EASY,
) -> Iterator[Recording]:
    """Yields packets when their time is over; the label is the emotion shown.

    As a camera does, it sends events several times a period; the last packet of a
    period has its intensity frame.

    Args:
      seed: at least 0; gives the volunteer and all movements.
      origin_us: the first timestamp.
      clock, sleep: seconds.
      difficulty: `EASY` is what the demonstration's network has learned.

    Yields:
      All packets of a period together: its events and the intensity frame of its end,
      as a folder of the simulator has them.
    """
    seed += UNSEEN
    (planned,) = cast.plan(1, 1, seed)
    period_s, count, begin_s = see.FRAME_PERIOD_US / 1e6, 0, None
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(_clip, planned.name, 0, seed, difficulty)
        for number in range(1, 10**9):
            clip = coming.result()
            coming = pool.submit(_clip, planned.name, number, seed, difficulty)
            if begin_s is None:
                begin_s = clock()
            label = see.EMOTIONS[(number - 1) % len(see.EMOTIONS)]
            for part in range(CLIP_LENGTH * PARTS):
                count += 1
                sleep(max(0.0, begin_s + count * period_s / PARTS - clock()))
                yield _packet(clip, part, origin_us, label)
            origin_us += CLIP_LENGTH * see.FRAME_PERIOD_US


def _clip(
    name: see.ClipName, number: int, seed: int, difficulty: Difficulty
) -> SimulatedClip:
    emotion = see.EMOTIONS[number % len(see.EMOTIONS)]
    fields = {"sequence": number + 1, "emotion": emotion, "length": CLIP_LENGTH}
    return simulate_clip(dataclasses.replace(name, **fields), seed, difficulty)


def _packet(clip: SimulatedClip, part: int, origin_us: int, label: str) -> Recording:
    begin, end = (x * see.FRAME_PERIOD_US // PARTS for x in (part, part + 1))
    events = clip.events.take(slice(*np.searchsorted(clip.events.t, [begin, end])))
    frames = slice(part // PARTS, (part + 1) // PARTS)  # one where the period ends
    return Recording(
        dataclasses.replace(events, t=events.t + origin_us),
        np.full(frames.stop - frames.start, origin_us + end - 1),
        clip.intensity_frames[frames],
        (see.IMAGE_SIZE, see.IMAGE_SIZE),
        label=label,
    )
