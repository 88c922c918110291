"""What a volunteer's eye region looks like at rest: measures and a map of the skin.

A seed becomes an `Anatomy` (about thirty numbers, in pixels of the 180 x 180 image and
in reflectance) and a painted reflectance map of the resting skin with pores, moles,
brow hairs and, for some, hair at the temple. It is a right eye, seen from the front, so
the nose is on the right of the image.

Note: the map is larger than the image by `MARGIN` on each side, so that skin can move
into view.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from seen_jax import see

SIZE = see.IMAGE_SIZE
MARGIN = 28
MAP_SIZE = SIZE + 2 * MARGIN
_OVERSAMPLING = 4


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Anatomy:
    """Measures of one volunteer; lengths in pixels, reflectances 0 to 1."""

    eye_x: float  # middle between the corners
    eye_y: float
    eye_half_width: float
    eye_tilt: float  # half of the outer corner's rise above the inner one
    aperture: float  # height between the lids, open at rest
    lower_depth: float  # how far the lower lid hangs below the corners' line
    lid_apex: float  # where the upper lid is highest, -1 outer to 1 inner corner
    crease: float  # depth of the upper lid's fold; near 0 for a single lid
    crease_height: float  # above the lid's edge
    lid_line: float  # darkness of the lash line
    lash_length: float
    lash_phase: float
    iris_radius: float
    pupil_radius: float
    iris_reflectance: float
    sclera_reflectance: float
    iris_phase: float
    brow_y: float  # the brow's inner end
    brow_arch: float
    brow_thickness: float
    brow_density: float
    eyeball_height: float  # relief of the lids over the eyeball
    brow_ridge: float
    nose_x: float
    nose_height: float
    hollow: float
    shade: float  # darker skin in the hollow and around the eye
    bag: float  # relief below the lower lid
    wrinkle: float  # how readily the skin folds
    skin: float
    temple_x: float  # where the hair or the dark background begins; negative: nowhere


def sample_anatomy(
    rng: np.random.Generator, sex: str, age: int, spread: float = 1.0
) -> Anatomy:
    """Draws a volunteer; women get thinner brows and longer lashes on average.

    `spread` multiplies the standard deviations of the measures.
    """
    man = sex == "man"
    u = rng.uniform

    def n(mean, deviation):
        return rng.normal(mean, spread * deviation)

    crease = u(0.6, 1.4) if rng.random() < 0.55 else u(0.0, 0.25)
    return Anatomy(
        eye_x=n(96, 3),
        eye_y=n(108, 2.5),
        eye_half_width=np.clip(n(48, 3), 40, 56),
        eye_tilt=n(-1.5, 2.0),
        aperture=np.clip(n(27 if man else 29, 2.3), 21, 35),
        lower_depth=n(11.5, 1.8),
        lid_apex=u(-0.05, 0.3),
        crease=crease,
        crease_height=u(4.5, 10.0),
        lid_line=u(0.55, 0.8) if man else u(0.65, 0.92),
        lash_length=u(2.5, 5.0) if man else u(4.0, 8.0),
        lash_phase=u(0, 6.28),
        iris_radius=np.clip(n(19.3, 1.3), 16.5, 22.5),
        pupil_radius=np.clip(n(7.8, 1.3), 5, 11),
        iris_reflectance=u(0.05, 0.13),
        sclera_reflectance=u(0.42, 0.66),
        iris_phase=u(0, 6.28),
        brow_y=n(55, 3),
        brow_arch=np.clip(n(11 if man else 14, 3.5), 4, 22),
        brow_thickness=np.clip(n(11.5 if man else 9.0, 1.8), 5.5, 16),
        brow_density=np.clip(n(1.0 if man else 0.85, 0.25), 0.35, 1.5),
        eyeball_height=u(11, 18),
        brow_ridge=u(6, 11) if man else u(4, 8.5),
        nose_x=n(176, 5),
        nose_height=u(18, 40),
        hollow=u(6, 14.0),
        shade=u(0.25, 0.6),
        bag=u(0.3, 1.3),
        wrinkle=np.clip(u(0.5, 1.1) + 0.03 * (age - 22), 0.4, 1.6),
        skin=np.clip(n(0.52, 0.05), 0.38, 0.66),
        temple_x=u(2, 26) if rng.random() < 0.45 else -40.0,
    )


def brow_line(anatomy: Anatomy, x):
    """Height of the resting brow's middle over column x (numpy or jax arrays)."""
    s = (x - anatomy.eye_x + 6) / 72.0  # -1 at the tail, about 1 at the inner end
    arch = 1.0 - (s + 0.25) ** 2
    return anatomy.brow_y - anatomy.brow_arch * arch - 3.0 * (s + 1) + 6.0


def paint_skin(anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Paints the resting skin's reflectance, float32 (MAP_SIZE, MAP_SIZE)."""
    tone = (
        1.0 + 0.05 * _noise(rng, 24) + 0.025 * _noise(rng, 7) + 0.022 * _noise(rng, 2)
    )
    tone += 0.02 * rng.standard_normal((MAP_SIZE, MAP_SIZE))
    skin = anatomy.skin * tone
    skin *= 1.0 - 0.9 * _moles(rng)
    skin *= 1.0 - _hair_layer(anatomy, rng)
    return skin.astype(np.float32)


def _noise(rng: np.random.Generator, grain: int) -> np.ndarray:
    """Smooth noise of standard deviation 1 with blobs of about `grain` pixels."""
    size = MAP_SIZE // grain + 4
    field = Image.fromarray(rng.standard_normal((size, size)).astype(np.float32))
    field = field.resize((size * grain, size * grain), Image.Resampling.BICUBIC)
    noise = np.asarray(field)[grain : grain + MAP_SIZE, grain : grain + MAP_SIZE]
    return (noise - noise.mean()) / noise.std()


def _moles(rng: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[:MAP_SIZE, :MAP_SIZE]
    dark = np.zeros((MAP_SIZE, MAP_SIZE))
    for _ in range(rng.poisson(3.0)):
        x, y = rng.uniform(0, MAP_SIZE, 2)
        radius, depth = rng.uniform(0.8, 2.2), rng.uniform(0.12, 0.6)
        distance = (columns - x) ** 2 + (rows - y) ** 2
        dark = np.maximum(dark, depth * np.exp(-distance / (2 * radius**2)))
    return dark


def _hair_layer(anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Draws brow and temple hairs; returns the share of light they absorb."""
    side = MAP_SIZE * _OVERSAMPLING
    image = Image.new("L", (side, side))
    draw = ImageDraw.Draw(image)
    for x, y, angle, length, bend in _brow_hairs(anatomy, rng):
        _stroke(draw, x, y, angle, length, bend, int(rng.uniform(70, 230)))
    shade = image.resize((MAP_SIZE, MAP_SIZE), Image.Resampling.BOX)
    soft = np.asarray(shade.filter(ImageFilter.GaussianBlur(0.8)), np.float32) / 255
    halo = np.asarray(shade.filter(ImageFilter.GaussianBlur(3.8)), np.float32) / 255
    brow = np.minimum(0.62 * soft + 1.15 * halo, 0.90)
    return np.maximum(brow, _temple(anatomy, rng))


def _brow_hairs(anatomy: Anatomy, rng: np.random.Generator):
    """Yields root x, y, angle, length and bend of each brow hair, in map pixels.

    Hairs at the inner end are upright, the others lie towards the tail, the upper ones
    pointing down and the lower ones up.
    """
    for _ in range(int(1150 * anatomy.brow_density)):
        s = rng.beta(1.5, 1.25)  # 0 at the tail, 1 at the inner end
        x = anatomy.eye_x - 68 + 140 * s
        profile = np.sqrt(np.clip(s * 2.2, 0, 1)) * np.clip((1.06 - s) * 5, 0.35, 1)
        across = np.clip(rng.normal(0, 0.5), -1.3, 1.3)
        y = brow_line(anatomy, x) + across * anatomy.brow_thickness * profile
        upright = np.clip((s - 0.72) * 4, 0, 1)
        angle = np.pi + 0.25 - 0.4 * across * (1 - upright) + 0.85 * upright
        angle += rng.normal(0, 0.12)
        length = rng.uniform(6, 13) * (0.75 + 0.25 * profile)
        yield x + MARGIN, y + MARGIN, angle, length, rng.normal(-0.25, 0.15)


def _stroke(draw, x, y, angle, length, bend, darkness) -> None:
    points = []
    for step in range(4):
        points.append((x * _OVERSAMPLING, y * _OVERSAMPLING))
        x += np.cos(angle + bend * step) * length / 3
        y += np.sin(angle + bend * step) * length / 3
    draw.line(points, fill=darkness, width=2)


def _temple(anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Hair or the helmet's dark inside at the left border, with a slanted edge."""
    rows, columns = np.mgrid[:MAP_SIZE, :MAP_SIZE] - MARGIN
    slant, wave = rng.uniform(-0.35, 0.05), rng.uniform(2, 6)
    edge = anatomy.temple_x + slant * (rows - 60) + wave * np.sin(rows / 35)
    strands = 0.02 * _noise(rng, 3)
    return np.clip(0.5 - (columns - edge) / 4, 0, 1) * np.clip(0.88 + strands, 0, 0.95)
