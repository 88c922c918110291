"""Frames in the devices' memory: the same steps as with batches from the host."""

import itertools

import jax
import numpy as np
import pytest

from seen_jax import protocol
from seen_jax.data.batches import Batches
from seen_jax.data.store import open_store
from seen_jax.data.windows import Setting
from seen_jax.models.seen import SEEN
from seen_jax.training import resident
from seen_jax.training import state as state_lib
from seen_jax.training import step as step_lib
from seen_jax.training.optimizer import sgd
from tests.data.memory import memory_records

T, B = 2, 3
OPTIMIZER = sgd(0.05, momentum=0.9, weight_decay=1e-3)
MODEL = SEEN(axis_name=step_lib.AXIS)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Seven clips: two steps of three and one that is padded."""
    return open_store(memory_records(tmp_path_factory.mktemp("store"), [5] * 7))


def small(batch):
    """The batch with images of 18 x 18, which compile and run faster."""
    names = ("event_frames", "intensity_frames")
    return batch | {name: batch[name][..., ::5, ::5] for name in names}


def place(store):
    frames = store.event_frames[:, ::5, ::5], store.intensity_frames[:, ::5, ::5]
    return resident.place(*frames)


def batches_of(store, purpose):
    return Batches(store, Setting(T, 0), B, 1, purpose)


def initial_state():
    state = jax.device_get(state_lib.create(MODEL, OPTIMIZER, T, 0, 18))
    return step_lib.replicate(state)


def test_rows_point_at_the_images_of_the_batches(store):
    batches = batches_of(store, "train")
    rows = batches.rows(1, 5)  # from one epoch into the next
    for i, number in enumerate(range(1, 5)):
        batch = batches.batch(number)
        for name in ("label", "mask", "clip"):
            np.testing.assert_array_equal(rows[name][i], batch[name])
        for name in ("event", "intensity"):
            frames = getattr(store, f"{name}_frames")[rows[f"{name}_rows"][i]]
            np.testing.assert_array_equal(frames, batch[f"{name}_frames"])


def test_the_same_steps_however_many_are_taken_at_a_time(store):
    batches = batches_of(store, "train")
    assert len(batches) == 3
    train_step = step_lib.make_train_step(MODEL, OPTIMIZER)
    expected, sums = initial_state(), []
    for number in range(5):
        expected, one = train_step(expected, small(batches.batch(number)))
        sums.append(step_lib.first(one))
    train_steps = resident.make_train_steps(MODEL, OPTIMIZER, 3)
    frames = place(store)
    ends = []
    for divided in ([0, 3, 5], [0, 1, 3, 4, 5]):
        state, found = initial_state(), []
        for start, stop in itertools.pairwise(divided):
            state, some = train_steps(state, frames, batches.rows(start, stop))
            some = step_lib.first(some)
            found += [{k: x[i] for k, x in some.items()} for i in range(stop - start)]
        for one, other in zip(sums, found, strict=True):
            assert one.keys() == other.keys()
            for name in one:
                np.testing.assert_allclose(other[name], one[name], rtol=1e-5)
        ends.append(step_lib.first(state))
    states = map(jax.tree.leaves, (*ends, step_lib.first(expected)))
    for a, b, c in zip(*states, strict=True):
        np.testing.assert_array_equal(a, b)  # to the bit
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-6)


def test_the_same_evaluation(store):
    batches = batches_of(store, "eval")
    variables = initial_state().variables
    one = step_lib.make_predict(MODEL)
    expected = protocol.evaluate(lambda batch: one(variables, small(batch)), batches, 2)
    many = resident.make_predict(MODEL)
    frames = place(store)
    found = protocol.evaluate(
        lambda rows: many(variables, frames, rows), batches, 2, by_rows=True
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_processor_is_no_device_with_room_of_its_own():
    assert not resident.has_room(1)


class Accelerator:
    """Stands for a device with a memory of its own, and what it says of that."""

    platform = "gpu"

    def __init__(self, stats):
        self.stats = stats

    def memory_stats(self):
        return self.stats


@pytest.mark.parametrize(
    "stats, room",
    [
        ({"bytes_limit": 100, "bytes_in_use": 20}, 40),  # half of what is free
        ({"bytes_limit": 100}, 50),
        ({"bytes_in_use": 20}, -1),  # not known
        (None, -1),
    ],
)
def test_frames_may_take_half_of_what_is_free(monkeypatch, stats, room):
    monkeypatch.setattr(jax, "local_devices", lambda: [Accelerator(stats)])
    assert [resident.has_room(n) for n in (room, room + 1)] == [room >= 0, False]
