"""Glasses, make-up and tears change what they cover and nothing else."""

import dataclasses

import jax
import numpy as np
import pytest

from seen_jax.simulator import accessories, anatomy, lighting
from seen_jax.simulator.anatomy import MARGIN
from seen_jax.simulator.renderer import render
from tests.simulator.test_renderer import REST, Pose

draw = jax.jit(render)
BARE = accessories._BARE


@pytest.fixture(scope="module")
def person():
    rng = np.random.default_rng(3)
    body = anatomy.sample_anatomy(rng, "woman", 22)
    return body, anatomy.paint_skin(body, rng)


@pytest.fixture(scope="module")
def light():
    return lighting.sample_light(np.random.default_rng(0), "normal")[0]


def look(person, light, worn, **pose):
    pose = Pose(**{k: np.float32([v]) for k, v in (REST | pose).items()})
    body, skin = anatomy.as_float32(person[0]), person[1]
    worn = worn and accessories.as_float32(worn)
    return np.asarray(draw(body, skin, pose, light, worn)[0])


def test_nothing_worn_changes_nothing(person, light):
    np.testing.assert_allclose(
        look(person, light, BARE), look(person, light, None), rtol=1e-5, atol=1e-6
    )


def test_a_frame_is_dark_where_the_fourth_powers_add_up_to_one(person, light):
    frame = dataclasses.replace(
        BARE,
        rim=0.8,
        rim_x=90.0,
        rim_y=100.0,
        rim_half_width=60.0,
        rim_half_height=40.0,
        rim_thickness=6.0,
    )
    ratio = look(person, light, frame) / look(person, light, None)
    assert ratio[60, 90] == pytest.approx(0.2, abs=0.01)  # above the middle
    assert ratio[140, 90] == pytest.approx(0.2, abs=0.01)
    assert ratio[100, 150] == pytest.approx(0.2, abs=0.01)
    assert ratio[84, 165] == pytest.approx(0.2, abs=0.01)  # the bridge
    rows, columns = np.mgrid[:180, :180]
    radius = ((np.abs(columns - 90) / 60) ** 4 + (np.abs(rows - 100) / 40) ** 4) ** 0.25
    near = np.abs(radius - 1) * 40 < 6
    near |= (np.abs(rows - 84) < 6) & (np.abs(columns - 90) > 55)
    np.testing.assert_allclose(ratio[~near], 1.0, rtol=1e-5)
    assert (ratio[near] < 0.99).mean() > 0.5


def test_a_reflection_moves_twice_as_far_as_the_glasses(person, light):
    mirror = dataclasses.replace(
        BARE,
        rim_x=90.0,
        rim_y=100.0,
        rim_half_width=60.0,
        rim_half_height=40.0,
        reflection=0.5,
        reflection_size=6.0,
    )

    def centre(**slip):
        added = look(person, light, mirror, **slip) - look(person, light, None, **slip)
        return (added.sum(0) @ np.arange(180)) / added.sum()

    assert centre() == pytest.approx(90.0, abs=0.1)
    assert centre(slip_x=4.0) == pytest.approx(98.0, abs=0.1)


def test_tears_shine_at_the_lower_lid_of_an_open_eye(person, light):
    wet = dataclasses.replace(BARE, tears=1.0)
    added = look(person, light, wet) - look(person, light, None)
    assert added.min() > -1e-5
    assert added.max() > 0.1
    rows, columns = np.nonzero(added > 0.02)
    body = person[0]
    assert rows.min() > body.eye_y - 2
    assert np.abs(columns - body.eye_x).max() < body.eye_half_width
    closed = look(person, light, wet, lid=0.0) - look(person, light, None, lid=0.0)
    assert closed.max() < 0.3 * added.max()


def test_make_up_darkens_the_lid_of_women_alone(person):
    rng = np.random.default_rng(1)
    body, skin = accessories.apply_makeup(rng, *person, "woman", 1.0)
    assert body.lash_length >= person[0].lash_length
    painted = 1.0 - skin / person[1]
    assert painted.min() > -1e-6
    row, _ = np.unravel_index(painted.argmax(), painted.shape)
    upper = person[0].eye_y - 0.6 * person[0].aperture
    assert row - MARGIN == pytest.approx(upper, abs=1)
    assert painted[-60:].max() < 0.01
    man = accessories.apply_makeup(rng, *person, "man", 1.0)
    assert man == person


def test_as_many_wear_glasses_as_asked(person):
    rng = np.random.default_rng(0)
    some = [accessories.sample_glasses(rng, person[0], 0.25) for _ in range(2000)]
    assert np.mean([x is not None for x in some]) == pytest.approx(0.25, abs=0.04)
    some = [accessories.sample_tears(rng, None, 0.1) for _ in range(2000)]
    assert np.mean([x is not None for x in some]) == pytest.approx(0.1, abs=0.03)
