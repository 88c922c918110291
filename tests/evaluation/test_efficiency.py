"""Spikes, operations and energy against plain NumPy and numbers done by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax.evaluation import activity, efficiency, observe
from seen_jax.images import normalise_events, normalise_intensity
from seen_jax.models.capture import Capture
from seen_jax.models.fast.network import FastSEEN
from seen_jax.models.lif import LIFState
from seen_jax.models.seen import SEEN

STEPS = 2
# Images of 18 x 18 become 9 x 9 of 64, 5 x 5 of 256 and 2 x 2 of 512; then 256 and 7.
SHAPES = ((9, 9, 64), (5, 5, 256), (2, 2, 512), (256,), (7,))


def capture_of(shapes, batch=2, steps=STEPS, density=0.1):
    """A capture of random spikes, for which no network had to run."""
    rng = np.random.default_rng(0)

    def state(steps, shape):
        spike = jnp.array(rng.random((batch, steps, *shape)) < density, jnp.float32)
        return LIFState(membrane=spike, spike=spike)

    attention = jnp.array(rng.dirichlet(np.ones(3), batch), jnp.float32)
    temporal = tuple(state(steps, shape) for shape in shapes)
    return Capture(attention, state(1, shapes[2]), temporal)


@pytest.fixture(scope="module")
def small():
    capture = capture_of(SHAPES)
    return capture, summarise(capture)


def summarise(capture):
    """As `observe.summarise`, with NumPy arrays."""
    arrays = jax.device_get(observe.summarise(capture).__dict__)
    return activity.Activity(**arrays)


def arrivals(spikes, kernel, stride, features):
    """Counts by visiting every position of the output; spikes (H, W, C)."""
    pad, count = kernel // 2, 0
    padded = np.pad(spikes, ((pad, pad), (pad, pad), (0, 0)))
    for row in range(0, padded.shape[0] - kernel + 1, stride):
        for column in range(0, padded.shape[1] - kernel + 1, stride):
            count += padded[row : row + kernel, column : column + kernel].sum()
    return count * features


def test_operations_are_counted_where_spikes_arrive(small):
    capture, summary = small
    spikes = [np.asarray(state.spike) for state in capture.temporal]
    js = np.asarray(capture.spatial.spike)
    for b in range(2):
        for t in range(STEPS):
            expected = [
                arrivals(spikes[0][b, t], 3, 2, 256),
                arrivals(spikes[1][b, t], 3, 4, 512),
                (spikes[2][b, t] + js[b, 0]).sum() * 256,
                spikes[3][b, t].sum() * 7,
            ]
            np.testing.assert_array_equal(summary.operations[b, t], expected)


def test_rates(small):
    capture, summary = small
    assert summary.rates.shape == (2, STEPS, 5)
    for place, state in enumerate(capture.temporal):
        by_time = np.asarray(state.spike).reshape(2, STEPS, -1).mean(axis=-1)
        np.testing.assert_allclose(summary.rates[..., place], by_time, rtol=1e-6)
    spatial_rate = np.asarray(capture.spatial.spike).mean(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(summary.spatial_rate, spatial_rate, rtol=1e-6)
    np.testing.assert_array_equal(summary.attention, capture.attention)


def test_macs_and_synapses_of_a_step(small):
    macs = [5 * 5 * 256 * 9 * 64, 2 * 2 * 512 * 9 * 256, 4 * 512 * 256, 256 * 7]
    assert small[1].step_macs.tolist() == macs
    assert small[1].num_neurons.tolist() == [9 * 9 * 64, 25 * 256, 4 * 512, 256, 7]
    ones = [
        arrivals(np.ones(SHAPES[i]), 3, *x) for i, x in ((0, (2, 256)), (1, (4, 512)))
    ]
    assert small[1].step_synapses.tolist() == [*ones, *macs[2:]]


def test_the_ceiling_of_the_published_network():
    """If all neurons fire: 0.965 operations for a dense product, 1.04 for an input."""
    shapes = ((45, 45, 64), (23, 23, 256), (6, 6, 512), (256,), (7,))
    summary = summarise(capture_of(shapes, batch=1, steps=1, density=1.0))
    # By axis, a kernel of 3 covers 23 * 3 = 69 pixels of conv2_f2, the first and the
    # last of which are padding; and 6 * 3 = 18 of conv3_f2, the first being padding.
    synapses = [67**2 * 64 * 256, 17**2 * 256 * 512, 6 * 6 * 512 * 256, 256 * 7]
    macs = [69**2 * 64 * 256, 18**2 * 256 * 512, 6 * 6 * 512 * 256, 256 * 7]
    assert summary.step_synapses.tolist() == synapses
    assert summary.step_macs.tolist() == macs
    operations = sum(synapses) + synapses[2]  # fc1 gets LIF3's and J_s' spikes
    np.testing.assert_allclose(summary.operations.sum(), operations, rtol=1e-6)
    assert round(operations / sum(macs), 3) == 0.965
    estimate = efficiency.estimate(summary, num_parameters=5, macs=10**9)
    assert round(operations / sum(synapses), 2) == 1.04
    for name in ("spikes_per_input", "most_spikes_per_input"):
        assert estimate[name] == pytest.approx(operations / sum(synapses))


@pytest.mark.parametrize("num_frames, giga_macs", [(4, 0.907), (7, 1.454), (13, 2.548)])
def test_macs_are_the_published_ones_whatever_predicts(num_frames, giga_macs):
    inputs = [jax.ShapeDtypeStruct((1, n, 90, 90), jnp.float32) for n in (1, 2)]
    variables = jax.eval_shape(
        lambda x, y: SEEN().init(jax.random.key(0), event_frames=x, intensity_frames=y),
        *inputs,
    )
    macs = observe.count_macs(FastSEEN(), variables, num_frames)
    assert round(macs / 1e9, 3) == giga_macs


def test_fields_of_the_plain_network_are_those_of_the_given_one():
    plain = observe.plain(
        FastSEEN(num_classes=3, readout="last_spike", axis_name="devices")
    )
    assert type(plain) is SEEN
    assert (plain.readout, plain.axis_name) == ("last_spike", "devices")
    assert plain.num_classes == 3 and plain.neuron == SEEN.neuron


def test_shapes_of_what_is_observed():
    frames = jax.ShapeDtypeStruct((3, STEPS, 90, 90), jnp.float32)

    def run(event_frames, intensity_frames):
        inputs = {"event_frames": event_frames, "intensity_frames": intensity_frames}
        variables = SEEN().init(jax.random.key(1), **inputs)
        return observe.observe(SEEN(), variables, *inputs.values()).__dict__

    shapes = {name: x.shape for name, x in jax.eval_shape(run, frames, frames).items()}
    assert shapes == {
        "attention": (3, 3), "spatial_rate": (3,), "rates": (3, STEPS, 5),
        "operations": (3, STEPS, 4), "num_neurons": (5,), "step_macs": (4,),
        "step_synapses": (4,),
    }  # fmt: skip


class Windows:
    """Eleven clips; the frames of clip c are all c, its intensity frames c + 100."""

    clips, seed = range(11), 7

    def first_windows(self, clips):
        frames = np.zeros((len(clips), STEPS, 4, 4), np.uint8)
        frames += clips.astype(np.uint8)[:, None, None, None]
        return frames, frames + 100


def test_each_observed_clip_gets_its_own_window(monkeypatch):
    def means(model, variables, event_frames, intensity_frames):
        x, y = event_frames.mean(axis=(1, 2, 3)), intensity_frames.mean(axis=(1, 2, 3))
        rates = jnp.zeros((len(x), STEPS, 5))
        sizes = jnp.ones(5), jnp.ones(4), jnp.ones(4)
        return activity.Activity(x, y, rates, rates[..., :4], *sizes)

    monkeypatch.setattr(observe, "observe", means)
    monkeypatch.setattr(observe, "BATCH_SIZE", 3)  # 4 batches for 11, the last of 2
    for most, expected in ((128, 11), (4, 4)):
        clips, summary = observe.observe_clips(SEEN(), None, Windows(), most)
        assert len({*clips.tolist()}) == expected and sorted(clips) == clips.tolist()
        values = clips.astype(np.uint8)
        np.testing.assert_allclose(
            summary.attention, normalise_events(values), rtol=1e-5
        )
        np.testing.assert_allclose(
            summary.spatial_rate, normalise_intensity(values + 100), rtol=1e-5
        )


def by_hand():
    """Two clips, two steps: 1000 neurons in LIF3, 10, 20, 256 and 7 in the others."""
    return activity.Activity(
        attention=np.full((2, 3), 1 / 3),
        spatial_rate=np.array([0.0, 1.0]),
        rates=np.full((2, 2, 5), 0.5),
        operations=np.arange(16.0).reshape(2, 2, 4),
        num_neurons=np.array([10, 20, 1000, 256, 7]),
        step_macs=np.array([100, 200, 300, 400]),
        step_synapses=np.array([50, 150, 300, 400]),  # half and a quarter is padding
    )


def test_estimate_by_hand():
    estimate = efficiency.estimate(by_hand(), num_parameters=5, macs=1_000_000)
    assert estimate["layer_macs"] == {
        "conv2_f2": 200, "conv3_f2": 400, "fc1": 600, "fc2": 800,
    }  # fmt: skip
    assert [*estimate["layer_synapses"].values()] == [100, 300, 600, 800]
    assert estimate["spiking_macs"] == 2000
    assert estimate["neuron_updates"] == 2 * 1293 + 1000
    # Sums over the steps: 0 + 4, 8 + 12: mean 12; then two more from layer to layer.
    assert estimate["operations"] == {
        "conv2_f2": 12, "conv3_f2": 14, "fc1": 16, "fc2": 18,
    }  # fmt: skip
    assert estimate["image_energy_uj"] == pytest.approx(998_000 * 4.6 / 1e6)
    assert estimate["energy_uj"] == pytest.approx((1_001_586 * 4.6 + 60 * 0.9) / 1e6)
    assert estimate["dense_energy_uj"] == pytest.approx(4.6)
    assert (estimate["spatial_rate"], estimate["num_clips"]) == (0.5, 2)
    # Of 1800 synapses of a window, padding left out; fc1, with 600, may see two spikes.
    assert estimate["spikes_per_input"] == pytest.approx(60 / 1800)
    assert estimate["most_spikes_per_input"] == pytest.approx(2400 / 1800)


def test_what_is_not_of_the_same_network():
    with pytest.raises(AssertionError, match="in 1999: not of the same network"):
        efficiency.estimate(by_hand(), num_parameters=5, macs=1999)


@pytest.mark.parametrize(
    "way, dense_passes", [("all_at_once", 1), ("frame_by_frame", 2)]
)
def test_at_the_break_even_rate_both_cost_the_same(way, dense_passes):
    """Fires at exactly that rate, and compares the energies themselves."""
    few = dataclasses.replace(by_hand(), num_neurons=np.ones(5, int))
    rate = efficiency.estimate(few, 5, 2000)[f"break_even_{way}"]
    operations = np.broadcast_to(rate * few.step_synapses, (2, 2, 4))
    spiking = efficiency.estimate(
        dataclasses.replace(few, operations=operations), 5, 2000
    )
    assert spiking["spikes_per_input"] == pytest.approx(rate)
    # Two dense passes are 2000 of the multiply-accumulates, one is 1000 of them.
    assert spiking["energy_uj"] == pytest.approx(
        spiking["dense_energy_uj"] * dense_passes / 2
    )


def test_as_text():
    facts = efficiency.estimate(by_hand(), num_parameters=5, macs=1_000_000)
    text = efficiency.to_text(facts)
    assert max(map(len, text.splitlines())) <= efficiency.WIDTH
    plain = " ".join(text.split())
    assert "addition 0.9 pJ; a multiply-accumulate is both, 4.6 pJ." in plain
    assert "Horowitz" in plain and "mean over 2 clips of the first pass" in plain
    assert "of which 100 % in the layers on images" in plain
    assert "comparison and reset are left out" in plain
    assert "LIF1 to LIF5 are" in plain and "J_s are" in plain
    assert "LIF1                 0.5000 0.5000" in text
    assert "fc1 from LIF3 + J_s          0.000     0.001     0.001" in text
    assert "carries 0.0333 spikes per time step on average" in plain
    assert "If all neurons fired, it would carry 1.33" in plain
    # 2000 MACs of 4.6 pJ; 3586 of the neurons alone cost more than that.
    one, other = "if they read one event frame at a time", "all event frames at once"
    never = "spikes never save energy, since updating the neurons alone costs more."
    both = f"0.0 µJ {one} and 0.0 µJ if they read {other}"
    assert f"dense ones would take {both}: {never}" in plain
    facts |= {"break_even_frame_by_frame": 1.34, "break_even_all_at_once": 1.29}
    facts |= {
        "spiking_macs": 3_000_000
    }  # 13.8 µJ, and half of it of both steps at once
    plain = " ".join(efficiency.to_text(facts).split())
    always = "spikes would save energy even if every neuron fired at every step"
    below = "spikes save energy as long as an input carries less than 1.29."
    assert f"13.8 µJ {one}: {always}; 6.9 µJ if they read {other}: {below}" in plain
    facts |= {"break_even_all_at_once": 1.35}
    plain = " ".join(efficiency.to_text(facts).split())
    assert plain.count(always) == 1  # of both


@pytest.mark.parametrize("change", [{"rates": 3}, {"macs": "1"}, {"layer_macs": {}}])
def test_what_cannot_be_said_is_not_of_the_form(change):
    facts = efficiency.estimate(by_hand(), 5, 1_000_000)
    assert efficiency.is_form(facts)
    assert not efficiency.is_form(facts | change)
    assert not efficiency.is_form([])


def test_batches_are_joined_in_order():
    first, second = by_hand(), by_hand()
    second.attention[:], second.rates[:] = 0.5, 0.25
    joined = activity.join([first, second], 3)
    np.testing.assert_array_equal(joined.attention[:, 0], [1 / 3, 1 / 3, 0.5])
    np.testing.assert_array_equal(joined.rates[:, 1, 4], [0.5, 0.5, 0.25])
    assert joined.operations.shape == (3, 2, 4)
    assert joined.num_neurons.tolist() == first.num_neurons.tolist()
