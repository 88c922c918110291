"""The table of clips, and parts of it: the same clip keeps its class and its images."""

import numpy as np
import pytest

from seen_jax import see
from seen_jax.data.batches import Batches
from seen_jax.data.clips import hold_out
from seen_jax.data.store import open_store
from seen_jax.data.windows import Setting
from tests.helpers import ROTATED, memory_records


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Twelve clips of four volunteers, classes in another order than the alphabet."""
    folder = tmp_path_factory.mktemp("records")
    return memory_records(folder, range(6, 18), labels=ROTATED, num_volunteers=4)


def test_classes_have_the_order_of_the_labels(records):
    clips = records.clips
    assert clips.labels == ROTATED and clips.label_index.dtype == np.int32
    names = [ROTATED[i] for i in clips.label_index]
    assert names == [see.ClipName.parse(name).emotion for name in clips.names]


def test_rows_of_the_store_follow_each_other(records):
    clips = records.clips
    assert clips.num_frames.tolist() == list(range(6, 18))
    assert clips.first_rows.tolist() == np.cumsum([0, *range(6, 17)]).tolist()
    rows = clips.rows(np.array([[1, 2]]), np.array([[[0, 5], [3, 3]]]))
    assert rows.tolist() == [[[6, 11], [16, 16]]]  # clips 1 and 2 begin at 6 and 13


def test_a_part_has_the_rows_that_were_taken(records):
    part = records.clips.take([5, 2])
    for i, whole in enumerate((5, 2)):
        assert part.names[i] == records.clips.names[whole]
        assert part.numbers[i] == whole
        for name in ("label_index", "segments", "num_frames", "first_rows"):
            one, other = getattr(part, name)[i], getattr(records.clips, name)[whole]
            np.testing.assert_array_equal(one, other)
        assert part.metadata["volunteer"][i] == 1 + whole % 4
    assert (part.labels, part.fingerprint) == (ROTATED, records.clips.fingerprint)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_volunteers_are_on_one_side_and_every_clip_is_somewhere(records, number):
    kept, held = hold_out(records.clips, number)
    people = [set(part.metadata["volunteer"]) for part in (kept, held)]
    assert len(people[1]) == number and not people[0] & people[1]
    assert people[0] | people[1] == {1, 2, 3, 4}
    assert sorted(kept.names + held.names) == sorted(records.clips.names)


@pytest.mark.parametrize("number", [0, 4, 5, -1])
def test_sides_without_anyone_are_refused(records, number):
    with pytest.raises(ValueError, match=f"expected 1 to 3 of the 4 .* got {number}"):
        hold_out(records.clips, number)


def test_images_labels_and_segments_go_with_the_clip(records):
    store, whole = open_store(records), records.clips
    for part in hold_out(whole, 2):
        for images in (store, records):
            batches = Batches(images, part, Setting(4, 1), 4, 3, "train")
            batch, windows = batches.batch(0), batches.plan(0).event_index[0]
            places = [whole.names.index(part.names[clip]) for clip in batch["clip"]]
            np.testing.assert_array_equal(batch["label"], whole.label_index[places])
            assert (windows.max(axis=1) < whole.segments[places, 1]).all()
            expected = store.windows(whole, np.array(places), windows, (0, -1))
            for got, frames in zip(("event", "intensity"), expected, strict=True):
                np.testing.assert_array_equal(batch[f"{got}_frames"], frames)
