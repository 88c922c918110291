"""From fields to parts: each field arrives where it acts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import default
from seen_jax.data.records import Records
from seen_jax.data.store import Store
from seen_jax.errors import UserError
from seen_jax.models.fast import native
from seen_jax.models.fast.network import network
from seen_jax.training import fields, setup
from seen_jax.training import step as step_lib
from seen_jax.training.state import create
from tests.helpers import ROTATED, memory_records


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Twelve clips of four volunteers for every split; notes what was asked for."""
    asked = []

    def open_records(data_dir, split, dataset):
        asked.append((data_dir, split, dataset))
        options = {"split": split, "labels": ROTATED, "num_volunteers": 4}
        return memory_records(tmp_path, range(9, 21), **options)

    monkeypatch.setattr(setup, "open_records", open_records)
    return asked


def make_config(**values):
    return default.get_config().to_dict() | {"batch_size": 4, **values}


def prepare(**values):
    return setup.prepare(make_config(**values))


def test_the_published_recipe(opened):
    task = prepare()
    assert ("data/tfds", "train", "published") in opened
    assert ("data/tfds", "test", "published") in opened
    assert isinstance(task.train.images, Store)
    assert str(task.train.setting) == "E4_S3"
    assert (task.train.purpose, task.evaluation.purpose) == ("train", "eval")
    assert (task.train.seed, task.train.batch_size) == (2022, 4)
    assert task.split == "test" and set(task.fingerprints) == {"train", "test"}
    assert task.model.axis_name == "devices"
    assert task.train.clips.labels == ROTATED
    assert task.model.num_classes == len(ROTATED)
    # 12 clips in batches of 4 are 3 steps: the rate falls with the fourth.
    rates = [float(task.learning_rate(step)) for step in (0, 2, 3)]
    np.testing.assert_allclose(rates, [0.015, 0.015, 0.0141], rtol=1e-5)
    # One update from weight 1 with gradient 0: 1 - 0.015 * 0.001.
    state = task.optimizer.init(jnp.ones(1))
    update, _ = task.optimizer.update(jnp.zeros(1), state, jnp.ones(1))
    np.testing.assert_allclose(update, [-1.5e-5], rtol=1e-5)


def test_validation_leaves_the_test_split_closed(opened):
    task = prepare(select="validation", validation_volunteers=1)
    assert {split for _, split, _ in opened} == {"train"}
    assert task.split == "validation" and set(task.fingerprints) == {"train"}
    assert len(task.train.clips) == 9
    assert len(task.evaluation.clips) == 3


def test_images_from_the_records_or_a_store_elsewhere(opened, tmp_path):
    assert isinstance(prepare(images="records").train.images, Records)
    task = prepare(store_dir=str(tmp_path / "elsewhere"))
    assert task.train.images.path.parent == tmp_path / "elsewhere"


def test_records_of_the_other_split(opened, tmp_path, monkeypatch):
    (tmp_path / "by_volunteer" / "2.1.0").mkdir(parents=True)
    records = memory_records(tmp_path / "by_volunteer" / "2.1.0", [9])
    monkeypatch.setattr(setup, "open_records", lambda *_: records)
    words = "records of published, got by_volunteer; give --config.dataset=by_vol"
    with pytest.raises(UserError, match=words):
        prepare()


def test_the_default_config_is_the_published_step_to_the_bit(opened, monkeypatch):
    """The program that is compiled has the same text as one made without a config.

    But for what tells XLA in which order to compute it.
    """
    monkeypatch.setattr(native, "settled", lambda tree: tree)
    task = prepare()
    rate = optax.exponential_decay(0.015, 3, 0.94, staircase=True)
    published = optax.chain(
        optax.add_decayed_weights(1e-3),
        optax.trace(0.9),
        optax.scale_by_learning_rate(lambda step: rate(jnp.asarray(step, float))),
    )
    loss = optax.softmax_cross_entropy_with_integer_labels
    model = network(axis_name="devices")

    def lowered(model, optimizer, step):
        state = jax.eval_shape(partial(create, model, optimizer, 4), jax.random.key(0))
        batch = {name: task.train.batch(0)[name] for name in step_lib.INPUTS}
        state, batch = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), (state, batch)
        )
        return jax.pmap(step, "devices").lower(state, batch).as_text()

    text = lowered(task.model, task.optimizer, task.step)
    step = step_lib.train_step_fn(model, published, loss)
    assert text == lowered(model, published, step)
    changes = {
        "label_smoothing": 0.1,
        "class_weights": "balanced",
        "augment": "noise=1",
    }
    for field, value in changes.items():
        other = prepare(**{field: value})  # changes the step alone
        assert text != lowered(task.model, task.optimizer, other.step)


@jax.numpy_dtype_promotion("standard")  # optax's AdamW needs it
def test_the_recipe_arrives(opened):
    values = {"optimizer": "adamw", "schedule": "cosine", "warmup_epochs": 2}
    values |= {"num_epochs": 10, "learning_rate": 0.5, "momentum": 0.5}
    task = prepare(**values, weight_decay=0.1, clip_norm=1.0, label_smoothing=0.5)
    # Of 30 steps 6 are the warm-up; halfway between them and the end the rate is half.
    rates = [float(task.learning_rate(step)) for step in (0, 3, 6, 18)]
    np.testing.assert_allclose(rates, [0, 0.25, 0.5, 0.25], rtol=1e-6)
    state = task.optimizer.init(jnp.ones(1))
    _, state = task.optimizer.update(jnp.full(1, 10.0), state, jnp.ones(1))
    moments = [x for x in jax.tree.leaves(state) if x.shape == (1,)]
    # The gradient, cut to 1, by 1 - beta: mean 0.5, of the square 0.001.
    np.testing.assert_allclose(moments, [[0.5], [0.001]], rtol=1e-5)
    loss = setup.make_loss(task.config, task.train.clips)
    losses = loss(jnp.zeros((1, 7)), jnp.array([2]))
    np.testing.assert_allclose(losses, [np.log(7)], 1e-6)


def test_class_weights_are_those_of_the_training_clips(opened):
    # Of 12 clips, the first five labels of SEE have two and the last two have one.
    task = prepare(class_weights="balanced")
    counts = np.bincount(task.train.clips.label_index)
    assert sorted(counts) == [1, 1, 2, 2, 2, 2, 2]
    loss = setup.make_loss(task.config, task.train.clips)
    losses = loss(jnp.zeros((7, 7)), jnp.arange(7))
    np.testing.assert_allclose(losses, np.log(7) * 12 / 7 / counts, rtol=1e-6)


def test_a_config_that_is_older_than_some_fields(opened):
    config = make_config()
    whole = setup.prepare(config).config
    assert {name: config.pop(name) for name in fields.BEFORE} == fields.BEFORE
    assert setup.prepare(config).config == whole


@pytest.mark.parametrize(
    "intensity, count", [("first", 1), ("first_and_second", 2), ("all", 4)]
)
def test_the_batches_show_the_intensity_frames_that_the_model_takes(
    opened, intensity, count
):
    task = prepare(intensity=intensity)
    batch, names = task.train.batch(0), ("event_frames", "intensity_frames")
    assert batch["intensity_frames"].shape == (4, count, 90, 90)
    inputs = {name: batch[name].astype(np.float32) for name in names}
    jax.eval_shape(task.model.init, jax.random.key(0), **inputs)


@pytest.mark.parametrize(
    "field, value, words",
    [
        ("dataset", "mine", "dataset: expected one of published, by_volunteer, got"),
        ("surrogate", "spike", "surrogate: expected one of rectangle, triangle"),
        ("num_epochs", 0, "num_epochs: expected 1 to 1000000000, got 0"),
        (
            "learning_rate",
            float("nan"),
            "learning_rate: expected 0 to 1e.38, got nan",
        ),
        (
            "learning_rate",
            float("inf"),
            "learning_rate: expected 0 to 1e.38, got inf",
        ),
        ("learning_rate_decay", 0, "learning_rate_decay: expected 1e-09 to 1e.38, got"),
        ("select", "best", "select: expected one of last, validation, test, got"),
        ("batch_size", "4", "batch_size: expected a whole number, got '4'"),
        ("seed", 2**63, "seed: expected 0 to 9223372036854775807, got"),
        ("skip", -1, "skip: expected 0 to 1000, got -1"),
        ("num_event_frames", 10**9, "num_event_frames: expected 1 to 1000, got 10000"),
        ("network", "mlp", "network: expected one of seen, cnn, lstm, transf"),
        ("decay", 1.5, "decay: expected 0 to 1, got 1.5"),
        ("threshold", -0.1, "threshold: expected 0 to 1000, got -0.1"),
        ("threshold", "0.3", "threshold: expected a number, got '0.3'"),
        (
            "label_smoothing",
            float("nan"),
            "label_smoothing: expected 0 to 0.99, got",
        ),
        ("clip_norm", float("inf"), r"clip_norm: expected 0 to 1e\+38, got inf"),
        ("threshold", 1e300, r"threshold: expected 0 to 1000, got 1e\+300"),
        ("eval_passes", 10**20, "eval_passes: expected 1 to 10000, got 1000"),
        ("augment", "shift=4,shift=5", "augment: expected shift once, got 'shift=4,s"),
        ("optimizer", "adam", "optimizer: expected one of sgd, adamw, got 'adam'"),
        ("class_weights", "1,2", "class_weights: expected one of equal, balanced"),
    ],
)
def test_values_that_make_no_sense_are_refused(opened, field, value, words):
    with pytest.raises(ValueError, match=words):
        prepare(**{field: value})
    assert not opened


@pytest.mark.parametrize(
    "values, words",
    [
        (
            {"surrogate": "arctan", "surrogate_width": 0.5},
            "surrogate_width: expected 0, since arctan has a slope and no width, got",
        ),
        (
            {"schedule": "cosine", "num_epochs": 3, "warmup_epochs": 3},
            "warmup_epochs: expected less than num_epochs, 3, got 3; give --config.war",
        ),
        (
            {"num_event_frames": 400, "skip": 3},
            "skip: expected windows of at most 1000 frames .*, got 1597; give a sma",
        ),
        ({"network": "cnn", "kernels": "own"}, "kernels: expected 'copied', since"),
    ],
)
def test_values_that_do_not_go_together_are_refused(opened, values, words):
    with pytest.raises(UserError, match=words):
        prepare(**values)
    assert not opened
