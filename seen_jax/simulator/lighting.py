"""The four lightings of SEE: lamps on the face and the exposure that the camera takes.

A lighting becomes a `Light` for the renderer and an `Exposure` for the camera, drawn
per clip around what the volunteer's session has. Overexposed and HDR have a lamp at the
side that saturates parts of the image, Low has hardly any.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seen_jax.simulator.renderer import Light


@dataclass(frozen=True)
class Exposure:
    """What the camera does with the light.

    Attributes:
      gain: grey level (0 to 1) per unit of radiance.
      share: of the frame's period in which the shutter is open, 0 to 1.
      read_noise: standard deviation of a dark pixel, in grey levels of 255.
      shot_noise: the same at full well.
    """

    gain: float
    share: float
    read_noise: float
    shot_noise: float


# Per lighting: ambient, lamp, sideways direction, patch strength, gain, share,
# read noise, shot noise; each is spread by some 15 % from session to session.
_SESSIONS = {
    "normal": (0.13, 0.47, 0.5, 0.5, 1.0, 0.35, 1.2, 3.0),
    "Overexposed": (0.19, 0.50, 0.7, 1.4, 1.13, 0.25, 1.2, 3.0),
    "Low": (0.03, 0.095, 0.5, 0.4, 2.6, 1.0, 2.6, 9.0),
    "HDR": (0.13, 0.48, 1.0, 1.4, 1.15, 0.35, 1.4, 3.5),
}


def sample_light(rng: np.random.Generator, lighting: str) -> tuple[Light, Exposure]:
    """Draws the light of a volunteer's session."""
    ambient, lamp, sideways, patch, gain, share, read, shot = _SESSIONS[lighting]
    side = rng.choice((-1.0, 1.0))
    light = Light(
        ambient=ambient * _spread(rng, 0.15),
        lamp=lamp * _spread(rng, 0.15),
        direction_x=side * sideways * rng.uniform(0.6, 1.2),
        direction_y=rng.uniform(-0.65, -0.25),
        patch=patch * _spread(rng, 0.35),
        patch_x=90.0 + side * rng.uniform(50, 95),
        patch_y=rng.uniform(-10, 140),
        patch_size=rng.uniform(28, 50),
        glint_x=side * rng.uniform(2, 9),
        glint_y=rng.uniform(-9, -3),
        glint=(ambient + lamp) * rng.uniform(0.8, 2.2),
    )
    light = Light(**{name: np.float32(x) for name, x in vars(light).items()})
    return light, Exposure(gain * _spread(rng, 0.1), share, read, shot)


def vary_light(rng: np.random.Generator, light: Light) -> Light:
    """Draws the light of one clip of a session: lamps and people move a little."""
    fields = dict(vars(light))
    for name in ("ambient", "lamp", "patch", "glint"):
        fields[name] = np.float32(fields[name] * _spread(rng, 0.06))
    for name in ("patch_x", "patch_y"):
        fields[name] = np.float32(fields[name] + rng.normal(0, 5))
    return Light(**fields)


def _spread(rng: np.random.Generator, sigma: float) -> float:
    return float(np.exp(np.clip(rng.normal(0, sigma), -2 * sigma, 2 * sigma)))
