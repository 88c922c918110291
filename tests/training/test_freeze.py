"""What is frozen stays, bit by bit, and the rest trains as if it were alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import tree_leaves_with_path as leaves_with_path

from configs import default
from seen_jax.errors import UserError
from seen_jax.models.fast.network import network
from seen_jax.models.seen import SEEN
from seen_jax.training import freeze, setup, state
from seen_jax.training import step as step_lib
from seen_jax.training.optimizer import sgd
from tests.helpers import build_records
from tests.models.variables import draw, windows
from tests.training.runs import run_whole
from tests.training.steps import MASKS, SIZE, T, make_batch

PATHS = {"conv0/bias", "conv0/kernel", "fc1/kernel", "mlp_f1/norm/bias"}


@pytest.mark.parametrize(
    "patterns, expected",
    [
        ("", set()),
        ("conv*", {"conv0/bias", "conv0/kernel"}),
        ("*/bias", {"conv0/bias", "mlp_f1/norm/bias"}),
        ("conv0/bias,fc?/kernel", {"conv0/bias", "fc1/kernel"}),
    ],
)
def test_patterns(patterns, expected):
    assert freeze.match(PATHS, patterns) == expected


@pytest.mark.parametrize("patterns", ["conv*,fc2*", "fc2*,conv*", "conv*,", "CONV*"])
def test_a_pattern_that_names_nothing_is_refused_with_all_paths(patterns):
    words = f"^freeze: expected patterns of some of {', '.join(sorted(PATHS))}, got '"
    with pytest.raises(UserError, match=words):
        freeze.match(PATHS, patterns)


def test_something_must_be_left():
    with pytest.raises(UserError, match="that leave something to train, got"):
        freeze.match(PATHS, "conv*,fc*,mlp*")


def test_the_optimiser_knows_the_rest_alone():
    """With a limit of the norm, to which the frozen gradient would count."""
    plain = sgd(0.1, momentum=0.5, weight_decay=0.01)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), plain)
    gradients = {"a": jnp.array([3.0, 4.0]), "b": {"c": jnp.array([100.0])}}
    params = {"a": jnp.array([1.0, 2.0]), "b": {"c": jnp.array([3.0])}}
    partial = freeze.without(optimizer, {"b/c"})
    kept, alone = partial.init(params), optimizer.init({"a": params["a"]})
    for _ in range(2):
        shapes = [x.shape for x in jax.tree.leaves(kept)]
        assert shapes == [x.shape for x in jax.tree.leaves(alone)] == [(2,)]
        updates, kept = partial.update(gradients, kept, params)
        expected, alone = optimizer.update(
            {"a": gradients["a"]}, alone, {"a": params["a"]}
        )
        np.testing.assert_array_equal(updates["a"], expected["a"])
        params = freeze.apply_updates(params, updates)
        assert params["b"]["c"] == 3.0
    assert freeze.without(optimizer, set()) is optimizer


def test_no_bit_changes_where_a_sum_would_change_one():
    x = {"a": np.array([-0.0, 1e-45, 1.5], np.float32)}
    kept = jax.jit(freeze.apply_updates)(x, {"a": optax.MaskedNode()})
    assert np.asarray(kept["a"]).tobytes() == x["a"].tobytes()
    added = jax.jit(freeze.apply_updates)(x, {"a": jnp.zeros(3)})
    assert np.asarray(added["a"]).tobytes() != x["a"].tobytes()


FROZEN = {  # patterns, and the parts of the network that they are
    "conv*": ("conv",),
    "mlp*,fc1/*": ("mlp", "fc1"),
}


def trained(kernels, patterns, num_steps=3):
    """Returns the variables before and after some steps on two devices."""
    model = SEEN(kernels=kernels, axis_name=step_lib.AXIS)
    before = jax.device_get(draw(SEEN(kernels=kernels), windows(SIZE, 1, T), 1.0))
    frozen = freeze.match(freeze.sizes_of(before["params"]), patterns)
    optimizer = freeze.without(sgd(0.05, momentum=0.9, weight_decay=1e-3), frozen)
    opt_state = jax.device_get(optimizer.init(before["params"]))
    sizes = {x.size for x in jax.tree.leaves(before["params"])}
    assert {x.size for x in jax.tree.leaves(opt_state)} <= sizes
    now = step_lib.replicate(
        state.TrainState(np.int32(0), **before, opt_state=opt_state)
    )
    norms = freeze.FrozenNorms(model, frozen)
    step = step_lib.make_train_step(step_lib.train_step_fn(norms, optimizer))
    for number in range(num_steps):
        now, _ = step(now, make_batch(number, MASKS["uneven"]))
    return before, step_lib.first(now).variables


def changed(before, after):
    """The parts of the network of which an array is not the same in every bit."""
    pairs = zip(*map(leaves_with_path, (before, after)), strict=True)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for (path, x), (_, y) in pairs
        if np.asarray(x).tobytes() != np.asarray(y).tobytes()
    }


@pytest.mark.parametrize("patterns", FROZEN)
@pytest.mark.parametrize("kernels", ["shared", "own"])
def test_the_frozen_stay_and_the_others_learn(kernels, patterns):
    before, after = trained(kernels, patterns)
    params = freeze.sizes_of(before["params"])
    kept = {x for x in params if x.startswith(FROZEN[patterns])}
    assert changed(before["params"], after["params"]) == params.keys() - kept
    statistics = changed(before["batch_stats"], after["batch_stats"])
    assert len(statistics) == (0 if "mlp" in patterns else 9)


@pytest.mark.parametrize("make", [SEEN, network])
def test_a_frozen_norm_is_as_in_evaluation(make):
    """In training, the attention's three BatchNorms alone are otherwise."""
    inputs = windows(90, 2, 1)
    variables = draw(SEEN(), inputs, scale=1.0)
    model, paths = make(), freeze.sizes_of(variables["params"])
    options = {"train": True, "mutable": ["batch_stats"]}

    def logits(patterns):
        norms = freeze.FrozenNorms(model, freeze.match(paths, patterns))
        with jax.enable_x64(True):
            return norms.apply(variables, **inputs, **options)

    expected = model.apply(variables, **inputs)
    frozen, updated = logits("mlp*")
    np.testing.assert_allclose(frozen, expected, rtol=1e-5)
    assert not changed(updated["batch_stats"], variables["batch_stats"])
    for patterns in ("", "*/norm/scale"):
        free, updated = logits(patterns)
        assert abs(free - expected).max() > 1e-3
        assert len(changed(updated["batch_stats"], variables["batch_stats"])) == 9


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(build_records(tmp_path_factory.mktemp("freeze"), 2, (5, 8)))


def prepare(data_dir, **fields):
    config = default.get_config().to_dict() | {"data_dir": data_dir} | fields
    few = {"num_event_frames": 1, "skip": 0, "batch_size": 8, "eval_passes": 1}
    return setup.prepare(config | few)


def test_a_run_that_resumes_ends_the_same(data_dir, tmp_path, capsys):
    def train(name, num_epochs):
        task = prepare(data_dir, freeze="conv*,mlp_f1/*", num_epochs=num_epochs)
        return run_whole(task, tmp_path / name)

    begun, whole = train("whole", 2)
    train("run", 1)
    _, resumed = train("run", 2)
    assert whole.step == 4 and not changed(whole, resumed)
    params = freeze.sizes_of(begun.params)
    kept = {x for x in params if x.startswith(("conv", "mlp_f1/"))}
    assert changed(begun.params, whole.params) == params.keys() - kept
    statistics = changed(begun.batch_stats, whole.batch_stats)
    assert {path.split("/")[0] for path in statistics} == {"mlp_f2", "mlp_f3"}
    assert len(jax.tree.leaves(whole.opt_state)) == len(params) - len(kept) + 1
    count, total = sum(params[x] for x in kept), sum(params.values())
    rest = ", ".join(sorted(params.keys() - kept))  # 16 of 36
    text = f"frozen: {count:,} of {total:,} parameters: all but {rest}\n"
    assert capsys.readouterr().out.count(text) == 3


def test_a_config_that_freezes_nothing_is_refused(data_dir):
    words = r"freeze: expected patterns of some of conv0/bias, .*, got 'stem\*'; such"
    with pytest.raises(UserError, match=words):
        prepare(data_dir, freeze="stem*")
