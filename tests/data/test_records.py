"""Reading records: what they hold, how they are found, and what is said if not."""

import concurrent.futures
import importlib
import pickle
import re
import shutil
import sys

import grain
import numpy as np
import pytest
import tensorflow_datasets as tfds

from seen_jax import see
from seen_jax.data import records as records_lib
from seen_jax.data.record import Record
from seen_jax.errors import UserError
from tests import samples
from tests.helpers import ROOT

sys.path.append(str(ROOT / "datasets"))
builder_lib = importlib.import_module("see_tfds.see_tfds_dataset_builder")

# TFDS reads its own messages in a way that protobuf 6 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:label.. is deprecated")

VERSION = str(builder_lib.Builder.VERSION)
NAMES = samples.clip_names(3, (2, 3, 4))


@pytest.fixture(scope="module")
def see_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("see") / "SEE"
    return samples.write_see_folder(root, NAMES, size=8)


@pytest.fixture(scope="module")
def data_dir(see_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder_lib, "CLIPS_PER_SHARD", 5)  # 3 shards of training clips
        for config in ("published", "by_volunteer"):
            options = {"manual_dir": see_dir, "try_download_gcs": False}
            builder_lib.Builder(data_dir=path, config=config).download_and_prepare(
                download_config=tfds.download.DownloadConfig(**options)
            )
    return path


def test_a_record_is_the_clips_files(see_dir, data_dir):
    records = records_lib.open_records(data_dir, "train")
    # Every third clip is in the testing subset: index 3 is the clip of position 4.
    name, record = NAMES[4], records[3]
    assert record.name == str(name)
    assert len(record.event_jpegs) == len(record.frame_jpegs) == name.length == 3
    for kind, jpegs in (("event", record.event_jpegs), ("frame", record.frame_jpegs)):
        paths = sorted((see_dir / kind / name.emotion / str(name)).iterdir())
        assert [*jpegs] == [path.read_bytes() for path in paths]
        assert isinstance(jpegs, tuple)
    assert records.clips.segments[3].tolist() == [0, 3]
    assert records.clips.label_index[3] == see.EMOTIONS.index(name.emotion)


@pytest.mark.parametrize("split", records_lib.SPLITS)
def test_the_index_agrees_with_the_records(data_dir, split):
    records = records_lib.open_records(data_dir, split)
    clips = records.clips
    assert len(records) == len(clips) == {"train": 14, "test": 7}[split]
    assert [*clips.names] == [record.name for record in records]
    # Every third clip is in the testing subset, whatever the shards.
    part = [x for i, x in enumerate(NAMES) if (i % 3 == 2) == (split == "test")]
    assert [*clips.names] == [str(name) for name in part]
    assert (clips.labels, clips.split, clips.source) == (see.EMOTIONS, split, "real")
    assert records.directory == data_dir / "see_tfds" / "published" / VERSION


def test_a_damaged_file_is_named(data_dir, tmp_path):
    """Wherever a byte is wrong, the clips are as they were or there is a line."""
    intact = [*records_lib.open_records(data_dir, "test")]
    copy = shutil.copytree(data_dir, tmp_path / "copy")
    file, _ = sorted(copy.glob("see_tfds/published/*/*-test.array_record*"))
    content, num_refused = file.read_bytes(), 0
    places = np.flatnonzero(np.frombuffer(content, np.uint8))  # others are padding
    for place in places[:: len(places) // 25]:
        start, byte, end = content[:place], content[place], content[place + 1 :]
        file.write_bytes(start + bytes([byte ^ 255]) + end)
        try:
            assert [*records_lib.open_records(copy, "test")] == intact
        except UserError as error:
            words = "published/.*expected .*; copy it again, or build it again"
            assert re.search(words, str(error))
            num_refused += 1
    assert num_refused > 15


def test_indices_are_those_of_a_sequence(data_dir):
    records = records_lib.open_records(data_dir, "test")
    assert records[-1] == records[np.int64(6)] == records[6]
    for index in (7, -8):
        with pytest.raises(IndexError):
            records[index]


def test_opens_a_directory_or_a_config(data_dir):
    folder = data_dir / f"see_tfds/by_volunteer/{VERSION}"
    direct = records_lib.open_records(folder, "test")
    named = records_lib.open_records(str(data_dir), "test", config="by_volunteer")
    published = records_lib.open_records(data_dir, "test")
    assert direct.clips.names == named.clips.names != published.clips.names
    assert direct.clips.fingerprint == named.clips.fingerprint
    assert named.clips.fingerprint != published.clips.fingerprint


def test_from_many_threads_and_after_pickling(data_dir):
    records = records_lib.open_records(data_dir, "train")
    expected = [*records]
    fresh = pickle.loads(pickle.dumps(records))
    assert fresh.clips.fingerprint == records.clips.fingerprint
    order = np.random.default_rng(0).integers(0, len(records), 200)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert [*pool.map(fresh.__getitem__, order)] == [expected[i] for i in order]


def test_grain_reads_them(data_dir):
    records = records_lib.open_records(data_dir, "train")
    dataset = grain.MapDataset.source(records).seed(0).shuffle().to_iter_dataset()
    assert {record.name for record in dataset} == {*records.clips.names}


def test_nothing_built(tmp_path):
    with pytest.raises(UserError) as caught:
        records_lib.open_records(tmp_path, "train", config="by_volunteer")
    assert str(caught.value) == (
        f"{tmp_path}/see_tfds/by_volunteer: expected a built dataset, got none; "
        f"build it with `bash launch/build_see.sh SEE_DIR {tmp_path} "
        "--config by_volunteer`, or say where it is: --config.data_dir=DIR of "
        "train.py, --data_dir=DIR of eval.py, adapt, robustness and export"
    )
    with pytest.raises(UserError, match=r"SEE_DIR 'a b'`"):  # to be pasted
        records_lib.open_records("a b", "train")


def test_only_the_other_config_is_built(data_dir, tmp_path):
    (tmp_path / "see_tfds").mkdir()
    built = data_dir / "see_tfds" / "published"
    (tmp_path / "see_tfds" / "published").symlink_to(built)
    words = "got only published; give --config.dataset=published, or build by_vol"
    with pytest.raises(UserError, match=words):
        records_lib.open_records(tmp_path, "train", "by_volunteer")


def test_unknown_split(data_dir):
    words = "expected one of train, test, got 'testing'"
    with pytest.raises(ValueError, match=words):
        records_lib.open_records(data_dir, "testing")


@pytest.fixture
def copy(data_dir, tmp_path):
    built = data_dir / f"see_tfds/published/{VERSION}"
    return shutil.copytree(built, tmp_path / VERSION)


@pytest.mark.parametrize("cut", ["shorten", "remove"])
def test_an_incomplete_copy(copy, cut):
    shard = copy / "see_tfds-train.array_record-00001-of-00003"
    if cut == "remove":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"bytes of train records, got .* copy it"):
        records_lib.open_records(copy, "train")
    assert len(records_lib.open_records(copy, "test")) == 7


def test_another_dataset(copy):
    (copy / "metadata.json").unlink()
    with pytest.raises(ValueError, match="expected records of SEE, got see_tfds"):
        records_lib.open_records(copy, "train")


def test_a_directory_under_its_unfinished_name(copy, tmp_path):
    (tmp_path / "see_tfds" / "published").mkdir(parents=True)
    name = f"{tfds.core.constants.INCOMPLETE_PREFIX}ABC123_{VERSION}"
    unfinished = copy.rename(tmp_path / "see_tfds" / "published" / name)
    for directory in (tmp_path, unfinished):
        with pytest.raises(UserError):
            records_lib.open_records(directory, "train")


def test_a_missing_frame_is_named():
    words = "clip: expected a square JPEG as frame frame 0"
    with pytest.raises(ValueError, match=words):
        Record("clip", (), ()).decode("frame", [0])
