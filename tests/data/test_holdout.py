"""Held out volunteers: on one side only, every clip somewhere, the same images."""

import numpy as np
import pytest

from seen_jax import see
from seen_jax.data.batches import Batches, Stream
from seen_jax.data.holdout import hold_out
from seen_jax.data.store import open_store
from seen_jax.data.windows import Setting
from tests.data.memory import memory_records


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    records = memory_records(tmp_path_factory.mktemp("records"), range(6, 18))
    for number, record in enumerate(records.records):
        fields = vars(record.name) | {"volunteer": 1 + number % 4}
        record.name = see.ClipName(**fields)
    return records


def volunteers(part):
    return {see.ClipName.parse(name).volunteer for name in part.records.names}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_volunteers_are_on_one_side_and_every_clip_is_somewhere(records, number):
    kept, held = hold_out(Stream(records), number)
    assert len(volunteers(held)) == number
    assert volunteers(kept) | volunteers(held) == {1, 2, 3, 4}
    assert not volunteers(kept) & volunteers(held)
    assert sorted(kept.names + held.names) == sorted(records.names)


@pytest.mark.parametrize("number", [0, 4, 5, -1])
def test_sides_without_anyone_are_refused(records, number):
    with pytest.raises(ValueError, match=f"expected 1 to 3 of the 4 .* got {number}"):
        hold_out(Stream(records), number)


def test_images_labels_and_segments_go_with_the_clip(records):
    store = open_store(records)
    for part, other in zip(
        hold_out(store, 2), hold_out(Stream(records), 2), strict=True
    ):
        batches = Batches(part, Setting(4, 1), 4, 3, "train")
        same = Batches(other, Setting(4, 1), 4, 3, "train")
        for number in range(len(batches)):
            batch, streamed = batches.batch(number), same.batch(number)
            for key in batch:
                np.testing.assert_array_equal(batch[key], streamed[key])
            plan = batches.plan(0)
            for row, clip in enumerate(batch["clip"]):
                whole = records.names.index(part.names[clip])
                assert batch["label"][row] == records.label_index[whole]
                frames = plan.event_index[number, row]
                assert frames.max() < records.records[whole].end
                expected, _ = store.windows(np.array([whole]), frames[None])
                np.testing.assert_array_equal(batch["event_frames"][row], expected[0])
