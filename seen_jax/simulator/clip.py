"""One clip, from its name and the cast's seed to images and events.

    volunteer's seed -> anatomy, skin, habits, light of the session
    clip's seed      -> poses over time, light of the clip, noise
    renderer         -> radiance, STEPS_PER_FRAME moments a frame
    camera           -> events, and intensity frames
    events           -> event frames, by `seen_jax.events.accumulate`

Every random number comes from (seed, volunteer) or (seed, clip) alone, so that neither
the order of the clips nor the number of workers changes a pixel.

Note: on another processor or JAX release, pixels may differ by float32 rounding.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import numpy as np

from seen_jax import see
from seen_jax.events import Events, accumulate
from seen_jax.simulator import anatomy, camera, expression, lighting
from seen_jax.simulator.renderer import Pose, render

# Frames that are rendered at once: one compiled program serves clips of any length.
_CHUNK = 8
_PERSON, _CLIP, _SENSOR = 1, 2, 3  # streams of random numbers


@dataclass(frozen=True)
class SimulatedClip:
    """The recording of a clip.

    Attributes:
      events: their times are in us since the clip's start.
      event_frames, intensity_frames: uint8 (N, IMAGE_SIZE, IMAGE_SIZE).
    """

    events: Events
    event_frames: np.ndarray
    intensity_frames: np.ndarray


def simulate_clip(name: see.ClipName, seed: int) -> SimulatedClip:
    """Records one clip of the cast with this seed."""
    body, skin, habits, session, exposure = _volunteer(
        name.volunteer, name.sex, name.age, name.lighting, seed
    )
    sensor = _sensor(seed)
    rng = np.random.Generator(np.random.PCG64([seed, _CLIP, name.sequence]))
    num_steps = name.length * camera.STEPS_PER_FRAME + 1  # and the moment before
    times_s = np.arange(num_steps) * (camera.STEP_US * 1e-6)
    poses = expression.sample_poses(rng, name.emotion, habits, times_s)
    light = lighting.vary_light(rng, session)
    record = functools.partial(_record, body, skin, light, exposure, sensor)
    parts, images = [], []
    state = camera.settled(_first_image(body, skin, _part(poses, 0, 1), light))
    for frame in range(0, name.length, _CHUNK):
        count = min(_CHUNK, name.length - frame)
        state, chunk_events, chunk_images = record(state, poses, frame, count)
        parts += [chunk_events, camera.background_activity(rng, chunk_images, frame)]
        images.append(chunk_images)
    events = camera.collect(parts)
    return SimulatedClip(
        events,
        accumulate(
            events,
            start_us=0,
            period_us=see.FRAME_PERIOD_US,
            num_periods=name.length,
            shape=(see.IMAGE_SIZE, see.IMAGE_SIZE),
        ),
        camera.intensity_frames(rng, np.concatenate(images), sensor, exposure),
    )


@functools.lru_cache(maxsize=4)
def _volunteer(number: int, sex: str, age: int, light: str, seed: int):
    """Draws everything that all clips of a person share."""
    rng = np.random.Generator(np.random.PCG64([seed, _PERSON, number]))
    body = anatomy.sample_anatomy(rng, sex, age)
    skin = anatomy.paint_skin(body, rng)
    habits = expression.sample_habits(rng)
    return anatomy.as_float32(body), skin, habits, *lighting.sample_light(rng, light)


@functools.lru_cache(maxsize=1)
def _sensor(seed: int) -> camera.Sensor:
    return camera.sample_sensor(np.random.Generator(np.random.PCG64([seed, _SENSOR])))


def _part(poses: Pose, start: int, count: int) -> Pose:
    """Moments [start, start + count); past the end the last one is repeated."""
    at = np.minimum(np.arange(start, start + count), len(poses.lid) - 1)
    return jax.tree.map(lambda x: x[at], poses)


@jax.jit
def _first_image(body, skin, pose, light):
    return render(body, skin, pose, light)[0]


def _record(body, skin, light, exposure, sensor, state, poses, frame: int, count: int):
    """Renders frames [frame, frame + count) and steps the camera's pixels."""
    steps = camera.STEPS_PER_FRAME
    moments = _part(poses, frame * steps + 1, _CHUNK * steps)
    open_steps = exposure.share * steps  # the last ones, the earliest only in part
    shutter = np.clip(open_steps - np.arange(steps)[::-1], 0, 1).astype(np.float32)
    shutter /= shutter.sum()
    state, dense, images = _render_and_see(
        body,
        skin,
        moments,
        light,
        state,
        shutter,
        sensor.contrast_threshold_on,
        sensor.contrast_threshold_off,
    )
    counts, first_us, interval_us = (np.asarray(x)[: count * steps] for x in dense)
    events = camera.events_from_steps(counts, first_us, interval_us, frame * steps)
    return state, events, np.asarray(images)[:count]


@jax.jit
def _render_and_see(body, skin, poses, light, state, shutter, on, off):
    radiance = render(body, skin, poses, light)
    state, dense = jax.lax.scan(
        lambda s, image: camera.event_step(s, image, on, off), state, radiance
    )
    steps = camera.STEPS_PER_FRAME
    by_frame = radiance.reshape(-1, steps, *radiance.shape[1:])
    return state, dense, (by_frame * shutter[:, None, None]).sum(axis=1)
