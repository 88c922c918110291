"""A rendered eye: a person, a light, and a pose away from rest."""

import dataclasses

import jax
import numpy as np
import pytest

from seen_jax.simulator import anatomy, lighting
from seen_jax.simulator.renderer import Pose, render

REST = {field.name: 0.0 for field in dataclasses.fields(Pose)} | {"lid": 1, "pupil": 1}
draw = jax.jit(render)


@pytest.fixture(scope="module")
def person():
    rng = np.random.default_rng(3)
    body = anatomy.sample_anatomy(rng, "woman", 22)
    return body, anatomy.paint_skin(body, rng)


@pytest.fixture(scope="module")
def light():
    return lighting.sample_light(np.random.default_rng(0), "normal")[0]


@pytest.fixture(scope="module")
def look(person, light):
    """Returns what draws the person, who may wear something, in a pose."""
    body, skin = jax.tree.map(np.float32, person[0]), person[1]

    def look(worn=None, light=light, **pose):
        pose = Pose(**{k: np.float32([v]) for k, v in (REST | pose).items()})
        worn = jax.tree.map(np.float32, worn)
        return np.asarray(draw(body, skin, pose, light, worn)[0])

    return look
