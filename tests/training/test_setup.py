"""From fields to parts: each field arrives where it acts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from seen_jax.data.records import Records
from seen_jax.data.store import Store
from seen_jax.errors import UserError
from seen_jax.models import networks, surrogate
from seen_jax.training import setup
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


def make_config(**fields):
    return default.get_config().to_dict() | {"batch_size": 4, **fields}


def prepare(**fields):
    return setup.prepare(make_config(**fields), "devices")


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


@pytest.mark.parametrize(
    "intensity, count", [("first", 1), ("first_and_second", 2), ("all", 4)]
)
def test_the_batches_show_the_intensity_frames_that_the_model_takes(
    opened, intensity, count
):
    task = prepare(intensity=intensity)
    batch = task.train.batch(0)
    assert batch["intensity_frames"].shape == (4, count, 90, 90)
    jax.eval_shape(
        task.model.init,
        jax.random.key(0),
        event_frames=batch["event_frames"].astype(np.float32),
        intensity_frames=batch["intensity_frames"].astype(np.float32),
    )


def test_the_models_options_arrive():
    config = make_config(
        kernels="own", attention="own", readout="mean_spike", surrogate="arctan"
    )
    model = networks.make(config, 5)
    options = model.num_classes, model.kernels, model.attention, model.readout
    assert options == (5, "own", "own", "mean_spike")
    assert model.neuron.surrogate is surrogate.arctan


def test_the_classes_are_those_of_the_records(opened):
    task = prepare()
    assert task.train.clips.labels == ROTATED
    assert task.model.num_classes == len(ROTATED)


@pytest.mark.parametrize(
    "field, value, words",
    [
        ("dataset", "mine", "dataset: expected one of published, by_volunteer, got"),
        ("surrogate", "spike", "surrogate: expected one of rectangle, triangle"),
        ("num_epochs", 0, "num_epochs: expected 1 or more, got 0"),
        ("learning_rate", float("nan"), "learning_rate: expected 0 or more, got nan"),
        ("learning_rate", float("inf"), "learning_rate: expected 0 or more, got inf"),
        (
            "learning_rate_decay",
            0,
            "learning_rate_decay: expected 1e-09 or more, got 0",
        ),
        ("batch_size", "4", "batch_size: expected a whole number, got '4'"),
        ("seed", 2**63, "seed: expected less than"),
        ("skip", -1, "skip: expected 0 or more, got -1"),
    ],
)
def test_values_that_make_no_sense_are_refused(opened, field, value, words):
    with pytest.raises(ValueError, match=words):
        prepare(**{field: value})
    assert not opened
