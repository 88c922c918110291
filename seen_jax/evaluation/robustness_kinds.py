"""Windows as a helmet, a camera or a cable that is not as it should be would give them.

A kind of change has a grid of severities, the same for every run; 0 changes nothing.
It acts on one of three things:

    draw      which frames a window shows     the clip as another frame rate has it
    delay     which intensity frames it gets  older ones than its event frames
    change    the images themselves           uint8, before they are normalised

Pixels and directions are drawn by seed, kind, pass and clip alone, and not by severity:
those that fire at 1 % are among those at 3 %.

What moves into an image has no events, and the grey of its edge.

Note: images are those of the network, 90 x 90, in which a pixel is four of the camera's
crop.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

from seen_jax import see
from seen_jax.data import windows
from seen_jax.data.batches import Batches
from seen_jax.data.windows import Setting
from seen_jax.training import augment


@dataclass(frozen=True)
class Kind:
    """A kind of change.

    Attributes:
      name: as an argument has it.
      title: a heading.
      sentence: what is changed, for people.
      unit: of the severities.
      severities: ascending, with 0.
      change: (key, severity, events (T, H, W), intensities (I, H, W)) -> both, uint8
        JAX arrays of one window.
      delay: (event_index (B, T), first frame of the segment (B, 1), severity) -> the
        frames (B, T) whose intensity frames are there instead.
      draw: (segments (N, 2), setting, uniforms (N, 3), severity) -> frames (N, T).
    """

    name: str
    title: str
    sentence: str
    unit: str
    severities: tuple[float, ...]
    change: Callable | None = None
    delay: Callable | None = None
    draw: Callable | None = None


def _shift(key, pixels, events, intensities):
    ways = jnp.array([(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)])
    way = ways[random.randint(key, (), 0, len(ways))]
    far = pixels * (see.INPUT_SIZE / see.IMAGE_SIZE)
    return augment.move(events, intensities, far * way, 0.0, 1.0)


def _scale(key, percent, events, intensities):
    return augment.move(events, intensities, jnp.zeros(2), 0.0, 1 + percent / 100)


def _rotate(key, degrees, events, intensities):
    turn = jnp.deg2rad(degrees) * jnp.where(random.bernoulli(key), 1.0, -1.0)
    return augment.move(events, intensities, jnp.zeros(2), turn, 1.0)


def _brighten(key, percent, events, intensities):
    return events, augment.relight(intensities, percent / 100, 0.0)


def _stretch(key, percent, events, intensities):
    return events, augment.relight(intensities, 0.0, percent / 100)


def _noise(key, percent, events, intensities):
    keys = random.split(key)
    return augment.fire(*keys, percent / 100, events, events.shape), intensities


def _hot(key, percent, events, intensities):
    keys = random.split(key)
    return augment.fire(*keys, percent / 100, events, events.shape[1:]), intensities


def _lose(key, percent, events, intensities):
    return augment.lose(key, percent / 100, events), intensities


def _unsign(key, percent, events, intensities):
    """Mirrors greys below that of no event above it, in a share of the pixels."""
    is_lost = random.uniform(key, events.shape) < percent / 100
    return jnp.where(is_lost, jnp.maximum(events, 255 - events), events), intensities


def _late(event_index, start, num_frames):
    return np.maximum(event_index - num_frames, start)


def _frozen(event_index, start, num_frames):
    last = event_index.max(axis=1, keepdims=True) - num_frames
    return np.maximum(np.minimum(event_index, last), start)


def _resample(segments, setting: Setting, numbers, percent):
    """Draws windows of clips that have `percent` more frames, each the latest one."""
    start, end = segments.T
    lengths = -((start - end) * (100 + percent) // 100)  # rounded up
    longer = np.stack([np.zeros_like(lengths), lengths], axis=1)
    drawn = windows.event_indices(longer, setting, numbers)
    return start[:, None] + drawn * 100 // (100 + percent)


_SIGNED = (-20, -10, -5, 0, 5, 10, 20)
_FIRING = (0, 0.1, 0.3, 1, 3, 10)
_CROP = f"pixels of the {see.IMAGE_SIZE} x {see.IMAGE_SIZE} crop"
NOTHING = Kind("", "", "", "", (0,))  # the baseline
_KINDS = (
    Kind(
        "shift",
        "Shifted crop",
        "The helmet slips: events and intensity frames move up, down, left or right.",
        _CROP,
        (0, 2, 4, 8, 12, 16, 20),
        _shift,
    ),
    Kind(
        "scale",
        "Other size",
        "The camera sits nearer or farther: the eye is larger (above 0) or smaller.",
        "percent of the size",
        _SIGNED,
        _scale,
    ),
    Kind(
        "rotation",
        "Rotation",
        "The helmet tilts: all images turn about their centre, to either side.",
        "degrees",
        (0, 2, 5, 10, 15, 20),
        _rotate,
    ),
    Kind(
        "brightness",
        "Brightness",
        "The intensity frames are exposed too long (above 0) or too short: a share of "
        "white is added or taken away; events stay.",
        "percent of white",
        _SIGNED,
        _brighten,
    ),
    Kind(
        "contrast",
        "Contrast",
        "The greys of the intensity frames are stretched about their mean (above 0) or "
        "pulled together; events stay.",
        "percent of the distance to the mean grey",
        (-75, -50, -25, 0, 25, 50, 100),
        _stretch,
    ),
    Kind(
        "late",
        "Late intensity frames",
        "Intensity frames come late: each is so many frames older than the event frame "
        "beside it.",
        "frames",
        (0, 1, 2, 4, 8, 16),
        delay=_late,
    ),
    Kind(
        "frozen",
        "Frozen intensity frames",
        "Intensity frames stopped coming so many frames before the window's end: the "
        "latest that came stands in for all that are missing.",
        "frames",
        (0, 4, 8, 12, 24, 48),
        delay=_frozen,
    ),
    Kind(
        "noise",
        "Event noise",
        "Pixels fire by chance, ON or OFF, others in each event frame.",
        "percent of the pixels",
        _FIRING,
        _noise,
    ),
    Kind(
        "hot",
        "Hot pixels",
        "Broken pixels: the same ones fire alike in all event frames of a window.",
        "percent of the pixels",
        _FIRING,
        _hot,
    ),
    Kind(
        "lost",
        "Lost events",
        "Events are lost on the way: their pixels look as if nothing had moved.",
        "percent of the events",
        (0, 10, 25, 50, 75, 90, 100),
        _lose,
    ),
    Kind(
        "polarity",
        "Lost polarity",
        "Events do not say whether it became brighter or darker: all show as ON.",
        "percent of the events",
        (0, 25, 50, 75, 100),
        _unsign,
    ),
    Kind(
        "rate",
        "Frame rate",
        "The camera gives more (above 0) or fewer frames a second than in training; "
        "an event frame still shows the events of its own period.",
        "percent of the frame rate",
        _SIGNED,
        draw=_resample,
    ),
)
KINDS = {kind.name: kind for kind in _KINDS}


def batches_of(
    batches: Batches, kind: Kind, severity: float, of_pass: int
) -> Iterator[dict[str, Any]]:
    """Yields the batches of a pass, from 0, with their windows changed.

    Each is as `Batches.batch` returns it.
    """
    clips, plan, places = batches.clips, batches.plan(of_pass), batches.places
    index = plan.event_index
    if kind.draw is not None:
        parts = batches.seed, batches.purpose, of_pass, len(clips)
        numbers = windows.uniforms(*parts)
        drawn = kind.draw(clips.segments, batches.setting, numbers, severity)
        index = drawn[plan.clip]
    key = random.key(zlib.crc32(f"{kind.name} {batches.seed} {of_pass}".encode()))
    for clip, mask, event_index in zip(plan.clip, plan.mask, index, strict=True):
        read = functools.partial(batches.images.windows, clips, clip)
        events, intensities = read(event_index, places)
        if kind.delay is not None:
            older = kind.delay(event_index, clips.segments[clip, :1], severity)
            intensities = read(older, places)[1]
        if kind.change is not None:
            parts = key, clip, np.float32(severity), events, intensities
            events, intensities = jax.device_get(changed(kind.change, *parts))
        yield {
            "event_frames": events,
            "intensity_frames": intensities,
            "label": clips.label_index[clip],
            "mask": mask,
            "clip": clip,
        }


@functools.partial(jax.jit, static_argnums=0)
def changed(change: Callable, key, clip, severity, events, intensities):
    """Changes the images of B windows.

    Args:
      change: of a kind.
      key: of the pass.
      clip: (B,) integers, rows of the table of clips.
      severity: ().
      events, intensities: (B, T, H, W) and (B, I, H, W), uint8 as what is returned.
    """
    keys = jax.vmap(functools.partial(random.fold_in, key))(clip)
    return jax.vmap(change, (0, None, 0, 0))(keys, severity, events, intensities)
