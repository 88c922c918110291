"""Windows as they might have been: a slipped helmet, another light, lost events.

    shift       pixels, in rows and in columns            all frames of a window alike;
    rotation    degrees                                   what comes into the image has
    scale       share of the size                         no events, and the edge's grey
    mirror      chance; an event keeps its polarity
    brightness  share of white that is added              intensity frames
    contrast    share of the distance to the mean grey
    dropout     share of the pixels that lose an event    event frames
    noise       share of the pixels that get one, on or off

Each is drawn evenly, up to the amount that is given and down to its negative or 0, by
(seed, epoch, clip) alone: whatever the batch, the device and the moment of a resume.

Note: the published camera sees a right eye, and a mirrored one is a left one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import random
from jax.scipy.ndimage import map_coordinates

from seen_jax import see
from seen_jax.errors import check_option, refuse

MOST = {"shift": 45, "rotation": 180, "scale": 0.9, "mirror": 1}
PLACES = frozenset(MOST)  # those that move pixels
MOST |= {"brightness": 1, "contrast": 1, "dropout": 1, "noise": 1}

Augment = Callable[[Mapping[str, Any], jax.Array], dict[str, Any]]


def parse(text: str) -> dict[str, float]:
    """Reads amounts by kind, such as "shift=4,contrast=0.2"; "" has none.

    Raises:
      UserError: an unknown kind, or an amount that is not a number from 0 to its most.
    """
    amounts = {}
    for part in text.split(",") if text else ():
        kind, _, amount = part.partition("=")
        check_option("augment", kind, MOST)
        if kind in amounts:
            refuse("augment", f"{kind} once", repr(text))
        try:
            amounts[kind] = float(amount)
        except ValueError:
            amounts[kind] = -1.0
        if not 0 <= amounts[kind] <= MOST[kind]:
            refuse("augment", f"{kind} from 0 to {MOST[kind]}", repr(part))
    return amounts


def make_augment(
    amounts: Mapping[str, float], seed: int, steps_per_epoch: int
) -> Augment | None:
    """Returns (batch, step) -> batch, for the compiled step; None without amounts.

    A batch has event_frames (B, T, H, W) and intensity_frames (B, I, H, W), both uint8
    before and after, and clip (B,) int32; the step is () int32.
    """
    if not amounts:
        return None

    def augment(batch, step):
        key = random.fold_in(random.key(seed), step // steps_per_epoch)
        keys = jax.vmap(partial(random.fold_in, key))(batch["clip"])
        names = ("event_frames", "intensity_frames")
        frames = jax.vmap(partial(_window, amounts))(keys, *map(batch.get, names))
        return {**batch, **dict(zip(names, frames, strict=True))}

    return augment


def _window(amounts, key, events, intensities):
    """Changes event frames (T, H, W) and intensity frames (I, H, W) of one window."""
    keys = dict(zip(MOST, random.split(key, len(MOST)), strict=True))

    def draw(kind, shape=()):
        most = amounts.get(kind, 0.0)
        return random.uniform(keys[kind], shape, jnp.float32, -most, most)

    if PLACES & amounts.keys():
        is_mirrored = random.bernoulli(keys["mirror"], amounts.get("mirror", 0.0))
        turn = jnp.deg2rad(draw("rotation"))
        how = draw("shift", (2,)), turn, 1 + draw("scale"), is_mirrored
        events, intensities = move(events, intensities, *how)
    if {"brightness", "contrast"} & amounts.keys():
        intensities = relight(intensities, draw("brightness"), draw("contrast"))
    if "dropout" in amounts:
        share, key = _share(keys["dropout"], amounts["dropout"])
        events = lose(key, share, events)
    if "noise" in amounts:
        key, polarity = random.split(keys["noise"])
        share, key = _share(key, amounts["noise"])
        events = fire(key, polarity, share, events, events.shape)
    return events, intensities


def move(events, intensities, shift, turn, scale, is_mirrored=False):
    """Scales, turns about the centre, and shifts; a mirrored one from its columns.

    Args:
      events, intensities: (T, H, W) and (I, H, W) uint8.
      shift: (2,) pixels, down and to the right.
      turn: radians.
      scale: 1 leaves the size.
      is_mirrored: before all that.
    """
    size = events.shape[-1]
    axis = jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2
    y, x = axis[:, None] - shift[0], axis[None] - shift[1]
    # Where each pixel comes from.
    rows = (jnp.cos(turn) * y + jnp.sin(turn) * x) / scale
    columns = (jnp.cos(turn) * x - jnp.sin(turn) * y) / scale
    columns = jnp.where(is_mirrored, -columns, columns)
    rows, columns = (x + (size - 1) / 2 for x in (rows, columns))
    # An event is not divided among pixels.
    nearest = [jnp.round(x).astype(jnp.int32) for x in (rows, columns)]
    inside = [(x >= 0) & (x < size) for x in nearest]
    y, x = (jnp.clip(x, 0, size - 1) for x in nearest)
    events = jnp.where(
        inside[0] & inside[1], events[:, y, x], jnp.uint8(see.EVENT_NONE)
    )
    read = partial(map_coordinates, order=1, mode="nearest")
    grey = jax.vmap(lambda image: read(image, [rows, columns]))(
        intensities.astype(jnp.float32)
    )
    return events, _to_uint8(grey)


def relight(intensities, brightness, contrast):
    """Stretches the greys about their mean, and adds a share of white."""
    grey = intensities.astype(jnp.float32)
    mean = grey.mean()
    return _to_uint8((1 + contrast) * (grey - mean) + mean + 255 * brightness)


def lose(key, share, events):
    """Removes the event of a share of the pixels (T, H, W), uint8."""
    lost = random.uniform(key, events.shape) < share
    return jnp.where(lost, jnp.uint8(see.EVENT_NONE), events)


def fire(key, polarity, share, events, shape):
    """Gives a share of the pixels (T, H, W), uint8, an event, ON or OFF.

    Args:
      key, polarity: keys, of which pixels fire and of how.
      shape: of what is drawn; (H, W) has the same pixels fire in every frame.
    """
    is_on = random.bernoulli(polarity, shape=shape)
    level = jnp.where(is_on, jnp.uint8(see.EVENT_ON), jnp.uint8(see.EVENT_OFF))
    return jnp.where(random.uniform(key, shape) < share, level, events)


def _share(key, most):
    """Draws a share from 0 to the most; returns a key for other draws, too."""
    one, other = random.split(key)
    return random.uniform(one, maxval=most), other


def _to_uint8(grey):
    return jnp.round(jnp.clip(grey, 0, 255)).astype(jnp.uint8)
