"""FastSEEN is SEEN: values, gradients and statistics, in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax.export.convert import variables_from_torch
from seen_jax.models.baselines import CNN
from seen_jax.models.counting import count_macs
from seen_jax.models.fast import native
from seen_jax.models.fast.network import FastSEEN, network, options_of
from seen_jax.models.lif import LIF
from seen_jax.models.seen import SEEN
from seen_jax.models.surrogate import arctan
from tests import golden
from tests.models.variables import (
    MASK,
    assert_same,
    draw,
    halves,
    learn,
    whole,
    whole_windows,
    windows,
)

SMOOTH = LIF(surrogate=arctan)
OWN = {"kernels": "own", "attention": "own"}


WAYS = [{"one_by_one": x} for x in (True, False)]
if native.is_available():
    WAYS.append({"one_by_one": True, "follow_spikes": True})


def each_way(**options):
    return [FastSEEN(**way, **options) for way in WAYS]


@pytest.mark.parametrize(
    "size, batch, options",
    [
        (90, 4, {}),
        (22, 4, {"intensity": "first", "neuron": SMOOTH, "num_classes": 5}),
        # from 16 examples on, kernels are composed
        (24, 16, {"intensity": "all", "readout": "mean_spike"}),
        (22, 4, {"kernels": "shared", "neuron": SMOOTH}),
        (22, 4, {**OWN, "neuron": SMOOTH}),
    ],
)
def test_learns_as_the_plain_network(size, batch, options):
    intensity = options.get("intensity", "first_and_last")
    mask = np.resize(MASK, batch)
    with jax.enable_x64(True):
        inputs = windows(size, batch, intensity=intensity)
        variables = draw(SEEN(**options), inputs)
        plain, *fast_ones = (
            jax.jit(partial(learn, model=model))(variables, inputs, mask)
            for model in (SEEN(**options), *each_way(**options))
        )
        assert plain[0].shape == (batch, options.get("num_classes", 7))
        for fast in fast_ones:
            assert_same(fast, plain)


# Of 20 rows blocks cannot serve; from 16 examples on, kernels are composed.
@pytest.mark.parametrize("size, batch", [(22, 4), (24, 16), (20, 4)])
def test_networks_without_spikes_learn_as_with_the_plain_stem(size, batch):
    mask = np.resize(MASK, batch)
    with jax.enable_x64(True):
        inputs = windows(size, batch)
        variables = draw(CNN(), inputs)
        stems = [partial(FastSEEN, **way) for way in WAYS]
        plain, *fast_ones = (
            jax.jit(partial(learn, model=CNN(stem=stem)))(variables, inputs, mask)
            for stem in (SEEN, *stems)
        )
        for fast in fast_ones:
            assert_same(fast, plain)


def test_two_devices_learn_as_the_plain_network():
    with jax.enable_x64(True):
        inputs = windows(24)
        variables = draw(SEEN(), inputs)
        run = jax.jit(partial(learn, model=SEEN(neuron=SMOOTH)))
        expected = run(variables, inputs, MASK)
        for model in each_way(neuron=SMOOTH, axis_name="devices"):
            run = jax.pmap(partial(learn, model=model), "devices", in_axes=(None, 0, 0))
            logits, *rest = run(variables, *halves((inputs, MASK)))
            assert_same(logits.reshape(expected[0].shape), expected[0])
            for device in (0, 1):
                on_device = jax.tree.map(lambda x, i=device: x[i], rest)
                assert_same(on_device, list(expected[1:]))


# Of 16 rows, conv2_f2 leaves 4, of which blocks have 6. Of 22 it learns, above.
@pytest.mark.parametrize("size", [1, 9, 16, 45])
def test_evaluates_as_the_plain_network(size):
    with jax.enable_x64(True):
        inputs = windows(size)
        for options in ({}, OWN) if size > 9 else ({},):
            variables = draw(SEEN(**options), inputs)
            plain, *fast_ones = (
                jax.jit(model.apply)(variables, **inputs)
                for model in (SEEN(**options), *each_way(**options))
            )
            for fast in fast_ones:
                assert_same(fast, plain)


def test_float32_is_float64_where_rounding_decides_nothing():
    def run(model, dtype):
        inputs = jax.tree.map(lambda x: x.astype(dtype), whole_windows(22))
        run = jax.jit(partial(learn, model=model(neuron=SMOOTH)))
        return jax.device_get(run(whole(SEEN(), inputs), inputs, MASK))

    with jax.enable_x64(True):
        expected = run(SEEN, np.float64)
    assert len(np.unique(expected[0].round(3), axis=0)) == 4, "windows look alike"
    assert expected[2]["conv0"]["kernel"].any(), "no gradient reaches conv0"
    for model in (SEEN, FastSEEN):
        got = run(model, np.float32)
        assert got[0].dtype == np.float32
        assert_same(got, expected, rtol=1e-3)  # sixty times what rounding does here


def test_golden_numbers():
    """Of evaluation; those of training follow from learning as the plain network."""
    arrays = golden.load()
    with jax.enable_x64(True):
        variables = variables_from_torch(golden.state_dict(int(arrays["seed"])))
        for model in each_way():
            logits = jax.jit(model.apply)(variables, **golden.inputs(arrays))
            golden.agrees(logits, arrays["logits_eval"])


def test_starts_from_the_same_variables():
    inputs = {name: x.astype(np.float32) for name, x in windows(8).items()}
    plain, fast = (
        jax.jit(model.init)(jax.random.key(1, impl="rbg"), **inputs)  # compiles fast
        for model in (SEEN(**OWN), FastSEEN(**OWN))
    )
    assert_same(fast, plain, rtol=1e-6)


def test_inputs_and_weights_are_checked_as_in_the_plain_network():
    inputs = {name: x.astype(np.float32) for name, x in windows(22).items()}
    variables = draw(SEEN(), inputs)
    wrong = {**inputs, "event_frames": inputs["event_frames"][..., :9]}
    with pytest.raises(ValueError, match=r"event_frames: expected .* with H = W"):
        FastSEEN().apply(variables, **wrong)
    del variables["params"]["conv2_f2"]["kernel"]
    with pytest.raises(ValueError, match=r"params/conv2_f2/kernel: .*, got none"):
        jax.eval_shape(partial(FastSEEN().apply, **inputs), variables)


@pytest.mark.parametrize("size, capture", [(22, True), (20, False)])
def test_what_is_left_to_the_plain_network(size, capture):
    inputs = {name: x.astype(np.float32) for name, x in windows(size).items()}
    variables = jax.eval_shape(SEEN().init, jax.random.key(0), **inputs)

    def apply(model):
        fn = partial(model.apply, capture=capture)
        macs = count_macs(lambda v, x: fn(v, **x), variables, inputs)
        return macs, jax.eval_shape(fn, variables, **inputs)

    assert apply(FastSEEN()) == apply(SEEN())


def test_which_network_is_chosen(monkeypatch):
    model = network("bfloat16", readout="mean_spike", axis_name="x", num_classes=5)
    assert (type(model), model.one_by_one) == (FastSEEN, True)
    assert options_of(model) == options_of(
        SEEN(readout="mean_spike", axis_name="x", num_classes=5)
    )
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not network().one_by_one
    with pytest.raises(ValueError, match="precision: expected one of float32, bfloat"):
        network(precision="half")


def test_temporal_branch_has_no_backward_pass():
    model, inputs = FastSEEN(), {}
    for name, count in (("event_frames", 4), ("intensity_frames", 2)):
        inputs[name] = jax.ShapeDtypeStruct((1, count, 90, 90), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), **inputs)

    def macs(num_event_frames):
        def total(params, stats, inputs):
            return model.apply({"params": params, **stats}, **inputs).sum()

        shape = (1, num_event_frames, 90, 90)
        given = {**inputs, "event_frames": jax.ShapeDtypeStruct(shape, jnp.float32)}
        stats = {"batch_stats": variables["batch_stats"]}
        return count_macs(jax.grad(total), variables["params"], stats, given)

    # A frame more costs its products once, and fc1 and fc2 thrice.
    products = 42 * 42 * 49 * 64 + 36 * 9 * 576 * 256 + 36 * 2304 * 512
    assert macs(5) - macs(4) == products + 3 * (18432 * 256 + 256 * 7)
