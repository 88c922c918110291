"""Emotions as movements."""

import dataclasses

import numpy as np
import pytest

from seen_jax import see
from seen_jax.simulator import anatomy, expression
from seen_jax.simulator.difficulty import EASY, HARD

TIMES = np.arange(240) / 120


def poses(emotion, seed, difficulty=EASY):
    rng, more = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    habits = expression.sample_habits(rng, more, difficulty)
    return expression.sample_poses(rng, more, emotion, habits, TIMES, difficulty)


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


def test_easy_is_what_version_1_drew():
    # Printed by the program before there were difficulties.
    rng = np.random.Generator(np.random.PCG64([0, 1, 3]))
    more = np.random.default_rng(0)
    body = anatomy.sample_anatomy(rng, "woman", 22, EASY.anatomy)
    measures = body.eye_x, body.aperture, body.iris_radius, body.skin
    np.testing.assert_allclose(
        measures, [93.257629, 23.008944, 19.263094, 0.515628], rtol=1e-6
    )
    habits = expression.sample_habits(rng, more, EASY)
    np.testing.assert_allclose(
        [habits.gains[1], habits.gains[43], habits.stray[6], habits.tempo, habits.slip],
        [1.1269, 0.778156, 0.155574, 1.154428, 0.757737],
        atol=1e-6,
    )
    rng, times = np.random.Generator(np.random.PCG64([0, 2, 7])), np.arange(60) / 30
    first = expression.sample_poses(rng, more, "surprise", habits, times, EASY)
    second = expression.sample_poses(rng, more, "disgust", habits, times, EASY)
    for pose, expected in (
        (first, [1.30061, 14.9983, 0.01753, -7.30011, -0.89777]),
        (second, [0.71223, -10.60765, 0.75077, -0.63323, 0.22698]),
    ):
        fields = pose.lid, pose.brow_inner, pose.nose, pose.gaze_x, pose.slip_y
        np.testing.assert_allclose([x[30] for x in fields], expected, atol=2e-5)


def test_hard_changes_nothing_of_the_shared_stream():
    """Blinks and gaze are drawn from it last, their number depends on the clip."""
    ends = []
    for difficulty in (EASY, dataclasses.replace(HARD, busy=0.0)):
        rng, more = np.random.default_rng(3), np.random.default_rng(4)
        habits = expression.sample_habits(rng, more, difficulty)
        expression.sample_poses(rng, more, "fear", habits, TIMES, difficulty)
        ends.append(rng.random())
    assert ends[0] == ends[1]


def shown(emotion, seed, difficulty):
    """The clip's largest activation of each unit, read back from its pose."""
    pose = poses(emotion, seed, difficulty)
    return {4: pose.brow_pull.max() / 6, 6: pose.cheek.max(), 9: pose.nose.max()}


def test_hard_clips_show_their_emotion_more_or_less():
    easy = [shown("disgust", i, EASY)[9] for i in range(80)]
    hard = [shown("disgust", i, HARD)[9] for i in range(80)]
    assert min(easy) > 0.45
    assert min(hard) < 0.75 * min(easy)  # hardly
    assert np.std(hard) / np.mean(hard) > 1.2 * np.std(easy) / np.mean(easy)


def test_a_share_of_another_emotion_is_the_smaller_one():
    rng = np.random.default_rng(0)
    plain = dataclasses.replace(EASY, mixing=9.0)  # so that the bound decides
    habits = expression.sample_habits(rng, rng, EASY)
    for _ in range(50):
        levels = expression._levels(rng, "fear", habits, plain)
        # 5 is of fear alone: its level is the own share; 43 of sadness alone.
        share = levels[5] / expression.EMOTION_UNITS["fear"][5]
        assert 0.51 <= share <= 1.0
        other = levels[43] / expression.EMOTION_UNITS["sadness"][43]
        assert other == pytest.approx(1.0 - share, abs=1e-12)


def test_emotions_differ_in_how_clearly_they_are_shown():
    rng, uneven = np.random.default_rng(0), dataclasses.replace(EASY, uneven=1.0)
    low, high = expression.FAINT
    for emotion, clarity in expression.CLARITY.items():
        factors = np.array(
            [expression._clearness(rng, emotion, uneven) for _ in range(2000)]
        )
        faint = factors != clarity.clear
        assert ((low <= factors[faint]) & (factors[faint] <= high)).all()
        assert faint.mean() == pytest.approx(clarity.faint, abs=0.04)
        assert expression._clearness(rng, emotion, EASY) == 1.0


def test_a_partial_clip_lacks_one_unit():
    rng = np.random.default_rng(0)
    partial = dataclasses.replace(EASY, partial=1.0)
    habits = expression.sample_habits(rng, rng, EASY)
    own = expression.EMOTION_UNITS["surprise"]
    for _ in range(20):
        levels = expression._levels(rng, "surprise", habits, partial)
        weaker = [u for u in expression.UNITS if levels[u] < own.get(u, 0.0)]
        assert len(weaker) == 1
        left = levels[weaker[0]] / own[weaker[0]]
        assert 1.0 - expression.CLARITY["surprise"].partial <= left < 1.0


def test_the_helmet_sits_differently_in_every_clip():
    where = [poses("neutral", i, HARD).slip_x.mean() for i in range(200)]
    still = [poses("neutral", i, EASY).slip_x.mean() for i in range(200)]
    added = np.sqrt(np.var(where) - np.var(still))
    assert HARD.seat * 0.8 < added < HARD.seat * 1.6  # slips are larger, too


def test_clips_begin_in_any_phase():
    start = np.array([poses("surprise", i).brow_outer[0] for i in range(60)])
    peak = np.array([poses("surprise", i).brow_outer.max() for i in range(60)])
    share = start / peak
    assert (share < 0.45).mean() > 0.15
    assert (share > 0.75).mean() > 0.15
