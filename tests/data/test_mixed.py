"""Clips of several places in one store, beside what each place gives by itself."""

import numpy as np
import pytest

from seen_jax import see, see_folder
from seen_jax.data import mixed
from seen_jax.data.store import open_store
from tests import samples
from tests.helpers import memory_records


def shown(store, clips, i):
    """All frames of a clip."""
    n = clips.num_frames[i]
    return store.windows(clips, np.array([i]), np.arange(n)[None], range(n))


def test_frames_of_all_places_follow_each_other(tmp_path):
    records = memory_records(tmp_path, (3, 5, 4))
    stored = open_store(records, tmp_path)
    folder = samples.write_see_folder(tmp_path / "see", samples.clip_names(1, (2,)), 90)
    contents = see_folder.check(see_folder.SeeFolder(folder), divided=False)
    files = [*contents.clips.values()]
    other = mixed.from_files(files, see.EMOTIONS, 30, "simulated")
    for images in (records, stored):
        part = mixed.gather(images, records.clips.take([2, 0]))
        both = mixed.join(part, other)
        assert both.clips.names == (*part.clips.names, *(x.name for x in files))
        assert both.clips.fingerprint == records.clips.fingerprint
        expected = [shown(stored, records.clips, i) for i in (2, 0)]
        expected += [shown(other, other.clips, i) for i in range(7)]
        twice = both.clips.take([*range(9), *range(9)])
        for i, frames in enumerate(expected * 2):
            np.testing.assert_array_equal(shown(both, twice, i), frames)
        labels = [see.EMOTIONS[i] for i in both.clips.label_index]
        assert labels == [see.EMOTIONS[2], see.EMOTIONS[0], *see.EMOTIONS]
    assert other.clips.metadata["volunteer"].tolist() == [1] * 7
    some = mixed.from_files(files[:3], see.EMOTIONS, 30, "simulated")
    assert some.clips.fingerprint != other.clips.fingerprint


@pytest.mark.parametrize("count", [6, 7, 20])
def test_rows_are_even_over_labels_and_clips(count):
    labels = np.array([0, 0, 0, 0, 2, 2, 5])
    rows = mixed.even_rows(labels, count, seed=1)
    of_labels = np.bincount(labels[rows], minlength=6)[[0, 2, 5]]
    assert of_labels.sum() == count and np.ptp(of_labels) <= 1
    for label in (0, 2):
        assert np.ptp(np.bincount(rows, minlength=7)[labels == label]) <= 1
    np.testing.assert_array_equal(rows, mixed.even_rows(labels, count, seed=1))
    assert not np.array_equal(rows, mixed.even_rows(labels, count, seed=2))
