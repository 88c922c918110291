"""The decoded store: what is in it, and that nothing half-made is taken for it."""

import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest

from seen_jax import images
from seen_jax.data import store as store_lib
from seen_jax.data.store import open_store
from seen_jax.errors import UserError
from tests.helpers import memory_records, python

LENGTHS = (4, 7, 5)


@pytest.fixture
def records(tmp_path):
    return memory_records(tmp_path, LENGTHS)


def assert_holds(store, records):
    for clip, record in enumerate(records.records):
        for number in range(len(record.event_jpegs)):
            row = store.clips.rows(np.array(clip), np.array([number]))[0]
            for jpegs, frames in (
                (record.event_jpegs, store.event_frames),
                (record.frame_jpegs, store.intensity_frames),
            ):
                expected = images.load_input(jpegs[number])
                np.testing.assert_array_equal(frames[row], expected)


def test_every_frame_is_at_its_row(records):
    store = open_store(records)
    assert store.event_frames.shape == (4 + 7 + 5, 90, 90)
    assert store.event_frames.dtype == np.uint8
    assert store.clips.first_rows.tolist() == [0, 4, 4 + 7]
    assert_holds(store, records)


def test_it_is_decoded_once_and_is_a_plain_npy_file(records):
    path = open_store(records).path
    records.reads.clear()
    assert open_store(records).path == path
    assert records.reads == []
    assert np.load(path).shape == (2, 16, 90, 90)


def test_it_cannot_be_written_to(records):
    store = open_store(records)
    with pytest.raises(ValueError, match="read-only"):
        store.event_frames[0] = 0


def test_new_records_replace_the_store_of_their_split_only(records, tmp_path):
    old = open_store(records)
    test = open_store(memory_records(tmp_path, LENGTHS, split="test"))
    changed = memory_records(tmp_path, (6, 3), seed=1, fingerprint="f" * 32)
    store = open_store(changed)
    assert_holds(store, changed)
    assert sorted(tmp_path.glob("*.npy")) == sorted([store.path, test.path])
    assert_holds(old, records)  # whoever had the old one open keeps it


@pytest.mark.parametrize("size", [0, 10, 5000])
def test_a_store_cut_short_is_built_again(records, size):
    path = open_store(records).path
    os.truncate(path, size)
    assert_holds(open_store(records), records)


def test_a_file_of_another_kind_in_its_place_is_replaced(records):
    path = open_store(records).path
    np.save(path, np.zeros((2, 16, 45, 45), np.uint8))
    assert_holds(open_store(records), records)


DYING = f"""
import os, signal, sys
from seen_jax import images
from seen_jax.data.store import open_store
from tests.helpers import memory_records

def dying(*args, decode=images.decode_jpeg, calls=[]):
    calls.append(0)
    if len(calls) == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(*args)

images.decode_jpeg = dying
open_store(memory_records(sys.argv[1], {LENGTHS}))
"""


def test_a_killed_build_leaves_no_store(records, tmp_path):
    path = open_store(records).path
    path.unlink()
    killed = python("-c", DYING, tmp_path)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".*.part"))) == 1
    assert not path.exists()
    assert_holds(open_store(records), records)
    assert not list(tmp_path.glob(".*.part"))


def test_many_clips_are_decoded_by_several_processes(tmp_path):
    records = memory_records(tmp_path, [2] * store_lib.FEW_CLIPS)
    assert_holds(open_store(records, num_workers=2), records)
    assert records.reads == []


def test_elsewhere_the_stores_of_other_records_are_left_alone(records, tmp_path):
    first = open_store(records, tmp_path / "cache").path
    assert first.parent == tmp_path / "cache"
    other = memory_records(tmp_path, (3,), fingerprint="e" * 32)
    assert open_store(other, tmp_path / "cache").path != first
    assert first.exists()


def test_a_full_disk_is_an_error_that_says_so(records, monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    words = r"\(0.3 MB\): expected .* room, got No space left .*--config.store_dir=DIR"
    with pytest.raises(UserError, match=words):
        open_store(records)
    assert not list(tmp_path.glob("*.npy")) + list(tmp_path.glob(".*.part"))


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(records, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"and has room, got Not a directory"):
        open_store(records, tmp_path / "file" / "store")


def test_an_image_that_cannot_be_read_is_named(records, tmp_path):
    jpegs = records.records[1].event_jpegs
    spoilt = (*jpegs[:3], b"no image", *jpegs[4:])
    records.records[1] = replace(records.records[1], event_jpegs=spoilt)
    words = r"2.*_take001: expected a square JPEG as event frame 3"
    with pytest.raises(ValueError, match=words):
        open_store(records)
    assert not list(tmp_path.glob("*.npy")) + list(tmp_path.glob(".*.part"))


def test_a_record_with_too_few_images_is_named(records):
    fewer = records.records[2].frame_jpegs[:-1]
    records.records[2] = replace(records.records[2], frame_jpegs=fewer)
    with pytest.raises(ValueError, match="take002: expected 5 frame images, got 4"):
        open_store(records)
