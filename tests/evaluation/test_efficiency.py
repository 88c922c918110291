"""Spikes, operations and energy against plain NumPy and numbers done by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax.evaluation import activity, efficiency
from seen_jax.models.seen import SEEN

SIZE, STEPS = 16, 2


@pytest.fixture(scope="module")
def small():
    """A network on images of 16 x 16, and what it did with two windows."""
    model, key = SEEN(), jax.random.key(0)
    frames = jax.random.normal(key, (2, STEPS, SIZE, SIZE)) * 3
    inputs = {"event_frames": frames, "intensity_frames": frames}
    variables = model.init(jax.random.key(1), **inputs)
    _, seen = model.apply(variables, **inputs, capture=True)
    found = activity.observe(model, variables, frames, frames)
    return seen, found


def arrivals(spikes, kernel, stride, features):
    """Counts by visiting every position of the output; spikes (H, W, C)."""
    pad, count = kernel // 2, 0
    padded = np.pad(spikes, ((pad, pad), (pad, pad), (0, 0)))
    for row in range(0, padded.shape[0] - kernel + 1, stride):
        for column in range(0, padded.shape[1] - kernel + 1, stride):
            count += padded[row : row + kernel, column : column + kernel].sum()
    return count * features


def test_operations_are_counted_where_spikes_arrive(small):
    seen, found = small
    spikes = [np.asarray(state.spike) for state in seen.temporal]
    js = np.asarray(seen.spatial.spike)
    assert spikes[0].any() and spikes[1].any()
    for b in range(2):
        for t in range(STEPS):
            expected = [
                arrivals(spikes[0][b, t], 3, 2, 256),
                arrivals(spikes[1][b, t], 3, 4, 512),
                (spikes[2][b, t] + js[b, 0]).sum() * 256,
                spikes[3][b, t].sum() * 7,
            ]
            np.testing.assert_array_equal(found.operations[b, t], expected)


def test_rates(small):
    seen, found = small
    assert found.rates.shape == (2, STEPS, 5)
    for place, state in enumerate(seen.temporal):
        by_time = np.asarray(state.spike).reshape(2, STEPS, -1).mean(axis=-1)
        np.testing.assert_allclose(found.rates[..., place], by_time, rtol=1e-6)
    np.testing.assert_allclose(
        found.spatial_rate, np.asarray(seen.spatial.spike).mean(axis=(1, 2, 3, 4))
    )
    np.testing.assert_allclose(found.attention.sum(axis=1), 1, rtol=1e-6)


def by_hand():
    """Two clips, two steps: 1000 neurons in LIF3, 10, 20, 256 and 7 in the others."""
    sizes = np.array([10, 20, 1000, 256, 7])
    rates = np.full((2, 2, 5), 0.5)
    operations = np.arange(16.0).reshape(2, 2, 4)
    return activity.Activity(
        np.full((2, 3), 1 / 3), np.array([0.0, 1.0]), rates, operations, sizes
    )


def test_estimate_by_hand():
    found = efficiency.estimate(by_hand(), num_parameters=5, macs=10_000_000)
    # A step: 20 neurons of 9 * 64 inputs, 1000 of 9 * 256, 1000 * 256, 256 * 7.
    step_macs = 20 * 576 + 1000 * 2304 + 256_000 + 1792
    assert found.spiking_macs == 2 * step_macs == 5_146_624
    assert found.neuron_updates == 2 * 1293 + 1000
    # Sums over the steps: 0 + 4, 8 + 12: mean 12; then two more from layer to layer.
    assert found.operations == {
        "conv2_f2": 12, "conv3_f2": 14, "fc1": 16, "fc2": 18,
    }  # fmt: skip
    multiplied = 10_000_000 - 5_146_624 + 3586
    assert found.energy_uj == pytest.approx((multiplied * 4.6 + 60 * 0.9) / 1e6)
    assert found.dense_energy_uj == pytest.approx(46)
    assert found.spatial_rate == 0.5
    # An addition costs 0.9 of 4.6: without neurons, 4.6 / 0.9 = 5.11 spikes would be
    # as dear as a multiply-accumulate, and half of that against one dense pass.
    neurons = 3586 / 5_146_624
    assert found.break_even(2) == pytest.approx((1 - neurons) * 4.6 / 0.9)
    assert found.break_even(1) == pytest.approx((0.5 - neurons) * 4.6 / 0.9)


def test_at_the_break_even_rate_both_cost_the_same():
    found = efficiency.estimate(by_hand(), num_parameters=5, macs=10_000_000)
    rate = found.break_even(2)
    spiking = rate * found.spiking_macs * 0.9 + found.neuron_updates * 4.6
    assert spiking == pytest.approx(found.spiking_macs * 4.6)


def test_as_text():
    found = efficiency.estimate(by_hand(), num_parameters=5, macs=10_000_000)
    text = efficiency.to_text(efficiency.to_json(found))
    assert "4.6 pJ a multiply-accumulate, 0.9 pJ an addition" in text
    assert "Horowitz" in text
    assert "LIF1                 0.500 0.500" in text
    assert "never (above 5.11" in text


def test_batches_are_joined():
    parts = [by_hand(), by_hand()]
    assert activity.join(parts).rates.shape == (4, 2, 5)


def test_only_rows_of_the_mask(small):
    model = SEEN()
    frames = np.zeros((2, STEPS, SIZE, SIZE), np.uint8)
    variables = model.init(
        jax.random.key(1),
        event_frames=jnp.zeros((1, STEPS, SIZE, SIZE)),
        intensity_frames=jnp.zeros((1, 2, SIZE, SIZE)),
    )
    batch = {
        "event_frames": frames,
        "intensity_frames": frames,
        "mask": np.array([True, False]),
    }
    found = activity.make_observe(model, variables)(batch)
    assert found.rates.shape == (1, STEPS, 5)
