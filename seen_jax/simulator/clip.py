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
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from seen_jax import see
from seen_jax.events import Events, accumulate
from seen_jax.simulator import accessories, anatomy, camera, expression, lighting
from seen_jax.simulator.difficulty import Difficulty
from seen_jax.simulator.renderer import Light, Pose, render

# Frames that are rendered at once: one compiled program serves clips of any length.
_CHUNK = 8
_PERSON, _CLIP, _SENSOR = 1, 2, 3  # streams of random numbers
_LATER = 1  # added to a stream for what version 1 did not draw
# Of a rendered step where lamps flicker: 360 moments a second show 100 Hz.
_LAMP_STEPS = 3


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


@dataclass(frozen=True)
class _Scene:
    """What all clips of a volunteer share; a clip varies light, worn and phase."""

    body: anatomy.Anatomy
    skin: np.ndarray
    habits: expression.Habits
    light: Light
    exposure: lighting.Exposure
    worn: accessories.Worn | None
    flicker: float  # depth; 0: steady lamps
    phase: float = 0.0  # of the flicker

    def in_poses(self, poses: Pose) -> tuple:
        """Returns the arguments of `render`."""
        return self.body, self.skin, poses, self.light, self.worn


def simulate_clip(
    name: see.ClipName, seed: int, difficulty: Difficulty
) -> SimulatedClip:
    """Records one clip of the cast with this seed."""
    who = name.volunteer, name.sex, name.age, name.lighting
    scene = _volunteer(*who, seed, difficulty)
    rng, more = _streams(seed, _CLIP, name.sequence)
    num_steps = name.length * camera.STEPS_PER_FRAME + 1  # and the moment before
    times_s = np.arange(num_steps) * (camera.STEP_US * 1e-6)
    poses = expression.sample_poses(
        rng, more, name.emotion, scene.habits, times_s, difficulty
    )
    worn = accessories.sample_tears(more, scene.worn, difficulty.tears)
    scene = replace(
        scene,
        light=lighting.vary_light(rng, scene.light),
        worn=jax.tree.map(np.float32, worn),
        phase=more.random(),
    )
    sensor, parts, images = _sensor(seed), [], []
    state = camera.settled(_first_image(*scene.in_poses(_part(poses, 0, 1))))
    for frame in range(0, name.length, _CHUNK):
        count = min(_CHUNK, name.length - frame)
        state, chunk_events, chunk_images = _record(
            scene, sensor, state, poses, frame, count
        )
        noise = camera.background_activity(rng, chunk_images, frame, difficulty.dark_hz)
        parts += [chunk_events, noise]
        images.append(chunk_images)
    events, shape = camera.collect(parts), (see.IMAGE_SIZE, see.IMAGE_SIZE)
    return SimulatedClip(
        events,
        accumulate(events, start_us=0, num_periods=name.length, shape=shape),
        camera.intensity_frames(rng, np.concatenate(images), sensor, scene.exposure),
    )


def _streams(seed: int, kind: int, number: int):
    """Random numbers: those of version 1, and those of what came later.

    The first stream is the same for every difficulty.
    """
    return (
        np.random.Generator(np.random.PCG64([seed, kind, number])),
        np.random.Generator(np.random.PCG64([seed, kind, number, _LATER])),
    )


@functools.lru_cache(maxsize=4)
def _volunteer(
    number: int, sex: str, age: int, light: str, seed: int, difficulty: Difficulty
) -> _Scene:
    rng, more = _streams(seed, _PERSON, number)
    body = anatomy.sample_anatomy(rng, sex, age, difficulty.anatomy)
    skin = anatomy.paint_skin(body, rng)
    habits = expression.sample_habits(rng, more, difficulty)
    session, exposure = lighting.sample_light(rng, light)
    glasses = accessories.sample_glasses(more, body, difficulty.glasses)
    body, skin = accessories.apply_makeup(more, body, skin, sex, difficulty.makeup)
    flicker = lighting.sample_flicker(more, difficulty.flicker)
    # In float32, so that one compilation serves all.
    body = jax.tree.map(np.float32, body)
    return _Scene(body, skin, habits, session, exposure, glasses, flicker)


@functools.lru_cache(maxsize=1)
def _sensor(seed: int) -> camera.Sensor:
    return camera.sample_sensor(np.random.Generator(np.random.PCG64([seed, _SENSOR])))


def _part(poses: Pose, start: int, count: int) -> Pose:
    """Moments [start, start + count); past the end the last one is repeated."""
    at = np.minimum(np.arange(start, start + count), len(poses.lid) - 1)
    return jax.tree.map(lambda x: x[at], poses)


_first_image = jax.jit(lambda *scene: render(*scene)[0])


def _record(scene: _Scene, sensor, state, poses: Pose, frame: int, count: int):
    """Renders frames [frame, frame + count) and steps the camera's pixels."""
    if scene.flicker:
        times_s = _lamp_times_s(frame)
        lamps = lighting.flicker(scene.flicker, scene.phase, times_s)
        # And the moment before, from which the light goes to the first.
        first, steps = 0, camera.STEPS_PER_FRAME * _LAMP_STEPS
    else:
        lamps, first, steps = None, 1, camera.STEPS_PER_FRAME
    start = frame * camera.STEPS_PER_FRAME
    end = start + _CHUNK * camera.STEPS_PER_FRAME + 1
    moments = _part(poses, start + first, end - start - first)
    thresholds = sensor.contrast_threshold_on, sensor.contrast_threshold_off
    shutter = _shutter(scene.exposure, steps)
    state, dense, images = _render_and_see(
        *scene.in_poses(moments), lamps, state, shutter, *thresholds
    )
    counts, first_us, interval_us = (np.asarray(x)[: count * steps] for x in dense)
    events = camera.events_from_steps(
        counts, first_us, interval_us, frame * steps, see.FRAME_PERIOD_US / steps
    )
    return state, events, np.asarray(images)[:count]


def _lamp_times_s(frame: int) -> np.ndarray:
    """The ends of a chunk's steps, in seconds since the clip's start."""
    steps = camera.STEPS_PER_FRAME * _LAMP_STEPS
    at = frame * steps + 1 + np.arange(_CHUNK * steps)
    return at * (see.FRAME_PERIOD_US * 1e-6 / steps)


def _shutter(exposure: lighting.Exposure, steps: int) -> np.ndarray:
    """The share of each of a frame's steps in its intensity frame, float32 (steps,)."""
    open_steps = exposure.share * steps  # the last ones, the earliest only in part
    shutter = np.clip(open_steps - np.arange(steps)[::-1], 0, 1).astype(np.float32)
    return shutter / shutter.sum()


@jax.jit
def _render_and_see(body, skin, poses, light, worn, lamps, state, shutter, on, off):
    radiance = render(body, skin, poses, light, worn)
    if lamps is not None:
        radiance = _flickering(radiance, lamps)
    step_us = see.FRAME_PERIOD_US / len(shutter)
    state, dense = jax.lax.scan(
        lambda s, image: camera.event_step(s, image, on, off, step_us), state, radiance
    )
    by_frame = radiance.reshape(-1, len(shutter), *radiance.shape[1:])
    return state, dense, (by_frame * shutter[:, None, None]).sum(axis=1)


def _flickering(radiance, lamps):
    """Radiance (N + 1, H, W) to that under lamps, (N _LAMP_STEPS, H, W)."""
    share = jnp.arange(1.0, _LAMP_STEPS + 1)[:, None, None] / _LAMP_STEPS
    change = (radiance[1:] - radiance[:-1])[:, None]
    between = radiance[:-1, None] + share * change
    return between.reshape(-1, *radiance.shape[1:]) * lamps[:, None, None]
