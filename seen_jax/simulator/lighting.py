"""The four lightings of SEE: lamps on the face and the camera's exposure.

A lighting becomes a `Light` for the renderer and an `Exposure` for the camera, drawn
per clip around the values of the volunteer's session. Overexposed and HDR have a lamp
at the side that saturates parts of the image, Low has hardly any light.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import numpy as np

from seen_jax.simulator.renderer import Light


@dataclass(frozen=True)
class Exposure:
    """How the camera turns radiance into grey levels."""

    gain: float  # grey level (0 to 1) per unit of radiance
    share: float  # of the frame's period in which the shutter is open, 0 to 1
    read_noise: float  # standard deviation of a dark pixel, in grey levels of 255
    shot_noise: float  # the same at full well


@dataclass(frozen=True)
class _Setup:
    """Lamps and camera of a lighting, before the variation by session and clip."""

    ambient: float
    lamp: float
    direction_x: float
    patch: float
    patch_x: float
    patch_y: float
    exposure: Exposure


_SETUPS = {
    "normal": _Setup(0.13, 0.47, 0.3, 0.6, 165, 15, Exposure(1.05, 0.5, 1.2, 3.0)),
    "Overexposed": _Setup(0.17, 0.45, -0.6, 4.0, -8, 80, Exposure(1.1, 0.3, 1.2, 3.0)),
    "Low": _Setup(0.03, 0.095, 0.3, 0.4, 165, 15, Exposure(2.7, 1.0, 2.6, 9.0)),
    "HDR": _Setup(0.12, 0.44, 0.8, 4.5, 184, 5, Exposure(1.2, 0.5, 1.4, 3.5)),
}


def sample_light(rng: np.random.Generator, lighting: str) -> tuple[Light, Exposure]:
    """Draws the light of a volunteer's session: no two seats are quite alike."""
    setup = _SETUPS[lighting]
    light = Light(
        ambient=setup.ambient * _spread(rng, 0.12),
        lamp=setup.lamp * _spread(rng, 0.12),
        direction_x=setup.direction_x * rng.uniform(0.75, 1.2),
        direction_y=rng.uniform(-0.55, -0.35),
        patch=setup.patch * _spread(rng, 0.3),
        patch_x=setup.patch_x + rng.normal(0, 12),
        patch_y=setup.patch_y + rng.normal(0, 18),
        patch_size=rng.uniform(26, 42),
        glint_x=6.0 * np.sign(setup.direction_x) + rng.normal(0, 1.5),
        glint_y=rng.uniform(-8, -4),
        glint=(setup.ambient + setup.lamp) * rng.uniform(0.8, 2.2),
    )
    exposure = replace(setup.exposure, gain=setup.exposure.gain * _spread(rng, 0.08))
    return jax.tree.map(np.float32, light), exposure


def vary_light(rng: np.random.Generator, light: Light) -> Light:
    """Draws the light of one clip of a session: lamps and people move a little."""
    fields = dict(vars(light))
    for name in ("ambient", "lamp", "patch", "glint"):
        fields[name] *= _spread(rng, 0.06)
    for name in ("patch_x", "patch_y"):
        fields[name] += rng.normal(0, 5)
    return jax.tree.map(np.float32, Light(**fields))


FLICKER_HZ = 100.0  # twice the mains' 50 Hz: a lamp is bright at both its peaks


def sample_flicker(rng: np.random.Generator, share: float) -> float:
    """Draws how deep a session's lamps flicker, 0 to 1; `share` of them do.

    Deeper than about 0.05 every pixel would fire at every period.
    """
    has, depth = rng.random() < share, rng.uniform(0.02, 0.045)
    return depth if has else 0.0


def flicker(depth: float, phase: float, times_s: np.ndarray) -> np.ndarray:
    """Returns the lamps' strength against its mean, float32, as `times_s`."""
    wave = np.sin(2.0 * np.pi * (FLICKER_HZ * times_s + phase))
    return (1.0 + depth * wave).astype(np.float32)


def _spread(rng: np.random.Generator, sigma: float) -> float:
    return float(np.exp(np.clip(rng.normal(0, sigma), -2 * sigma, 2 * sigma)))
