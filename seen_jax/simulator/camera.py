"""A DAVIS camera: radiance over time becomes events and 8-bit intensity frames.

A pixel's photoreceptor follows the logarithm of the light through a low pass that is
slower in the dark. Whenever it has moved by a contrast threshold from the level stored
at the last event, the pixel emits an event, is blind for the refractory period, and
then stores the current level. Between two rendered moments the level is linear in time,
so that the times of all crossings have a closed form. Thresholds differ from pixel to
pixel; background activity adds events without a cause in the light.

Reference: H. Rebecq, D. Gehrig, D. Scaramuzza, "ESIM: an Open Event Camera Simulator",
CoRL 2018 (linear interpolation of the log intensity, per-pixel reference); Y. Hu,
S.-C. Liu, T. Delbruck, "v2e: From Video Frames to Realistic DVS Events", CVPRW 2021
(threshold mismatch, bandwidth in proportion to the light, leak and shot noise).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from seen_jax import see
from seen_jax.events import Events
from seen_jax.simulator.anatomy import SIZE
from seen_jax.simulator.lighting import Exposure

STEPS_PER_FRAME = 4
STEP_US = see.FRAME_PERIOD_US / STEPS_PER_FRAME
REFRACTORY_US = 600.0
DARK_RADIANCE = 0.004  # the photodiode's dark current
CUTOFF_HZ = 220.0  # of the photoreceptor at radiance CUTOFF_RADIANCE and above
CUTOFF_RADIANCE = 0.06
MIN_CUTOFF_HZ = 18.0
LEAK_HZ = 0.03  # ON events per pixel and second without any cause


@dataclass(frozen=True)
class Sensor:
    """The properties that differ from pixel to pixel; float32 (SIZE, SIZE) each."""

    contrast_threshold_on: np.ndarray  # log units
    contrast_threshold_off: np.ndarray
    offset: np.ndarray  # fixed pattern of the intensity frames, in grey levels of 255
    hot: np.ndarray  # the same, of hot pixels


def sample_sensor(rng: np.random.Generator) -> Sensor:
    """Draws the camera; one camera recorded all of SEE."""
    shape = (SIZE, SIZE)

    def threshold(mean):
        return np.clip(rng.normal(mean, 0.025, shape), 0.06, 1).astype("f4")

    columns = rng.normal(0, 1.1, (1, SIZE)) + rng.normal(0, 0.7, shape)
    hot = np.zeros(shape)
    for level, count in ((255, 3), (120, 5), (40, 14)):
        rows, cols = rng.integers(0, SIZE, (2, count))
        hot[rows, cols] = level
    return Sensor(
        threshold(0.115), threshold(0.12), columns.astype("f4"), hot.astype("f4")
    )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PixelState:
    """State of the event pixels between two moments; arrays (SIZE, SIZE)."""

    level: jax.Array  # the photoreceptor's output, log units
    reference: jax.Array  # the level stored at the last event
    blind_us: jax.Array  # how long the refractory period still lasts; negative: over


def settled(radiance: jax.Array) -> PixelState:
    """Returns the state of pixels after a long time before this image."""
    level = jnp.log(radiance + DARK_RADIANCE)
    return PixelState(level, level, jnp.full_like(level, -1.0))


def event_step(
    state: PixelState,
    radiance: jax.Array,
    threshold_on,
    threshold_off,
    step_us: float = STEP_US,
):
    """Moves the pixels by one step.

    Args:
      state: at the step's start.
      radiance: (SIZE, SIZE) at the step's end.
      threshold_on, threshold_off: (SIZE, SIZE), log units.
      step_us: how long the step is.

    Returns:
      The state at the end, and per pixel: signed number of events (positive ON), the
      first one's time after the step's start and the interval between two, in us.
    """
    light = jnp.minimum(radiance / CUTOFF_RADIANCE, 1.0)
    cutoff = MIN_CUTOFF_HZ + (CUTOFF_HZ - MIN_CUTOFF_HZ) * light
    follow = step_us / (step_us + 1e6 / (2.0 * jnp.pi * cutoff))
    change = follow * (jnp.log(radiance + DARK_RADIANCE) - state.level)
    slope = change / step_us
    rising = slope > 0
    threshold = jnp.where(rising, threshold_on, threshold_off)
    speed = jnp.maximum(jnp.abs(slope), 1e-9)
    # At the end of its refractory period a pixel stores its level.
    blind = state.blind_us > 0
    reference = jnp.where(blind, state.level + slope * state.blind_us, state.reference)
    ahead = jnp.where(rising, reference - state.level, state.level - reference)
    first = (ahead + threshold) / speed
    interval = REFRACTORY_US + threshold / speed
    fits = (first <= step_us) & (state.blind_us < step_us)
    count = jnp.where(fits, jnp.floor((step_us - first) / interval) + 1.0, 0.0)
    awake = jnp.where(
        fits, first + (count - 1.0) * interval + REFRACTORY_US, state.blind_us
    )
    new = PixelState(
        level=state.level + change,
        reference=jnp.where(fits, state.level + slope * awake, reference),
        blind_us=awake - step_us,
    )
    signed = jnp.where(rising, count, -count).astype(jnp.int8)
    return new, (signed, first, interval)


def events_from_steps(
    counts, first_us, interval_us, start_step: int, step_us: float = STEP_US
):
    """Lists the events of consecutive steps.

    Args:
      counts: (N, SIZE, SIZE) int8, as `event_step` returns.
      first_us, interval_us: (N, SIZE, SIZE).
      start_step: number of the first of the N steps since the clip's start.
      step_us: how long a step is.

    Returns:
      t in us since the clip's start (int64), flat pixel index, polarity (bool);
      ordered by step and pixel, not by time.
    """
    where = np.flatnonzero(counts)
    signed = counts.reshape(-1)[where]
    number = np.abs(signed).astype(np.int64)
    at = np.repeat(where, number)
    rank = np.arange(len(at)) - np.repeat(np.cumsum(number) - number, number)
    after = first_us.reshape(-1)[at] + rank * interval_us.reshape(-1)[at]
    step = start_step + at // (SIZE * SIZE)
    time = (step * step_us + np.minimum(after, step_us * (1 - 1e-6))).astype(np.int64)
    return time, at % (SIZE * SIZE), np.repeat(signed > 0, number)


def background_activity(
    rng: np.random.Generator, images: np.ndarray, frame: int, shot_hz: float
):
    """Draws leak and shot noise events for the frames' periods.

    Args:
      rng: source of the noise.
      images: (N, SIZE, SIZE) radiance, one per period.
      frame: number of the first of them.
      shot_hz: noise events per pixel and second in the dark; a quarter in bright light.

    Returns:
      As `events_from_steps`.
    """
    pixels = SIZE * SIZE
    seconds = len(images) * see.FRAME_PERIOD_US * 1e-6
    leak = rng.poisson(LEAK_HZ * seconds * pixels)
    shot = rng.poisson(shot_hz * seconds * pixels)
    time = rng.integers(0, len(images) * see.FRAME_PERIOD_US, leak + shot)
    at = rng.integers(0, pixels, leak + shot)
    polarity = rng.random(leak + shot) < 0.5
    light = images.reshape(-1)[time // see.FRAME_PERIOD_US * pixels + at]
    bright = np.minimum(light / (4 * CUTOFF_RADIANCE), 1.0)
    kept = rng.random(leak + shot) < 1.0 - 0.75 * bright
    kept[:leak] = polarity[:leak] = True
    return time[kept] + frame * see.FRAME_PERIOD_US, at[kept], polarity[kept]


def collect(parts) -> Events:
    """Joins (time, flat pixel index, polarity) parts and orders them by time."""
    time, at, polarity = (np.concatenate(x) for x in zip(*parts, strict=True))
    order = np.argsort(time, kind="stable")
    time, at, polarity = time[order], at[order], polarity[order]
    x, y = (at % SIZE).astype(np.int16), (at // SIZE).astype(np.int16)
    return Events(time, x, y, polarity)


def intensity_frames(
    rng: np.random.Generator, images: np.ndarray, sensor: Sensor, exposure: Exposure
) -> np.ndarray:
    """Exposes intensity frames.

    Args:
      rng: source of the noise.
      images: (N, SIZE, SIZE) radiance averaged over the exposure.
      sensor, exposure: of the camera.

    Returns:
      uint8 (N, SIZE, SIZE).
    """
    signal = np.minimum(images * exposure.gain, 1.0)
    noise = np.sqrt(exposure.read_noise**2 + exposure.shot_noise**2 * signal)
    grey = 255.0 * signal + sensor.offset
    grey += noise * rng.standard_normal(images.shape, dtype=np.float32)
    return np.clip(np.maximum(grey, sensor.hot) + 0.5, 0, 255).astype(np.uint8)
