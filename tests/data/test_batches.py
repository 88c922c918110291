"""Batches: complete, repeatable, the same from both providers and in any number."""

import json

import numpy as np
import pytest

from seen_jax import images
from seen_jax.data import windows
from seen_jax.data.batches import Batches
from seen_jax.data.store import open_store
from seen_jax.data.windows import Setting
from tests.helpers import memory_records

LENGTHS = (9, 18, 5, 30, 12, 7, 21, 3)
SETTING = Setting(4, 1)
NUM_CLIPS = len(LENGTHS)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return memory_records(tmp_path_factory.mktemp("records"), LENGTHS)


@pytest.fixture(scope="module")
def store(records):
    return open_store(records)


def make(images, *options, **more):
    return Batches(images, images.clips, *options, **more)


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)
        assert one[key].dtype == other[key].dtype, key


def test_shapes_and_types(store):
    batch = make(store, SETTING, 3, 0, "train").batch(0)
    forms = {key: (x.shape, x.dtype.name) for key, x in batch.items()}
    frames = {"event_frames": (3, 4, 90, 90), "intensity_frames": (3, 2, 90, 90)}
    assert forms == {name: (shape, "uint8") for name, shape in frames.items()} | {
        "label": ((3,), "int32"), "mask": ((3,), "bool"), "clip": ((3,), "int32")
    }  # fmt: skip


def test_a_row_is_the_window_drawn_for_its_clip(records, store):
    batches = make(store, SETTING, 3, 5, "train")
    epoch = 2
    numbers = windows.uniforms(5, "train", epoch, NUM_CLIPS)
    batch = batches.batch(epoch * len(batches) + 1)
    for row, clip in enumerate(batch["clip"]):
        record, segment = records.records[clip], records.clips.segments[clip]
        drawn = windows.event_indices(segment, SETTING, numbers[clip])
        for t, number in enumerate(drawn):
            expected = images.load_input(record.event_jpegs[number])
            np.testing.assert_array_equal(batch["event_frames"][row, t], expected)
        for t, number in enumerate((drawn[0], drawn[-1])):
            expected = images.load_input(record.frame_jpegs[number])
            np.testing.assert_array_equal(batch["intensity_frames"][row, t], expected)
        assert batch["label"][row] == records.clips.label_index[clip]


@pytest.mark.parametrize("purpose", windows.PURPOSES)
def test_store_and_records_give_the_same_batches(records, store, purpose):
    one = make(store, SETTING, 3, 7, purpose)
    other = make(records, SETTING, 3, 7, purpose)
    for number in range(2 * len(one)):
        assert_same(one.batch(number), other.batch(number))


@pytest.mark.parametrize("purpose", windows.PURPOSES)
@pytest.mark.parametrize("batch_size", [1, 3, 4, 8, 20])
def test_every_clip_is_there_once_an_epoch(store, purpose, batch_size):
    batches = make(store, SETTING, batch_size, 7, purpose)
    assert len(batches) == -(-NUM_CLIPS // batch_size)
    for epoch in range(3):
        plan = batches.plan(epoch)
        assert plan.mask.shape == (len(batches), min(batch_size, NUM_CLIPS))
        assert sorted(plan.clip[plan.mask]) == list(range(NUM_CLIPS))
        assert plan.mask.ravel().tolist() == sorted(plan.mask.ravel(), reverse=True)


def test_training_is_reshuffled_and_evaluation_stays_in_order(store):
    train, evaluation = (make(store, SETTING, 4, 7, p) for p in ("train", "eval"))
    orders = {tuple(train.plan(epoch).clip.ravel()) for epoch in range(5)}
    assert len(orders) == 5
    for epoch in range(2):
        assert evaluation.plan(epoch).clip.ravel().tolist() == list(range(NUM_CLIPS))


@pytest.mark.parametrize("process_count", [1, 2, 3])
def test_processes_divide_each_batch(store, process_count):
    options = SETTING, 6, 7, "train"
    whole = make(store, *options)
    parts = [
        make(store, *options, process_index=index, process_count=process_count)
        for index in range(process_count)
    ]
    for number in range(2 * len(whole)):
        rows = [part.batch(number) for part in parts]
        joined = {key: np.concatenate([r[key] for r in rows]) for key in rows[0]}
        assert_same(joined, whole.batch(number))


def test_the_iterator_goes_on_where_its_state_says(store):
    batches = make(store, SETTING, 3, 7, "train")
    expected = [batches.batch(number) for number in range(2, 9)]
    iterator = batches.iterate(start=2)
    for number in range(3):
        assert_same(next(iterator), expected[number])
    state = json.dumps(iterator.get_state())
    assert len(state) < 50
    continued = batches.iterate(start=2)
    continued.set_state(json.loads(state))
    for number in range(3, 7):
        assert_same(next(iterator), expected[number])
        assert_same(next(continued), expected[number])


def test_streaming_reads_a_clip_once_and_decodes_the_window_only(records, monkeypatch):
    decoded, decode = [], images.decode_jpeg
    monkeypatch.setattr(
        images, "decode_jpeg", lambda data: decoded.append(data) or decode(data)
    )
    records.reads.clear()
    batch = make(records, SETTING, 3, 7, "eval").batch(0)
    assert records.reads == batch["clip"].tolist()
    assert len(decoded) == 3 * (4 + 2)


def test_rows_that_cannot_be_divided_are_refused(store):
    words = "multiple of the number of processes, 3, got 4"
    with pytest.raises(ValueError, match=words):
        make(store, SETTING, 4, 0, "train", process_count=3)
    with pytest.raises(ValueError, match="process_index: expected 0 to 1, got 2"):
        make(store, SETTING, 4, 0, "train", process_index=2, process_count=2)
    with pytest.raises(ValueError, match="purpose: expected one of"):
        make(store, SETTING, 4, 0, "test")


@pytest.mark.parametrize(
    "intensity, places",
    [("first", [0]), ("first_and_second", [0, 1]), ("all", [0, 1, 2, 3])],
)
def test_other_intensity_frames_of_the_window(records, store, intensity, places):
    one, other = (
        make(images, SETTING, 3, 7, "train", intensity=intensity)
        for images in (store, records)
    )
    assert_same(one.batch(1), other.batch(1))
    rows = store.clips.rows(one.plan(0).clip[1], one.plan(0).event_index[1])
    expected = store.intensity_frames[rows[:, places]]
    np.testing.assert_array_equal(one.batch(1)["intensity_frames"], expected)


def test_the_windows_of_the_first_pass_by_clip(records, store):
    clips = np.array([6, 0, 3])
    for source in (store, records):
        batches = make(source, SETTING, 3, 7, "eval")
        windows = batches.first_windows(clips)
        for clip, events, pair in zip(clips, *windows, strict=True):
            batch = batches.batch(clip // 3)
            np.testing.assert_array_equal(events, batch["event_frames"][clip % 3])
            np.testing.assert_array_equal(pair, batch["intensity_frames"][clip % 3])


def test_films_hold_the_windows_that_the_network_reads(records, store):
    clips = np.array([6, 0, 3])
    for source in (store, records):
        batches = make(source, Setting(3, 3), 3, 7, "eval")
        *films, reads = batches.first_films(clips)
        assert [x.shape[:2] for x in films] == [(3, 5), (3, 5)]  # 0, 2, 4, 6, 8
        for film, frames, here in zip(
            films, batches.first_windows(clips), reads, strict=True
        ):
            np.testing.assert_array_equal(film[:, here], frames)
        assert reads.astype(int).tolist() == [[1, 0, 1, 0, 1], [1, 0, 0, 0, 1]]


def test_a_batch_is_at_most_an_epoch(store):
    batches = make(store, SETTING, 10**9, 7, "train")
    assert (batches.batch_size, len(batches)) == (NUM_CLIPS, 1)
    parts = make(store, SETTING, 30, 7, "train", process_index=2, process_count=3)
    assert parts.batch(0)["mask"].tolist() == [True, True, False]  # of 8 in 9 rows
