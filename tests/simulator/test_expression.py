"""Emotions as movements."""

import numpy as np
import pytest

from seen_jax import see
from seen_jax.simulator import expression

TIMES = np.arange(240) / 120


def poses(emotion, seed):
    rng = np.random.default_rng(seed)
    return expression.sample_poses(rng, emotion, expression.sample_habits(rng), TIMES)


def strongest(emotion, field, num=40):
    """Mean over clips of the field's largest value."""
    return np.mean([np.max(vars(poses(emotion, i))[field]) for i in range(num)])


def weakest(emotion, field, num=40):
    return np.mean([np.min(vars(poses(emotion, i))[field]) for i in range(num)])


def test_every_emotion_of_see_has_its_units():
    assert set(expression.EMOTION_UNITS) == set(see.EMOTIONS)
    for units in expression.EMOTION_UNITS.values():
        assert set(units) <= set(expression.UNITS)


@pytest.mark.parametrize("emotion", see.EMOTIONS)
def test_poses_are_float32_in_range_and_repeatable(emotion):
    first, again = poses(emotion, 7), poses(emotion, 7)
    for name, value in vars(first).items():
        assert value.dtype == np.float32
        assert value.shape == TIMES.shape
        assert np.isfinite(value).all()
        np.testing.assert_array_equal(value, vars(again)[name])
    assert (first.lid >= 0).all()
    assert (first.lid <= 1.4).all()


def test_each_emotion_shows_where_its_units_pull():
    assert strongest("surprise", "brow_outer") > 9 > strongest("fear", "brow_outer")
    assert weakest("angry", "brow_inner") < -4 < weakest("neutral", "brow_inner")
    assert strongest("disgust", "nose") > 0.6 > strongest("angry", "nose")
    assert strongest("happiness", "cheek") > 0.6 > strongest("disgust", "cheek")
    assert strongest("surprise", "lid") > 1.1 > strongest("sadness", "lid")
    assert strongest("fear", "furrow") > 0.3 > strongest("surprise", "furrow")


def test_neutral_blinks():
    closed = [poses("neutral", i).lid.min() < 0.35 for i in range(40)]
    assert 0.4 < np.mean(closed) < 1.0


def test_clips_begin_in_any_phase():
    start = np.array([poses("surprise", i).brow_outer[0] for i in range(60)])
    peak = np.array([poses("surprise", i).brow_outer.max() for i in range(60)])
    share = start / peak
    assert (share < 0.45).mean() > 0.15
    assert (share > 0.75).mean() > 0.15
