"""What a difficulty adds to a clip: light that flickers, a dark full of noise."""

import dataclasses

import jax
import numpy as np
import pytest

from seen_jax import see
from seen_jax.simulator import camera, clip, lighting
from seen_jax.simulator.cast import plan
from seen_jax.simulator.difficulty import EASY, HARD


def test_lamps_flicker_at_100_hz_in_the_luminance_of_a_still_scene():
    """The strongest line of the spectrum, 8 frames of 12 steps: 360 values a second."""
    lamps = lighting.flicker(0.04, 0.3, clip._lamp_times_s(8))
    still = np.full((8 * camera.STEPS_PER_FRAME + 1, 2, 2), 0.5, np.float32)
    light = np.asarray(jax.jit(clip._flickering)(still, lamps))[:, 0, 0]
    assert len(light) == 96
    spectrum = np.abs(np.fft.rfft(light - light.mean(), 3600))
    strongest_hz = np.fft.rfftfreq(3600, 1 / 360)[spectrum.argmax()]
    assert strongest_hz == pytest.approx(100.0, abs=1.0)
    assert light.max() == pytest.approx(0.5 * 1.04, rel=2e-3)
    # The next chunk starts where this one ends, 8 frames and so 26 2/3 periods later.
    again = lighting.flicker(0.04, 0.3 - 8 / 0.3, clip._lamp_times_s(16))
    np.testing.assert_allclose(lamps, again, atol=1e-3)


def test_between_two_moments_the_light_is_on_a_line():
    moments = np.float32([1.0, 4.0, 1.0])[:, None, None]
    got = clip._flickering(moments, np.ones(6, np.float32))
    assert np.asarray(got)[:, 0, 0].tolist() == [2.0, 3.0, 4.0, 3.0, 2.0, 1.0]


def test_steady_lamps_are_steady_and_as_many_flicker_as_asked():
    rng = np.random.default_rng(0)
    assert not any(lighting.sample_flicker(rng, 0.0) for _ in range(50))
    depths = [lighting.sample_flicker(rng, 0.3) for _ in range(2000)]
    assert np.mean([x > 0 for x in depths]) == pytest.approx(0.3, abs=0.04)


@pytest.fixture(scope="module")
def dark_clip():
    name = next(x.name for x in plan(8, 40, 0) if x.name.lighting == "Low")
    return dataclasses.replace(name, length=18)


def recorded(name, **changes):
    return clip.simulate_clip(name, 0, dataclasses.replace(EASY, **changes))


def test_the_dark_is_noisier_by_the_rate(dark_clip):
    quiet, noisy = recorded(dark_clip), recorded(dark_clip, dark_hz=HARD.dark_hz)
    seconds = dark_clip.length * see.FRAME_PERIOD_US * 1e-6
    added = len(noisy.events.t) - len(quiet.events.t)
    most = (HARD.dark_hz - EASY.dark_hz) * seconds * see.IMAGE_SIZE**2
    # Where it is bright a quarter of it; the darkest pixels have all of it.
    assert 0.5 * most < added < most


def test_flicker_makes_events_of_both_signs_in_what_is_still(dark_clip):
    name = dataclasses.replace(dark_clip, lighting="normal")
    steady, flickering = recorded(name), recorded(name, flicker=1.0)
    assert len(flickering.events.t) > 1.1 * len(steady.events.t)
    added = len(flickering.events.t) - len(steady.events.t)
    on = np.sum(flickering.events.p > 0) - np.sum(steady.events.p > 0)
    assert 0.4 < on / added < 0.6  # of what is new


def test_a_difficulty_keeps_the_habits_and_the_room(dark_clip):
    easy, hard = (clip._volunteer(*_who(dark_clip), 0, x) for x in (EASY, HARD))
    assert easy.habits.gains == hard.habits.gains
    assert easy.exposure == hard.exposure
    assert (easy.worn, easy.flicker) == (None, 0.0)


def _who(name):
    return name.volunteer, name.sex, name.age, name.lighting
