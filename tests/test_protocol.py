"""Every clip counts once a pass, whatever the number of clips and the batch size."""

import numpy as np
import pytest

from seen_jax import protocol
from seen_jax.data.batches import Batches
from seen_jax.data.store import open_store
from seen_jax.data.windows import Setting
from seen_jax.errors import UserError
from tests.helpers import memory_records

SETTING = Setting(4, 1)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    def make(num_clips):
        folder = tmp_path_factory.mktemp("records")
        return open_store(memory_records(folder, [9] * num_clips))

    return {num_clips: make(num_clips) for num_clips in (1, 5, 8)}


def make(store, batch_size, seed=0, purpose="eval"):
    return Batches(store, store.clips, SETTING, batch_size, seed, purpose)


def evaluate(predict, batches, num_passes):
    shown = batches.iterate(0, num_passes * len(batches))
    answers = ((batch, predict(batch)) for batch in shown)
    return protocol.evaluate(answers, len(batches.clips), num_passes)


def look(batch):
    """Stands for a network: two numbers that depend on the window's pixels."""
    event = batch["event_frames"].mean(axis=(1, 2, 3), dtype=np.float64)
    intensity = batch["intensity_frames"].mean(axis=(1, 2, 3), dtype=np.float64)
    return np.stack([event, intensity], axis=1) / 255


@pytest.mark.parametrize("batch_size", [1, 3, 8, 20])
@pytest.mark.parametrize("num_clips", [1, 5, 8])
def test_every_clip_once_whatever_the_batch_size(stores, num_clips, batch_size):
    store, seen = stores[num_clips], []

    def predict(batch):
        seen.extend(batch["clip"][batch["mask"]])
        return look(batch)

    predicted = evaluate(predict, make(store, batch_size, 3), 3)
    assert sorted(seen) == sorted([*range(num_clips)] * 3)
    assert predicted.shape == (3, num_clips, 2)
    alone = evaluate(look, make(store, 1, 3), 3)
    np.testing.assert_array_equal(predicted, alone)


def test_a_pass_is_an_epoch_of_the_batches(stores):
    batches = make(stores[5], 3, 7)
    for num_passes in (4, 2):  # fewer are the first ones
        predicted = evaluate(look, batches, num_passes)
        for of_pass in range(num_passes):
            rows = [look(batches.batch(of_pass * len(batches) + i)) for i in (0, 1)]
            np.testing.assert_array_equal(predicted[of_pass], np.concatenate(rows)[:5])
    assert not np.array_equal(predicted[0], predicted[1])  # fresh windows


def test_what_fills_a_batch_up_is_dropped_unseen(stores):
    def predict(batch):
        return np.where(batch["mask"][:, None], look(batch), np.nan)

    assert np.isfinite(evaluate(predict, make(stores[5], 4, 7), 1)).all()


@pytest.mark.parametrize(
    "predict, message",
    [
        (lambda batch: look(batch)[:2], r"probabilities \(3, K\), got shape \(2, 2\)"),
        (lambda batch: look(batch)[:, 0], r"probabilities \(3, K\), got shape \(3,\)"),
        (lambda batch: look(batch) * np.nan, "expected finite probabilities"),
    ],
)
def test_predictions_of_another_form(stores, predict, message):
    with pytest.raises(ValueError, match=message):
        evaluate(predict, make(stores[5], 3, 0), 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda batches: list(batches)[:-1],  # one is missing
        lambda batches: [*batches, *batches][:4],  # the first pass twice
        lambda batches: [x | {"clip": x["clip"] * 0} for x in batches],
    ],
)
def test_every_clip_must_be_shown_once_a_pass(stores, change):
    batches = make(stores[5], 3)
    shown = change(batches.iterate(0, 2 * len(batches)))
    with pytest.raises(UserError, match="expected each of 5 clips once in each of 3"):
        protocol.evaluate(((x, look(x)) for x in shown), 5, 3)
    with pytest.raises(UserError, match="passes: expected 1 to 10000, got 0"):
        protocol.evaluate((), 5, 0)
