"""What the rendered eye does when one muscle moves."""

import numpy as np
import pytest

from seen_jax.simulator import anatomy
from seen_jax.simulator.renderer import Light, Pose


def eye_box(person):
    x, y = int(person[0].eye_x), int(person[0].eye_y)
    return slice(y - 12, y + 8), slice(x - 14, x + 20)


def test_radiance_is_finite_and_not_negative(look):
    for pose in ({}, {"lid": 0}, {"nose": 1, "furrow": 1}, {"slip_x": 5, "slip_y": -5}):
        image = look(**pose)
        assert image.shape == (180, 180)
        assert np.isfinite(image).all()
        assert image.min() >= 0


def test_radiance_is_in_proportion_to_the_light(look, light):
    double = {
        name: value * (2 if name in ("ambient", "lamp", "glint") else 1)
        for name, value in vars(light).items()
    }
    once, twice = look(), look(light=Light(**double))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-4)


def test_a_closed_lid_hides_the_iris(person, look):
    box = eye_box(person)
    opened, closed = look()[box], look(lid=0.0)[box]
    dark = 0.3 * np.median(closed)
    assert (opened < dark).mean() > 0.2
    assert (closed < dark).mean() < 0.02


def test_gaze_moves_the_pupil(person, look):
    box = eye_box(person)

    def centre(gaze):
        image = look(gaze_x=gaze)
        _, columns = np.nonzero(image[box] < np.quantile(image[box], 0.15))
        return columns.mean()

    assert centre(6.0) - centre(-6.0) == pytest.approx(12.0, abs=4.0)


def test_a_raised_brow_is_higher(look):
    def brow_row(raise_):
        image = look(brow_inner=raise_, brow_outer=raise_)
        column = image[15:80, 80:110].mean(axis=1)
        return 15 + np.argmin(column)

    assert brow_row(0) - brow_row(8) == pytest.approx(8, abs=2)


def test_slip_moves_the_whole_face(look):
    # The lamp's patch and its shading stay, so compare edges by correlation.
    still, moved = look(), look(slip_x=4.0, slip_y=3.0)
    inner = np.s_[20:-20, 20:-20]
    shifted = np.roll(moved, (-3, -4), (0, 1))

    def correlation(a, b):
        return np.corrcoef(a[inner].ravel(), b[inner].ravel())[0, 1]

    assert correlation(still, shifted) > 0.99
    assert correlation(still, shifted) > correlation(still, moved)


@pytest.mark.parametrize("muscle", sorted({*Pose.__annotations__} - {"lid", "pupil"}))
def test_every_muscle_changes_the_image_smoothly(look, muscle):
    base = look()
    little = np.abs(look(**{muscle: 0.05}) - base).mean()
    more = np.abs(look(**{muscle: 0.10}) - base).mean()
    assert little > 0
    assert more == pytest.approx(2 * little, rel=0.35)


def test_volunteers_differ():
    def skin(seed):
        rng = np.random.default_rng(seed)
        return anatomy.paint_skin(anatomy.sample_anatomy(rng, "man", 20), rng)

    assert np.array_equal(skin(0), skin(0))
    assert not np.allclose(skin(0), skin(1), atol=0.05)
