"""Glasses, make-up and tears change what they cover and nothing else."""

import dataclasses

import numpy as np
import pytest

from seen_jax.simulator import accessories
from seen_jax.simulator.anatomy import MARGIN

BARE = accessories.Worn()
RIM = {"rim_x": 90.0, "rim_y": 100.0, "rim_half_width": 60.0, "rim_half_height": 40.0}


def test_nothing_worn_changes_nothing(look):
    np.testing.assert_allclose(look(BARE), look(), rtol=1e-5, atol=1e-6)


def test_a_frame_is_dark_where_the_fourth_powers_add_up_to_one(look):
    frame = dataclasses.replace(BARE, rim=0.8, rim_thickness=6.0, **RIM)
    ratio = look(frame) / look()
    # Above and below the middle, beside it, and the bridge.
    for place in ((60, 90), (140, 90), (100, 150), (84, 165)):
        assert ratio[place] == pytest.approx(0.2, abs=0.01)
    rows, columns = np.mgrid[:180, :180]
    radius = ((np.abs(columns - 90) / 60) ** 4 + (np.abs(rows - 100) / 40) ** 4) ** 0.25
    near = np.abs(radius - 1) * 40 < 6
    near |= (np.abs(rows - 84) < 6) & (np.abs(columns - 90) > 55)
    np.testing.assert_allclose(ratio[~near], 1.0, rtol=1e-5)
    assert (ratio[near] < 0.99).mean() > 0.5


def test_a_reflection_moves_twice_as_far_as_the_glasses(look):
    reflection = {"reflection": 0.5, "reflection_size": 6.0}
    mirror = dataclasses.replace(BARE, **reflection, **RIM)

    def centre(**slip):
        added = look(mirror, **slip) - look(**slip)
        return (added.sum(0) @ np.arange(180)) / added.sum()

    assert centre() == pytest.approx(90.0, abs=0.1)
    assert centre(slip_x=4.0) == pytest.approx(98.0, abs=0.1)


def test_tears_shine_at_the_lower_lid_of_an_open_eye(person, look):
    wet = dataclasses.replace(BARE, tears=1.0)
    added = look(wet) - look()
    assert added.min() > -1e-5
    assert added.max() > 0.1
    rows, columns = np.nonzero(added > 0.02)
    body = person[0]
    assert rows.min() > body.eye_y - 2
    assert np.abs(columns - body.eye_x).max() < body.eye_half_width
    closed = look(wet, lid=0.0) - look(lid=0.0)
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
