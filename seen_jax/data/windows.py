"""Which frames of a clip make a window: the published drawing as index arithmetic.

Segments and uniform random numbers become frame numbers; nothing is read here.

Note: the same drawing serves training and testing, its offset spans {0..4} whatever the
stride, and the last possible start is never drawn.

Every draw is a function of (seed, purpose, epoch, clip) alone, so neither the number of
clips, the batch size, the number of devices nor resuming changes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from seen_jax.errors import check_option, refuse

NUM_OFFSETS = 5  # whatever the stride; Reference: the published program
PURPOSES = ("train", "eval")  # pass 3 of an evaluation is not epoch 3 of the training


@dataclass(frozen=True, order=True)
class Setting:
    """How many event frames make a window, and how many are left out between two.

    `str(Setting.parse("E4_S3")) == "E4_S3"`.
    """

    num_event_frames: int
    skip: int

    def __post_init__(self):
        if self.num_event_frames < 1 or self.skip < 0:
            rule = "num_event_frames >= 1 and skip >= 0"
            refuse("setting", rule, f"{self.num_event_frames} and {self.skip}")

    def __str__(self) -> str:
        return f"E{self.num_event_frames}_S{self.skip}"

    @classmethod
    def parse(cls, text: str) -> Setting:
        """Parses `E<num_event_frames>_S<skip>`."""
        match = re.fullmatch(r"E([1-9][0-9]*)_S(0|[1-9][0-9]*)", text)
        if match is None:
            known = ", ".join(map(str, SETTINGS))
            remedy = f"the published ones are {known}"
            refuse("setting", "E<event frames>_S<skip>", repr(text), remedy)
        return cls(*map(int, match.groups()))

    @property
    def stride(self) -> int:
        return self.skip + 1

    @property
    def span(self) -> int:
        """Frames of 1/30 s from the window's first frame to its last, both included."""
        return self.num_event_frames + (self.num_event_frames - 1) * self.skip


SETTINGS = tuple(
    Setting(n, skip) for n, skip in ((4, 0), (4, 1), (4, 3), (7, 0), (7, 1), (13, 0))
)


def uniforms(seed: int, purpose: str, epoch: int, num_clips: int) -> np.ndarray:
    """Draws the random numbers of one epoch, or of one pass of an evaluation.

    Args:
      seed: 0 to 2**64 - 1.
      epoch: epoch or pass, from 0.
      num_clips: rows to draw; row c is the same whatever their number.

    Returns:
      (num_clips, 3) float64 in [0, 1), a row per clip: for the offset, for the start,
      and the clip's place in a shuffled epoch.
    """
    check_option("purpose", purpose, PURPOSES)
    if not 0 <= seed < 2**64:
        refuse("seed", "0 to 2**64 - 1", seed)
    if epoch < 0:
        refuse("epoch", "0 or more", epoch)
    # Counter-based: the epoch stands in the counter's highest word, clips count up from
    # the lowest, so that no two epochs share a number.
    key = np.array([seed, PURPOSES.index(purpose)], np.uint64)
    counter = np.array([0, 0, 0, epoch], np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
    return generator.random((num_clips, 3))


def event_indices(
    segments: np.ndarray, setting: Setting, numbers: np.ndarray
) -> np.ndarray:
    """Draws windows: one for a single clip, or one for each of many.

    Args:
      segments: (..., 2) integers, the frames [start, end) of each clip, 0 <= start <
        end.
      numbers: (..., 2 or more) in [0, 1), as of `uniforms`.

    Returns:
      (..., T) int32, frame numbers counted from the clip's first frame, not from the
      segment's. A segment too short for a window has its frames repeated cyclically.

    Raises:
      ValueError: a segment is empty, or shapes do not match.

    Reference: the published program, for training and testing alike, with one
    deviation: it draws the offset from {0..4} even in a segment of four frames or
    fewer, where nothing may be left to take; here it stays inside the segment. Clips of
    SEE have 18 frames or more.
    """
    segments, numbers = np.asarray(segments), np.asarray(numbers)
    if segments.shape[-1:] != (2,) or numbers.shape[:-1] != segments.shape[:-1]:
        rule = "shapes (..., 2) and (..., 2 or more)"
        refuse("segments and numbers", rule, f"{segments.shape} and {numbers.shape}")
    start, end = segments[..., 0], segments[..., 1]
    if np.any(start < 0) or np.any(end <= start):
        wrong = segments[(start < 0) | (end <= start)][0]
        refuse("segments", "0 <= start < end in each", wrong, "check the split file")
    length = end - start
    num_offsets = np.minimum(NUM_OFFSETS, length) if setting.stride > 1 else 1
    offset = _integers(numbers[..., 0], num_offsets)
    num_kept = -((offset - length) // setting.stride)  # rounded up, at least 1
    num_begins = np.maximum(num_kept - setting.num_event_frames, 1)
    begin = _integers(numbers[..., 1], num_begins)
    place = begin[..., None] + np.arange(setting.num_event_frames)
    kept = place % num_kept[..., None]
    return ((start + offset)[..., None] + setting.stride * kept).astype(np.int32)


def film_indices(
    event_index: np.ndarray, setting: Setting, ends: np.ndarray
) -> tuple[np.ndarray, int]:
    """Adds frames between those of windows, for people to look at.

    Args:
      event_index: (N, T) frame numbers, as of `event_indices`.
      ends: (N,) the end of each segment, which no frame reaches.

    Returns:
      (N, S) frame numbers, and how many of them one of the window's takes: every
      second frame where the stride is even and above 2, else each of them.
    """
    every = 2 if setting.stride > 2 and setting.stride % 2 == 0 else 1
    between = np.arange(0, setting.stride, every)
    film = (event_index[..., None] + between).reshape(len(event_index), -1)
    film = film[:, : film.shape[1] - len(between) + 1]  # nothing after the last
    return np.minimum(film, np.asarray(ends)[:, None] - 1), len(between)


INTENSITIES = ("first_and_last", "first", "first_and_second", "all")


def intensity_places(intensity: str, num_event_frames: int) -> tuple[int, ...]:
    """Returns the places in a window whose intensity frames the network sees.

    Args:
      intensity: one of `INTENSITIES`; the last three are A, B and C of the paper's
        Table 2.
      num_event_frames: T, 1 or more; 2 or more for "first_and_second".

    Returns:
      Places in the window, in the order in which `intensity_frames` has them.

    Raises:
      UserError: the option is not known, or the window is too short for it.
    """
    check_option("intensity", intensity, INTENSITIES)
    least = 2 if intensity == "first_and_second" else 1
    if num_event_frames < least:
        rule = f"{least} or more, since intensity is {intensity!r}"
        refuse("num_event_frames", rule, num_event_frames)
    return {
        "first_and_last": (0, num_event_frames - 1),
        "first": (0,),
        "first_and_second": (0, 1),
        "all": tuple(range(num_event_frames)),
    }[intensity]


def order(numbers: np.ndarray) -> np.ndarray:
    """Returns the clips of a shuffled epoch, (N,) int32, from its (N, 3) `uniforms`."""
    return np.argsort(numbers[:, 2], kind="stable").astype(np.int32)


def _integers(number: np.ndarray, count: np.ndarray | int) -> np.ndarray:
    """Turns numbers in [0, 1) into integers in {0..count - 1}."""
    # Never rounds up to `count`: 1 - 2**-53, the largest number, times count is nearer
    # to the float below count than to count.
    return np.floor(number * count).astype(np.int64)
