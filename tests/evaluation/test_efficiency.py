"""Spikes, operations and energy against plain NumPy and numbers done by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax import images
from seen_jax.data.batches import Batches
from seen_jax.data.store import open_store
from seen_jax.data.windows import Setting
from seen_jax.evaluation import activity, efficiency, observe
from seen_jax.models.fast.network import network
from seen_jax.models.seen import SEEN
from tests.data.memory import memory_records

SIZE, STEPS = 16, 2


@pytest.fixture(scope="module")
def small():
    """A network on images of 16 x 16, and what it did with two windows."""
    model, key = SEEN(), jax.random.key(0)
    frames = jax.random.normal(key, (2, STEPS, SIZE, SIZE)) * 3
    inputs = {"event_frames": frames, "intensity_frames": frames}
    variables = model.init(jax.random.key(1), **inputs)
    _, seen = model.apply(variables, **inputs, capture=True)
    found = observe.observe(model, variables, frames, frames)
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


def test_macs_of_a_step(small):
    # Images of 16 x 16 become 8 x 8, 4 x 4 of 256 and 1 x 1 of 512; then 256 and 7.
    expected = [4 * 4 * 256 * 9 * 64, 512 * 9 * 256, 512 * 256, 256 * 7]
    assert small[1].step_macs.tolist() == expected
    assert small[1].num_neurons.tolist() == [8 * 8 * 64, 4 * 4 * 256, 512, 256, 7]


@pytest.mark.parametrize("num_frames, giga_macs", [(4, 0.907), (7, 1.454), (13, 2.548)])
def test_macs_are_the_published_ones_whatever_predicts(num_frames, giga_macs):
    model = network()  # leaves work out
    assert type(model) is not SEEN and type(observe.plain(model)) is SEEN
    inputs = [jax.ShapeDtypeStruct((1, n, 90, 90), jnp.float32) for n in (1, 2)]
    variables = jax.eval_shape(
        lambda x, y: model.init(jax.random.key(0), event_frames=x, intensity_frames=y),
        *inputs,
    )
    macs = observe.count_macs(model, variables, num_frames, 2)
    assert round(macs / 1e9, 3) == giga_macs


def test_fields_of_the_plain_network_are_those_of_the_given_one():
    model = network(readout="last_spike", axis_name="devices")
    plain = observe.plain(model)
    assert (plain.readout, plain.axis_name) == ("last_spike", "devices")
    assert plain.neuron is model.neuron


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    store = open_store(memory_records(tmp_path_factory.mktemp("records"), [9] * 11))
    return Batches(store, Setting(STEPS, 1), 4, 7, "eval")


def test_each_observed_clip_is_shown_its_window_of_the_first_pass(batches, monkeypatch):
    monkeypatch.setattr(observe, "BATCH_SIZE", 3)  # 4 batches for 11, the last of 2
    model = network()
    frames = jnp.zeros((1, STEPS, 90, 90))
    inputs = {"event_frames": frames, "intensity_frames": frames}
    variables = jax.jit(lambda: model.init(jax.random.key(1), **inputs))()
    clips, found = observe.observe_clips(model, variables, batches)
    assert clips.tolist() == [*range(11)]
    compiled = jax.jit(lambda *x: observe.observe(model, *x).__dict__)
    for number in range(len(batches)):
        batch = batches.batch(number)
        alone = compiled(
            variables,
            images.normalise_events(batch["event_frames"]),
            images.normalise_intensity(batch["intensity_frames"]),
        )
        rows = batch["clip"][batch["mask"]]
        for name in activity.OF_CLIPS:
            expected = np.asarray(alone[name])[batch["mask"]]
            np.testing.assert_allclose(getattr(found, name)[rows], expected, rtol=1e-5)
    assert len(np.unique(found.attention, axis=0)) == 11  # so rows can be told apart

    some, few = observe.observe_clips(model, variables, batches, 4)
    assert some.tolist() == sorted({*some.tolist()}) and len(some) == 4
    np.testing.assert_allclose(few.attention, found.attention[some], rtol=1e-5)


def by_hand():
    """Two clips, two steps: 1000 neurons in LIF3, 10, 20, 256 and 7 in the others."""
    sizes, macs = np.array([10, 20, 1000, 256, 7]), np.array([100, 200, 300, 400])
    rates = np.full((2, 2, 5), 0.5)
    operations = np.arange(16.0).reshape(2, 2, 4)
    spatial_rate = np.array([0.0, 1.0])
    return activity.Activity(
        np.full((2, 3), 1 / 3), spatial_rate, rates, operations, sizes, macs
    )


def test_estimate_by_hand():
    found = efficiency.estimate(by_hand(), num_parameters=5, macs=1_000_000)
    assert found.layer_macs == {
        "conv2_f2": 200, "conv3_f2": 400, "fc1": 600, "fc2": 800,
    }  # fmt: skip
    assert found.spiking_macs == 2000
    assert found.neuron_updates == 2 * 1293 + 1000
    # Sums over the steps: 0 + 4, 8 + 12: mean 12; then two more from layer to layer.
    assert found.operations == {
        "conv2_f2": 12, "conv3_f2": 14, "fc1": 16, "fc2": 18,
    }  # fmt: skip
    assert found.image_energy_uj == pytest.approx(998_000 * 4.6 / 1e6)
    assert found.energy_uj == pytest.approx((1_001_586 * 4.6 + 60 * 0.9) / 1e6)
    assert found.dense_energy_uj == pytest.approx(4.6)
    assert (found.spatial_rate, found.num_clips) == (0.5, 2)
    assert found.spikes_per_input == 0.03
    # fc1 has 600 of the 2000 and may see two spikes per input.
    assert found.most_spikes_per_input == 1.3


def test_what_is_not_of_the_same_network():
    with pytest.raises(AssertionError, match="in 1999: not of the same network"):
        efficiency.estimate(by_hand(), num_parameters=5, macs=1999)


@pytest.mark.parametrize("dense_passes", [1, 2])
def test_at_the_break_even_rate_both_cost_the_same(dense_passes):
    """Fires at just that rate, and compares the energies themselves."""
    some = by_hand()
    few = some.__class__(**some.__dict__ | {"num_neurons": np.array([1, 1, 1, 1, 1])})
    rate = efficiency.estimate(few, 5, 2000).break_even(dense_passes)
    each = rate * np.array([100, 200, 300, 400])  # operations of a step
    operations = np.broadcast_to(each, (2, 2, 4))
    there = few.__class__(**few.__dict__ | {"operations": operations})
    spiking = efficiency.estimate(there, 5, 2000)
    # Two dense passes are 2000 of the multiply-accumulates, one is 1000 of them.
    assert spiking.energy_uj == pytest.approx(
        spiking.dense_energy_uj * dense_passes / 2
    )


def test_as_text():
    found = efficiency.estimate(by_hand(), num_parameters=5, macs=1_000_000)
    facts = efficiency.to_json(found)
    text = efficiency.to_text(facts)
    assert max(map(len, text.splitlines())) <= efficiency.WIDTH
    plain = " ".join(text.split())
    assert "4.6 pJ a multiply-accumulate, 0.9 pJ an addition" in plain
    assert "Horowitz" in plain and "mean over 2 clips of the first pass" in plain
    assert "of which 100 % in the layers on images" in plain
    assert "comparison and reset are left out" in plain
    assert "LIF1                 0.5000 0.5000" in text
    # (2000 - 3586) MACs are left for spikes: the neurons alone cost more than that.
    assert "at any rate, to a dense network" in plain
    facts |= {"break_even_frame_by_frame": 1.31, "break_even_all_at_once": 1.29}
    plain = " ".join(efficiency.to_text(facts).split())
    assert "never (above 1.31; all neurons together give 1.30), to a dense" in plain
    assert "above 1.29, to one of the same layers" in plain


@pytest.mark.parametrize("change", [{"rates": 3}, {"macs": "1"}, {"layer_macs": {}}])
def test_what_cannot_be_said_is_not_of_the_form(change):
    facts = efficiency.to_json(efficiency.estimate(by_hand(), 5, 1_000_000))
    assert efficiency.is_form(facts)
    assert not efficiency.is_form(facts | change)
    assert not efficiency.is_form([])


def test_batches_are_joined_in_order():
    first, second = by_hand(), by_hand()
    second.attention[:], second.rates[:] = 0.5, 0.25
    found = activity.join([first, second], 3)
    np.testing.assert_array_equal(found.attention[:, 0], [1 / 3, 1 / 3, 0.5])
    np.testing.assert_array_equal(found.rates[:, 1, 4], [0.5, 0.5, 0.25])
    assert found.operations.shape == (3, 2, 4)
    assert found.num_neurons.tolist() == first.num_neurons.tolist()
