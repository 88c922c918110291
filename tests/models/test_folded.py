"""FoldedSEEN is SEEN: values, gradients and statistics, in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax.export.convert import torch_from_variables, variables_from_torch
from seen_jax.models import folded
from seen_jax.models.blocks import compose, conv2, conv3, folds, grid
from seen_jax.models.counting import count_macs
from seen_jax.models.folded import FoldedSEEN, network
from seen_jax.models.lif import LIF
from seen_jax.models.seen import SEEN
from seen_jax.models.surrogate import arctan
from seen_jax.training import step
from seen_jax.training.optimizer import learning_rate_by_epoch, sgd
from seen_jax.training.state import TrainState
from tests import golden
from tests.models.variables import draw

MASK = np.array([True, True, False, True])
agrees = partial(np.testing.assert_allclose, rtol=1e-9)


def windows(size, batch=4, num_event_frames=2, num_intensity_frames=2):
    rng = np.random.default_rng(0)
    shape = (batch, num_event_frames, size, size)
    return {
        "event_frames": jnp.asarray(rng.normal(size=shape)),
        "intensity_frames": jnp.asarray(
            rng.normal(size=(batch, num_intensity_frames, size, size))
        ),
    }


def learn(variables, inputs, mask, model):
    """Returns logits, new statistics and the gradient of the examples kept."""

    def loss(params):
        logits, updates = model.apply(
            {**variables, "params": params},
            **inputs,
            train=True,
            mask=mask,
            mutable=["batch_stats"],
        )
        weights = jnp.arange(1.0, 1.0 + logits.shape[1], dtype=logits.dtype)
        return jnp.where(mask, logits @ weights, 0).sum(), (logits, updates)

    gradient, (logits, updates) = jax.grad(loss, has_aux=True)(variables["params"])
    if model.axis_name is not None:
        gradient = jax.lax.psum(gradient, model.axis_name)
    return logits, updates, gradient


def assert_same(got, expected):
    """Compares trees; what is zero but for rounding is so in both."""

    def same(path, a, b):
        scale = np.abs(b).max() + 1e-3
        np.testing.assert_allclose(
            a, b, rtol=1e-9, atol=1e-10 * scale, err_msg=jax.tree_util.keystr(path)
        )

    jax.tree_util.tree_map_with_path(same, got, expected)


@pytest.mark.parametrize(
    "size, options, compose_from, num_devices, backend",
    [
        (90, {}, 1, 1, "cpu"),
        (90, {}, 16, 1, "gpu"),  # examples all at once
        (22, {"intensity": "first", "neuron": LIF(surrogate=arctan)}, 1, 2, "cpu"),
        (22, {"neuron": LIF(surrogate=arctan)}, 1, 2, "gpu"),
        # conv2_f2 leaves 4 rows here, of which blocks have 6
        (16, {"intensity": "all", "readout": "mean_spike"}, 16, 1, "cpu"),
    ],
)
def test_learns_as_the_plain_network(
    monkeypatch, size, options, compose_from, num_devices, backend
):
    monkeypatch.setattr(folded, "COMPOSE_FROM", compose_from)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)  # `each` asks it
    count = 1 if options.get("intensity") == "first" else 2
    with jax.enable_x64(True):
        inputs = windows(size, num_intensity_frames=count)
        variables = draw(SEEN(**options), inputs)
        run = jax.jit(partial(learn, model=SEEN(**options)))
        expected = run(variables, inputs, MASK)
        if num_devices == 1:
            run = jax.jit(partial(learn, model=FoldedSEEN(**options)))
            assert_same(run(variables, inputs, MASK), expected)
            return
        run = partial(learn, model=FoldedSEEN(axis_name="devices", **options))
        run = jax.pmap(run, "devices", in_axes=(None, 0, 0))
        logits, *rest = run(variables, *jax.tree.map(halves, (inputs, MASK)))
        assert_same(logits.reshape(expected[0].shape), expected[0])
        for device in (0, 1):
            assert_same(
                jax.tree.map(lambda x, i=device: x[i], rest), list(expected[1:])
            )


def halves(x):
    return x.reshape(2, 2, *x.shape[1:])


def test_golden_numbers():
    arrays = golden.load()
    weights = golden.state_dict(int(arrays["seed"]))
    rate = learning_rate_by_epoch(0.015, decay=0.94, steps_per_epoch=1)
    optimizer = sgd(rate, momentum=0.9, weight_decay=1e-3)
    with jax.enable_x64(True):
        variables, inputs = variables_from_torch(weights), golden.inputs(arrays)
        logits = jax.jit(FoldedSEEN().apply)(variables, **inputs)
        agrees(logits, arrays["logits_eval"])
        batch = {
            "event_frames": arrays["event_frames"],
            "intensity_frames": arrays["intensity_frames"][:, [0, -1]],
            "label": arrays["labels"].astype(np.int32),
            "mask": np.ones(4, bool),
        }
        model = FoldedSEEN(axis_name=step.AXIS)
        train_step = step.make_train_step(model, optimizer)
        opt_state = optimizer.init(variables["params"])
        state = TrainState(np.zeros((), np.int32), **variables, opt_state=opt_state)
        state, losses = step.replicate(state), []
        for _ in range(5):
            state, sums = train_step(state, batch)
            losses.append(sums["loss"][0] / sums["count"][0])
        agrees(losses, arrays["losses"])
        after = torch_from_variables(step.first(state).variables)
    for name, value in after.items():
        if name.endswith(("running_mean", "running_var")):
            agrees(value, arrays[f"after_buffer/{name}"])
        elif not name.endswith("num_batches_tracked"):
            agrees(np.linalg.norm(value), arrays[f"after/{name}/norm"])
            values = value.ravel()[arrays[f"index/{name}"]]
            agrees(values, arrays[f"after/{name}/at"], err_msg=name)


def test_starts_from_the_same_variables():
    inputs = {name: x.astype(np.float32) for name, x in windows(8).items()}
    plain, made = (
        jax.jit(model.init)(jax.random.key(1, impl="rbg"), **inputs)  # compiles fast
        for model in (SEEN(), FoldedSEEN())
    )
    jax.tree.map(np.testing.assert_array_equal, made, plain)


def test_inputs_and_weights_are_checked_as_in_the_plain_network():
    inputs = {name: x.astype(np.float32) for name, x in windows(22).items()}
    variables = draw(SEEN(), inputs)
    wrong = {**inputs, "event_frames": inputs["event_frames"][..., :9]}
    with pytest.raises(ValueError, match=r"event_frames: expected .* with H = W"):
        FoldedSEEN().apply(variables, **wrong)
    del variables["params"]["conv2_f2"]["kernel"]
    with pytest.raises(ValueError, match=r"params/conv2_f2/kernel: .*, got none"):
        jax.eval_shape(partial(FoldedSEEN().apply, **inputs), variables)
    with pytest.raises(ValueError, match=r"kernels: expected one of copied, got 'own'"):
        FoldedSEEN(kernels="own").init(jax.random.key(0), **inputs)


@pytest.mark.parametrize("size, capture", [(22, True), (20, False)])
def test_what_is_left_to_the_plain_network(size, capture):
    # 20 -> 10 -> 5 rows: rows 3, 4 and 5 of conv2_f2 are a block, of which 5 is padding
    # but would read row 9 of the first stage.
    assert folds(22) and not folds(20)
    inputs = {name: x.astype(np.float32) for name, x in windows(size).items()}
    variables = jax.eval_shape(SEEN().init, jax.random.key(0), **inputs)

    def apply(model):
        fn = partial(model.apply, capture=capture)
        macs = count_macs(lambda v, x: fn(v, **x), variables, inputs)
        return macs, jax.eval_shape(fn, variables, **inputs)

    assert apply(FoldedSEEN()) == apply(SEEN())


def test_which_network_is_chosen():
    assert type(network(readout="mean_spike", axis_name="x")) is FoldedSEEN
    for option in ({"kernels": "own"}, {"kernels": "shared"}, {"attention": "own"}):
        assert type(network(**option)) is SEEN


def test_places_of_the_published_size():
    places = grid(90)
    # 6 blocks of 7 rows less the 3 before the image; likewise conv2_f2's 6 * 3 - 1.
    assert places.first.sum() == 39 * 39
    assert places.second.sum() == 17 * 17
    # Block 1's row 0 is 8 - 3 = 5, its middle pixel in row 10; column 1 of block 2, 14.
    assert places.pixels[1, 2, 0, 1].reshape(7, 7)[3, 3] == 10 * 90 + 2 * 14
    assert (places.pixels[0, 0, 2, 3] == -1).all()
    # Row 3 of the kernel sees every second row, all inside; row 0 begins 3 before.
    assert set(places.moments[:, 3]) == {0, 1 / 45}
    np.testing.assert_allclose(places.moments.sum(axis=0)[[0, 3]], [43 / 45, 1])


def test_composed_kernel_is_one_after_the_other():
    rng = np.random.default_rng(0)
    shapes = [(5, 7, 7, 2), (3, 3, 2, 3), (3, 3, 3, 4)]
    x, kernel2, kernel3 = (rng.normal(size=shape) for shape in shapes)

    @jax.jit
    def difference(x, kernel2, kernel3):
        got = x.reshape(5, -1) @ compose(kernel2, kernel3)
        return got - conv3(conv2(x, kernel2), kernel3)

    with jax.enable_x64(True):
        assert np.abs(difference(x, kernel2, kernel3)).max() < 1e-12


def test_temporal_branch_has_no_backward_pass():
    model, inputs = FoldedSEEN(), {}
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
