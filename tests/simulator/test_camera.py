"""The event camera against closed forms and a plain loop over microseconds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax import see
from seen_jax.simulator import camera
from seen_jax.simulator.anatomy import SIZE
from seen_jax.simulator.lighting import Exposure

STEP = camera.STEP_US
step = jax.jit(camera.event_step)


def image(value):
    return jnp.full((SIZE, SIZE), value, jnp.float32)


def at_level(level):
    """Pixels that have rested at `level`; the radiance that would hold them there."""
    return camera.PixelState(image(level), image(level), image(-1.0))


def radiance_for(state_level, change):
    """The radiance for which a bright pixel's level moves by `change` in a step."""
    cutoff = 1e6 / (2 * np.pi * camera.CUTOFF_HZ)
    follow = STEP / (STEP + cutoff)
    return np.exp(state_level + change / follow) - camera.DARK_RADIANCE


def first_pixel(dense):
    counts, first, interval = (np.asarray(x)[0, 0] for x in dense)
    return int(counts), float(first), float(interval)


def test_constant_light_makes_no_event():
    state = camera.settled(image(0.3))
    for _ in range(5):
        state, (counts, _, _) = step(state, image(0.3), image(0.1), image(0.1))
        assert not np.asarray(counts).any()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_ramp_has_events_at_the_times_of_the_closed_form(sign):
    # The level moves by 0.5 in a step of 8333 us, 6e-5 per us. With threshold 0.1 the
    # first event comes after 0.1 / 6e-5 = 1667 us, the others every 1667 + 600 us:
    # 1667, 3933, 6200; the next, at 8467, is past the step.
    state = at_level(0.0)
    light = image(radiance_for(0.0, sign * 0.5))
    on, off = (0.1, 9.0) if sign > 0 else (9.0, 0.1)
    state, dense = step(state, light, image(on), image(off))
    count, first, interval = first_pixel(dense)
    slope = 0.5 / STEP
    assert count == 3 * sign
    assert first == pytest.approx(0.1 / slope, rel=1e-3)
    assert interval == pytest.approx(0.1 / slope + camera.REFRACTORY_US, rel=1e-3)
    # The level stored at the end of the last refractory period, 6800 us.
    stored = sign * slope * (first + 2 * interval + camera.REFRACTORY_US)
    assert float(state.reference[0, 0]) == pytest.approx(stored, rel=1e-3)


def test_refractory_period_reaches_into_the_next_step():
    # One event at 0.9 of the step, then blind for 600 us: 0.9 * 8333 + 600 = 8100, so
    # the period is over before the end; at 0.98 it lasts 433 us into the next step.
    state, dense = step(
        at_level(0.0), image(radiance_for(0.0, 0.1 / 0.98)), image(0.1), image(0.1)
    )
    count, first, _ = first_pixel(dense)
    assert count == 1
    assert float(state.blind_us[0, 0]) == pytest.approx(first + 600 - STEP, abs=1.0)
    assert float(state.blind_us[0, 0]) == pytest.approx(433, abs=15)


def microsecond_loop(levels, threshold_on, threshold_off):
    """The pixel of the module's text, one microsecond at a time."""
    reference, blind_until, events = levels[0], -1.0, []
    for i in range(len(levels) - 1):
        for j in range(int(STEP)):
            time = i * STEP + j + 1
            level = levels[i] + (levels[i + 1] - levels[i]) * (j + 1) / STEP
            if time < blind_until:
                continue
            if blind_until > 0:
                reference, blind_until = level, -1.0
            change = level - reference
            if change >= threshold_on or -change >= threshold_off:
                events.append((time, change > 0))
                blind_until = time + camera.REFRACTORY_US
    return events


def test_random_light_gives_the_events_of_a_loop_over_microseconds():
    rng = np.random.default_rng(1)
    state, levels, parts = camera.settled(image(0.3)), [], []
    levels.append(float(state.level[0, 0]))
    for i in range(20):
        light = image(0.3 * np.exp(rng.normal(0, 0.5)))
        state, dense = step(state, light, image(0.11), image(0.13))
        levels.append(float(state.level[0, 0]))
        parts.append(camera.events_from_steps(*(np.asarray(x)[None] for x in dense), i))
    time = np.concatenate([t[at == 0] for t, at, _ in parts])
    polarity = np.concatenate([p[at == 0] for _, at, p in parts])
    expected = microsecond_loop(levels, 0.11, 0.13)
    assert len(expected) > 20
    # No event hangs on rounding, nor on the microsecond that the loop is coarse.
    for scale in (0.999, 1.001):
        nearby = microsecond_loop(levels, 0.11 * scale, 0.13 * scale)
        assert [p for _, p in nearby] == [p for _, p in expected]
    assert [p for _, p in expected] == polarity.tolist()
    np.testing.assert_allclose(time, [t for t, _ in expected], atol=5)


def test_the_dark_is_slower():
    def change(light):
        state = camera.settled(image(light))
        after, _ = step(state, image(light * 1.5), image(9.0), image(9.0))
        return float((after.level - state.level)[0, 0])

    assert 0 < change(0.002) < change(0.02) < change(0.2)


def test_every_event_is_written_out_once():
    counts = np.zeros((2, SIZE, SIZE), np.int8)
    counts[0, 1, 2], counts[1, 3, 4] = 3, -2
    first = np.full(counts.shape, 100.0, np.float32)
    interval = np.full(counts.shape, 1000.0, np.float32)
    time, at, polarity = camera.events_from_steps(counts, first, interval, 4)
    begin = int(4 * STEP)
    assert time.tolist() == [
        begin + 100, begin + 1100, begin + 2100,
        int(5 * STEP + 100), int(5 * STEP + 1100),
    ]  # fmt: skip
    assert at.tolist() == [SIZE + 2] * 3 + [3 * SIZE + 4] * 2
    assert polarity.tolist() == [True] * 3 + [False] * 2


def test_background_activity_has_the_written_rates():
    # 30 periods of 33,333 us are 1 s: LEAK_HZ and, in the dark, that of shot noise.
    dark, shot_hz = np.zeros((30, SIZE, SIZE), np.float32), 0.07
    rng = np.random.default_rng(0)
    time, _, _ = camera.background_activity(rng, dark, 10, shot_hz)
    expected = (camera.LEAK_HZ + shot_hz) * SIZE * SIZE
    assert abs(len(time) - expected) < 4 * expected**0.5
    assert time.min() >= 10 * see.FRAME_PERIOD_US
    assert time.max() < 40 * see.FRAME_PERIOD_US
    bright, _, polarity = camera.background_activity(rng, dark + 1.0, 0, shot_hz)
    expected = (camera.LEAK_HZ + 0.25 * shot_hz) * SIZE * SIZE
    assert abs(len(bright) - expected) < 4 * expected**0.5
    assert polarity.mean() > 0.5  # leak events are ON


def test_intensity_frames_saturate_and_carry_the_sensor():
    rng = np.random.default_rng(0)
    flat = np.zeros((SIZE, SIZE), np.float32)
    hot = flat.copy()
    hot[5, 6] = 200
    sensor = camera.Sensor(flat, flat, flat, hot)
    exposure = Exposure(gain=1.0, share=1.0, read_noise=0.0, shot_noise=0.0)
    levels = np.array([0.0, 0.5, 1.0, 7.0], np.float32)
    images = np.broadcast_to(levels[:, None, None], (4, SIZE, SIZE))
    frames = camera.intensity_frames(rng, images, sensor, exposure)
    assert frames[:, 0, 0].tolist() == [0, 128, 255, 255]  # 127.5 rounds up
    assert frames[:, 5, 6].tolist() == [200, 200, 255, 255]
