"""What some volunteers wear and some clips show: glasses, make-up and tears.

Make-up changes a volunteer's measures and skin before anything is rendered. Glasses and
tears are drawn by the renderer from a `Worn`; who has neither has none, and is rendered
by the program without them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import jax
import numpy as np

from seen_jax.simulator.anatomy import MAP_SIZE, MARGIN, Anatomy


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Worn:
    """Glasses and tears, by default none; lengths in pixels of the face at rest."""

    rim: float = 0.0  # share of the light that the frame absorbs; 0: no glasses
    rim_x: float = 0.0  # middle of the lens
    rim_y: float = 0.0
    rim_half_width: float = 1.0
    rim_half_height: float = 1.0
    rim_thickness: float = 1.0
    reflection: float = 0.0  # of the lamp, against a white sheet
    reflection_x: float = 0.0  # from the middle of the lens
    reflection_y: float = 0.0
    reflection_size: float = 1.0
    tears: float = 0.0  # how much of the lamp the wet lower lid mirrors; 0: dry


def sample_glasses(
    rng: np.random.Generator, body: Anatomy, share: float
) -> Worn | None:
    """Draws the glasses of a volunteer; `share` of them have some.

    All numbers are drawn in any case, so that who has glasses changes nothing else.
    """
    has = rng.random() < share
    thick = rng.random() < 0.5  # a plastic frame; else one of wire
    glasses = Worn(
        rim=rng.uniform(0.7, 0.93) if thick else rng.uniform(0.35, 0.7),
        rim_x=body.eye_x + rng.normal(0, 4),
        rim_y=body.eye_y + rng.normal(2, 4),
        rim_half_width=rng.uniform(60, 76),
        rim_half_height=rng.uniform(36, 50),
        rim_thickness=rng.uniform(5, 9) if thick else rng.uniform(1.5, 3),
        reflection=rng.uniform(0.03, 0.3),
        reflection_x=rng.uniform(-40, 40),
        reflection_y=rng.uniform(-25, 20),
        reflection_size=rng.uniform(6, 20),
    )
    return glasses if has else None


def sample_tears(
    rng: np.random.Generator, worn: Worn | None, share: float
) -> Worn | None:
    """Adds tears to `share` of the clips, whatever else is worn."""
    has, tears = rng.random() < share, rng.uniform(0.3, 1.0)
    return dataclasses.replace(worn or Worn(), tears=tears) if has else worn


def apply_makeup(
    rng: np.random.Generator, body: Anatomy, skin: np.ndarray, sex: str, share: float
) -> tuple[Anatomy, np.ndarray]:
    """Makes up `share` of the women: lids' edge, lashes, brow, a shadow on the lid."""
    has = rng.random() < share and sex == "woman"
    lashes, brow, shadow = rng.uniform((1.1, 1.0, 0.0), (1.6, 1.3, 0.45))
    if not has:
        return body, skin
    made_up = dataclasses.replace(
        body,
        lid_line=0.95,
        lash_length=min(body.lash_length * lashes, 9.0),
        brow_density=body.brow_density * brow,
    )
    rows, columns = np.mgrid[:MAP_SIZE, :MAP_SIZE] - MARGIN
    across = (columns - body.eye_x) / (1.1 * body.eye_half_width)
    above = (rows - (body.eye_y - 0.6 * body.aperture)) / 13.0
    painted = skin * (1.0 - shadow * np.exp(-(across**2) - above**2))
    return made_up, painted.astype(np.float32)
