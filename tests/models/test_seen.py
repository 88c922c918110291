"""The contract of SEEN and its options, on images of 22 x 22 (11, 6, then 2 left)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from seen_jax.data.windows import intensity_places
from seen_jax.models.seen import SEEN, STAGES
from tests.models import variables as variables_lib
from tests.models.variables import MASK, assert_same, draw, halves, learn

SIZE, T = 22, 3


windows = partial(variables_lib.windows, size=SIZE, num_event_frames=T)


def make(model=None):
    return draw(model or SEEN(), windows())


def names(variables):
    return {path.split("/")[0] for path in flat(variables["params"])}


flat = partial(traverse_util.flatten_dict, sep="/")


@pytest.fixture(scope="module")
def variables():
    return make()


@pytest.mark.parametrize("size, fused", [(1, 512), (22, 2048), (91, 18432)])
def test_sizes_follow_from_the_input(size, fused):
    inputs, model = windows(size=size, batch=1), SEEN(num_classes=5)
    variables = jax.eval_shape(model.init, jax.random.key(0), **inputs)
    assert variables["params"]["fc1"]["kernel"].shape == (fused, 256)
    logits = jax.eval_shape(model.apply, variables, **inputs)
    assert logits.shape == (1, 5)


def test_parameters_have_the_type_of_the_inputs():
    with jax.enable_x64(True):
        inputs = windows()  # in float64
        variables = jax.eval_shape(SEEN().init, jax.random.key(0), **inputs)
        assert variables["params"]["fc1"]["kernel"].dtype == np.float64
        assert variables["batch_stats"]["mlp_f1"]["norm"]["var"].dtype == np.float64


def test_capture_shows_every_layer():
    with jax.enable_x64(True):
        variables, inputs = make(), windows()
        run = jax.jit(partial(SEEN().apply, capture=True))
        logits, captured = jax.device_get(run(variables, **inputs))
        rates, means = map(np.asarray, (captured.spike_rates, captured.membrane_means))
    agrees = partial(np.testing.assert_allclose, rtol=1e-9)
    agrees(captured.attention.sum(axis=1), np.ones(4))
    assert captured.spatial.spike.shape == (4, 1, 2, 2, 512)
    shapes = [lif.membrane.shape[2:] for lif in captured.temporal]
    assert shapes == [(11, 11, 64), (6, 6, 256), (2, 2, 512), (256,), (7,)]
    assert {lif.spike.shape[:2] for lif in captured.temporal} == {(4, T)}
    assert rates.shape == means.shape == (1 + 5 * T,)
    agrees(rates[1 + 5 * 2 + 1], captured.temporal[1].spike[:, 2].mean())
    agrees(means[0], captured.spatial.membrane.mean())
    assert all(0.02 < rate < 0.98 for rate in rates), "a layer is silent"
    agrees(logits, captured.temporal[4].membrane.mean(axis=1))


def temporal_gradient(model, variables):
    """Differentiates branch T alone, by its parameters and by S's attention."""
    frames = windows()["event_frames"]

    def loss(params, attention):
        how = {"train": True, "mask": None, "mutable": ["batch_stats"]}
        how["method"], now = SEEN.temporal_branch, {**variables, "params": params}
        layers, _ = model.apply(now, frames, attention, **how)
        return sum(lif.spike.sum() + lif.membrane.sum() for lif in layers)

    attention = jnp.full((4, 3), 1 / 3)
    return jax.jit(jax.grad(loss, argnums=(0, 1)))(variables["params"], attention)


@pytest.mark.parametrize(
    "options, learning",
    [
        ({}, set()),
        ({"kernels": "own"}, {f"{name}_t/kernel" for name in STAGES}),
        ({"kernels": "shared"}, {f"{name}/kernel" for name in STAGES}),
        ({"attention": "own"}, {f"mlp_f{i}_t/score/kernel" for i in (1, 2, 3)}),
    ],
)
def test_what_learns_through_the_temporal_branch(options, learning):
    model = SEEN(**options)
    gradient, by_attention = temporal_gradient(model, make(model))
    assert not by_attention.any()
    learns = {name for name, x in flat(gradient).items() if x.any()}
    own = {name for name in learns if name.startswith("mlp_f") and "_t/" in name}
    assert learning <= learns and learns - own == learning - own


@pytest.mark.parametrize(
    "option, value, mixed, added",
    [
        ("intensity", "first", 3, set()),
        ("intensity", "first_and_second", 6, set()),
        ("intensity", "all", 3 * T, set()),
        ("kernels", "own", 6, {f"{name}_t" for name in STAGES}),
        ("kernels", "shared", 6, set()),
        ("attention", "own", 6, {"mlp_f1_t", "mlp_f2_t", "mlp_f3_t"}),
        ("readout", "last_membrane", 6, set()),
        ("readout", "last_spike", 6, set()),
        ("readout", "mean_spike", 6, set()),
    ],
)
def test_an_option_changes_one_thing(variables, option, value, mixed, added):
    model = SEEN(**{option: value})
    inputs = windows(intensity=value if option == "intensity" else "first_and_last")
    changed = jax.eval_shape(model.init, jax.random.key(0), **inputs)
    assert names(changed) - names(variables) == added
    assert names(variables) <= names(changed)
    assert changed["params"]["conv0"]["kernel"].shape == (1, 1, mixed, 3)
    assert jax.eval_shape(model.apply, changed, **inputs).shape == (4, 7)


@pytest.mark.parametrize(
    "intensity, num_event_frames, least",
    [("first_and_second", 1, 2), ("first_and_last", 0, 1), ("all", 0, 1)],
)
def test_windows_too_short_for_an_option(intensity, num_event_frames, least):
    message = f"num_event_frames: expected {least} or more, .* got {num_event_frames}"
    with pytest.raises(ValueError, match=message):
        intensity_places(intensity, num_event_frames)
    assert intensity_places("first_and_last", 1) == (0, 0)


@pytest.fixture(scope="module")
def learned():
    """What `learn` gives for a batch, with BatchNorm in both branches, in float64."""
    with jax.enable_x64(True):
        inputs = windows()
        variables = draw(SEEN(attention="own"), inputs)
        run = jax.jit(partial(learn, model=SEEN(attention="own")))
        return variables, inputs, run, run(variables, inputs, MASK)


def test_masked_examples_count_for_nothing(learned):
    variables, inputs, run, (logits, *rest) = learned
    with jax.enable_x64(True):
        others = jax.tree.map(lambda x: x.at[2].multiply(-5), inputs)
        got, *got_rest = run(variables, others, MASK)
        assert_same((got[MASK], *got_rest), (logits[MASK], *rest))
        assert not np.allclose(got[2], logits[2])


def test_two_devices_share_the_statistics_of_the_whole_batch(learned):
    variables, inputs, _, (logits, *rest) = learned
    with jax.enable_x64(True):
        model = SEEN(attention="own", axis_name="devices")
        run = jax.pmap(partial(learn, model=model), "devices", in_axes=(None, 0, 0))
        got, *got_rest = run(variables, *halves((inputs, MASK)))
        assert_same(got.reshape(4, 7), logits)
        for device in (0, 1):
            on_device = jax.tree.map(lambda x, i=device: x[i], got_rest)
            assert_same(on_device, rest)


def test_inputs_that_do_not_fit_are_named(variables):
    good = windows(batch=2)
    event, intensity = good["event_frames"], good["intensity_frames"]
    with jax.enable_x64(True):
        event64 = jnp.asarray(np.zeros(event.shape))
        intensity64 = jnp.asarray(np.zeros(intensity.shape))
    for change, message in [
        ({"event_frames": event[0]}, r"event_frames: expected \(B, T, H, W\).*got"),
        ({"event_frames": event[..., :9]}, r"event_frames: .* with H = W, got float32"),
        ({"event_frames": event.astype(jnp.uint8)}, "event_frames: .*floats.*uint8"),
        ({"event_frames": event[:1]}, r"intensity_frames: expected \(1, 2, 22, 22\)"),
        ({"intensity_frames": intensity[:, :1]}, r"first_and_last.*\(2, 1, 22, 22\)"),
        (
            {"intensity_frames": intensity.astype(jnp.bfloat16)},
            "intensity_frames: expected float32, as event_frames, got bfloat16",
        ),
        (
            {"event_frames": event64, "intensity_frames": intensity64},
            r"params/conv0/kernel: expected float64 .*, got float32 of shape",
        ),
        (
            {name: x[:0] for name, x in good.items()},
            r"event_frames: expected B, T, H and W of 1 or more, got .* \(0, 3, 22, 22",
        ),
        ({"event_frames": event[:, :0]}, r"event_frames: expected B, T.* \(2, 0, 22"),
        ({"mask": jnp.ones(2)}, r"mask: expected bool of shape \(2,\), got float32"),
        ({"mask": jnp.ones(3, bool)}, r"mask: .*\(2,\), got bool of shape \(3,\)"),
        ({"mask": [1, 0]}, r"mask: .*\(2,\), got int32 of shape \(2,\)"),
        (
            windows(size=40, batch=2),
            r"params/fc1/kernel: expected .* \(4608, 256\), .* got .* \(2048, 256\)",
        ),
    ]:
        with jax.enable_x64(event64 is change.get("event_frames")):
            apply = partial(SEEN().apply, variables)
            with pytest.raises(ValueError, match=message):
                jax.eval_shape(lambda x, apply=apply: apply(**x), {**good, **change})


@pytest.mark.parametrize(
    "made_for, applied, message",
    [
        ({}, {"num_classes": 5}, r"params/fc2/kernel: .* \(256, 5\), .* \(256, 7\)"),
        ({}, {"kernels": "own"}, "params/conv1_f2_t/kernel: expected .*, got none"),
        ({}, {"attention": "own"}, "params/mlp_f1_t/reduce/kernel: .*, got none"),
        ({"kernels": "own"}, {}, "kernels: expected 'own', .* got 'copied'"),
        ({"attention": "own"}, {}, "attention: expected 'own', .* got 'copied'"),
    ],
)
def test_weights_of_another_option_are_named(made_for, applied, message):
    variables = jax.eval_shape(SEEN(**made_for).init, jax.random.key(0), **windows())
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(partial(SEEN(**applied).apply, **windows()), variables)


def test_one_weight_of_another_type_is_named(variables):
    changed = jax.tree.map(lambda x: x, variables)
    changed["params"]["fc2"]["bias"] = jnp.zeros(7, jnp.bfloat16)
    words = r"params/fc2/bias: expected float32 .*bfloat16"
    with pytest.raises(ValueError, match=words):
        jax.eval_shape(partial(SEEN().apply, **windows()), changed)
    del changed["batch_stats"]
    with pytest.raises(ValueError, match=r"batch_stats/mlp_f1/norm/mean: .* got none"):
        jax.eval_shape(partial(SEEN().apply, **windows()), changed)


def test_numpy_in_float64_and_lists_serve_as_elsewhere_in_jax(variables):
    wide = jax.tree.map(
        lambda x: np.asarray(x, np.float64) if x.ndim else x, jax.device_get(variables)
    )
    inputs = {name: np.asarray(x, np.float64) for name, x in windows(batch=2).items()}
    apply = partial(SEEN().apply, wide, **inputs, mask=[True, False])
    assert jax.eval_shape(apply).dtype == jnp.float32  # traced as without jit


@pytest.mark.parametrize("option", ["intensity", "kernels", "attention", "readout"])
def test_options_that_are_not_known_are_named(option):
    with pytest.raises(ValueError, match=f"{option}: expected one of .*, got 'other'"):
        SEEN(**{option: "other"}).init(jax.random.key(0), **windows())


def test_inputs_are_given_by_name(variables):
    with pytest.raises(TypeError):
        SEEN().apply(variables, *windows().values())
