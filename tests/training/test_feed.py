"""Images on the devices or on the host: the same steps on the same batches."""

import itertools
from dataclasses import replace

import jax
import numpy as np
import pytest

from seen_jax import protocol
from seen_jax.data.batches import Batches
from seen_jax.data.store import open_store
from seen_jax.data.windows import Setting
from seen_jax.training import feed as feed_lib
from seen_jax.training import step as step_lib
from tests.helpers import memory_records
from tests.training.steps import MODEL, STEP, T, initial_state

B, NUM_CLIPS = 3, 4


@pytest.fixture(autouse=True)
def float64():
    """In float32 another order of a sum may fire a neuron, and two runs part."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Four clips: a step of three and one that is padded."""
    folder = tmp_path_factory.mktemp("store")
    return open_store(memory_records(folder, [5] * NUM_CLIPS))


def small(batch):
    """The batch with images of 18 x 18, which compile and run faster."""
    names = ("event_frames", "intensity_frames")
    return batch | {name: batch[name][..., ::5, ::5] for name in names}


def small_store(store):
    names = ("event_frames", "intensity_frames")
    return replace(store, **{x: getattr(store, x)[:, ::5, ::5] for x in names})


def batches_of(store, purpose):
    return Batches(store, store.clips, Setting(T, 0), B, 1, purpose)


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


def test_the_same_steps_and_passes_wherever_the_images_wait(store):
    """On the devices also however the steps of an epoch are divided, to the bit."""
    store, runs = small_store(store), {}
    batches = [batches_of(store, purpose) for purpose in ("train", "eval")]
    for images, *divisions in (("store", [0, 2]), ("device", [0, 2], [0, 1, 2])):
        train, shown = feed_lib.make_feeds(images, *batches)
        assert (train.frames is None) == (shown.frames is None) == (images == "store")
        take = train.make_train(STEP)
        for division in divisions:
            state, losses = step_lib.replicate(initial_state()), []
            for start, stop in itertools.pairwise(division):
                for new_state, num_steps, sums in take(state, start, stop):
                    state, sums = new_state, step_lib.first(sums)
                    losses += np.atleast_1d(sums["loss"])[:num_steps].tolist()
            runs[images, len(division)] = step_lib.first(state), losses
        passes = shown.make_predict(MODEL)(state.variables, 2)
        runs[images] = protocol.evaluate(passes, NUM_CLIPS, 2)

    (expected, losses), (whole, _) = runs["store", 2], runs["device", 2]
    divided, divided_losses = runs["device", 3]
    assert len(losses) == 2 and runs["store"].shape == (2, NUM_CLIPS, 7)
    np.testing.assert_allclose(divided_losses, losses, rtol=1e-9)
    np.testing.assert_allclose(runs["device"], runs["store"], rtol=1e-9)
    states = map(jax.tree.leaves, (whole, divided, expected))
    for a, b, c in zip(*states, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "images, room, there",
    [
        ("auto", True, True),
        ("auto", False, False),
        ("device", False, True),
        ("store", True, False),
        ("records", True, False),
    ],
)
def test_where_images_wait(store, monkeypatch, images, room, there):
    asked = []
    monkeypatch.setattr(feed_lib, "has_room", lambda x: asked.append(x) or room)
    feeds = feed_lib.make_feeds(
        images, *map(batches_of, (store, store), ("train", "eval"))
    )
    for feed in feeds:
        assert (feed.frames is not None) == there
    if there:
        assert feeds[0].frames is feeds[1].frames  # one store, one copy
        assert feeds[0].frames["event_frames"].shape[1:] == (5 * NUM_CLIPS, 90, 90)
    num_bytes = 2 * 5 * NUM_CLIPS * 90 * 90
    assert asked == ([num_bytes] if images == "auto" else [])


def test_a_processor_is_no_device_with_room_of_its_own():
    assert not feed_lib.has_room(1)


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
    assert [feed_lib.has_room(n) for n in (room, room + 1)] == [room >= 0, False]
