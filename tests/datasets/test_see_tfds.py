"""The builder: the same records in every way in, all of them or none."""

import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import unittest
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from seen_jax import see
from seen_jax.data import records as records_lib
from seen_jax.errors import UserError
from seen_jax.problems import SeeError
from tests import samples
from tests.helpers import ROOT, write_labels

sys.path.append(str(ROOT / "datasets"))  # as `tfds build` does

see_tfds_dataset_builder = importlib.import_module("see_tfds.see_tfds_dataset_builder")
build_lib = importlib.import_module("see_tfds.build")
Builder = see_tfds_dataset_builder.Builder

# TFDS reads its own messages in a way that protobuf 6 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:label.. is deprecated")

BUILT = f"see_tfds/published/{Builder.VERSION}"
LABELS = ("surprise", *see.EMOTIONS[:-1])  # an order that is not the alphabet's
LEFT_OUT = 4  # the clip of this position


@pytest.fixture(scope="module")
def see_dir(tmp_path_factory):
    """Three volunteers, 21 clips of 2 or 3 frames, one of them left out."""
    root = tmp_path_factory.mktemp("see") / "SEE"
    names = samples.clip_names(3, (2, 3))
    samples.write_see_folder(root, names, size=8)
    with samples.edited(root / "emotion.json") as content:
        content["labels"] = LABELS
        for i, segment in ((0, [1, 2]), (LEFT_OUT, [0, 0])):
            content["database"][str(names[i])]["annotations"]["segment"] = segment
    return root


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Four clips to a shard: 4 shards of training clips and 2 of testing clips."""
    monkeypatch.setattr(see_tfds_dataset_builder, "CLIPS_PER_SHARD", 4)


def build(see_dir, data_dir):
    builder = Builder(data_dir=data_dir)
    options = {"manual_dir": see_dir, "try_download_gcs": False}
    config = tfds.download.DownloadConfig(**options)
    builder.download_and_prepare(download_config=config)
    return builder


@pytest.fixture(scope="module")
def data_dir(see_dir, tmp_path_factory):
    """Built once, from Python."""
    path = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(see_tfds_dataset_builder, "CLIPS_PER_SHARD", 4)
        build(see_dir, path)
    return path


def assert_same_records(data_dir, other_dir, config="published"):
    for split in records_lib.SPLITS:
        one = records_lib.open_records(data_dir, split, config)
        other = records_lib.open_records(other_dir, split, config)
        assert [*one] == [*other]
        assert one.clips.fingerprint == other.clips.fingerprint


def test_a_record_holds_the_clip(data_dir):
    """Its images are compared in tests/data/test_records.py."""
    builder = tfds.builder_from_directory(data_dir / BUILT)
    example = builder.as_data_source("train")[0]
    name = str(samples.clip_names(3, (2, 3))[0])
    assert name == "1_001_woman_19_Master_Overexposed_angry_2_take000"
    for feature in ("event_frames", "intensity_frames"):
        frames = np.asarray(example.pop(feature))
        assert (frames.shape, frames.dtype) == ((2, 8, 8, 1), np.uint8)
    assert example.pop("segment").tolist() == [1, 2]
    words = {"sex": "woman", "degree": "Master", "lighting": "Overexposed"}
    numbers = {"volunteer": 1, "age": 19}
    assert json.loads(example.pop("metadata")) == words | numbers
    places = {"label": 1, "lighting": 1, "sex": 1, "degree": 1, "take": 0}
    assert example == {"name": name.encode(), **numbers, **places}
    features = builder.info.features
    assert tuple(features["label"].names) == LABELS
    for feature, expected in (
        ("lighting", see.LIGHTINGS), ("sex", see.SEXES), ("degree", see.DEGREES)
    ):  # fmt: skip
        assert tuple(features[feature].names) == expected


def test_script_with_parts_of_other_names(see_dir, data_dir, tmp_path):
    other = shutil.copytree(see_dir, tmp_path / "SEE")
    (other / "event").rename(other / "event_30")
    (other / "emotion.json").rename(other / "emotion_new_adjust2.json")
    command = ["bash", ROOT / "launch/build_see.sh", other, tmp_path / "data"]
    names = ["--event_dir=event_30", "--split_file=emotion_new_adjust2.json"]
    env = os.environ | {"PYTHON": sys.executable}
    options = {"capture_output": True, "text": True, "check": True}
    done = subprocess.run([*command, *names], env=env, **options)
    assert done.stdout.splitlines()[-1] == f"{tmp_path}/data/{BUILT}"
    assert "train 13 clips, " in done.stdout
    assert_same_records(data_dir, tmp_path / "data")


def test_records_of_another_folder_are_not_taken_for_its_own(see_dir, tmp_path, capsys):
    data_dir = str(tmp_path / "data")
    assert build_lib.main([str(see_dir), data_dir]) == 0
    assert build_lib.main([str(see_dir), data_dir]) == 0
    assert "exists already; --overwrite" in capsys.readouterr().out
    names = samples.clip_names(2, (2,))
    other = samples.write_see_folder(tmp_path / "other", names, size=8)
    with pytest.raises(UserError, match=f"expected records of {other}, got others"):
        build_lib.main([str(other), data_dir])
    # Another order of the labels, which TFDS cannot replace.
    with pytest.raises(UserError, match="delete that folder to build with others"):
        build_lib.main([str(other), data_dir, "--overwrite"])
    write_labels(other, LABELS)
    assert build_lib.main([str(other), data_dir, "--overwrite"]) == 0
    assert len(records_lib.open_records(data_dir, "train")) == 10


def test_a_killed_build_leaves_nothing_that_reads(see_dir, data_dir, tmp_path):
    """The process is killed within one of the last shards."""
    with subprocess.Popen(
        [sys.executable, "-c", BLOCKED_BUILD, see_dir, tmp_path],
        cwd=ROOT / "datasets",
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert "midway\n" in process.stdout
        process.kill()
    assert process.returncode == -9
    config_dir = tmp_path / "see_tfds" / "published"
    (unfinished,) = config_dir.iterdir()
    assert [*unfinished.glob("*.array_record*")]
    for directory in (tmp_path / BUILT, unfinished):
        with pytest.raises(Exception, match="Could not read dataset info"):
            tfds.builder_from_directory(directory)
    for directory in (tmp_path, unfinished):
        with pytest.raises(ValueError, match=r"bash launch/build_see\.sh"):
            records_lib.open_records(directory, "train")
    build(see_dir, tmp_path)
    assert_same_records(data_dir, tmp_path)


def test_a_failed_write_is_a_user_error(see_dir, tmp_path, monkeypatch):
    class Full(see_tfds_dataset_builder.ArrayRecordWriter):
        def __init__(self, path, options):
            super().__init__("/dev/full", options)

    monkeypatch.setattr(see_tfds_dataset_builder, "ArrayRecordWriter", Full)
    with pytest.raises(UserError, match="No space left on device"):
        build(see_dir, tmp_path)
    assert not (tmp_path / BUILT).exists()


def test_overwrite(see_dir, tmp_path):
    arguments = [str(see_dir), str(tmp_path / "data")]
    assert build_lib.main(arguments) == 0
    first = records_lib.open_records(tmp_path / "data", "train")
    changed = shutil.copytree(see_dir, tmp_path / "SEE")
    images = sorted((changed / "event").rglob("*.jpg"))
    for path in images[1:]:  # the same names, other images
        shutil.copy(images[0], path)
    assert build_lib.main([str(changed), arguments[1], "--overwrite"]) == 0
    second = records_lib.open_records(tmp_path / "data", "train")
    assert second.clips.names == first.clips.names
    assert second.clips.fingerprint != first.clips.fingerprint

    images[0].unlink()
    with pytest.raises(SeeError):
        build_lib.main([str(changed), arguments[1], "--overwrite"])
    third = records_lib.open_records(tmp_path / "data", "train")
    assert third.clips.fingerprint == second.clips.fingerprint


BLOCKED_BUILD = """
import sys, time
import tensorflow_datasets as tfds
from see_tfds import see_tfds_dataset_builder as module

def block(clips, generate=module.generate_examples):
    yield from generate(clips)
    if clips[0].metadata["volunteer"] == 3 and clips[0].annotation.subset == "training":
        print("midway", flush=True)
        time.sleep(600)

module.CLIPS_PER_SHARD = 4
module.generate_examples = block
config = tfds.download.DownloadConfig(manual_dir=sys.argv[1], try_download_gcs=False)
module.Builder(data_dir=sys.argv[2]).download_and_prepare(download_config=config)
"""


def test_building_reads_each_image_twice(see_dir, tmp_path, monkeypatch):
    reads = Counter()

    def read_bytes(path, plain=Path.read_bytes):
        reads[path] += 1
        return plain(path)

    monkeypatch.setattr("loky.cpu_count", lambda: 1)  # no other process reads
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    build(see_dir, tmp_path)
    name = samples.clip_names(3, (2, 3))[LEFT_OUT]
    images = {x for x in see_dir.rglob("*.jpg") if x.parent.name != str(name)}
    assert reads == dict.fromkeys(images, 2)


def test_simulated(see_dir, tmp_path):
    simulated = shutil.copytree(see_dir, tmp_path / "SEE")
    note = {"source": "simulated", "seed": 7}
    (simulated / "simulation.json").write_text(json.dumps(note))
    builder = build(simulated, tmp_path / "data")
    assert builder.info.metadata["provenance"] == note
    records = records_lib.open_records(tmp_path / "data", "train")
    assert records.clips.source == "simulated"


def test_tags_are_those_of_tfds():
    metadata = Builder.get_metadata()
    assert {*metadata.tags} <= {*tfds.core.dataset_metadata.valid_tags()}
    assert "In the Blink of an Eye" in metadata.citation
    assert metadata.description.startswith("SEE ")


def test_beam_writes_the_same_records(see_dir, data_dir, tmp_path, monkeypatch):
    """On Beam's local runner, with two worker processes."""
    beam = pytest.importorskip("apache_beam", reason="apache_beam is not installed")
    path = os.pathsep.join([str(ROOT), str(ROOT / "datasets")])
    monkeypatch.setenv("PYTHONPATH", path)  # for the workers
    options = beam.options.pipeline_options.PipelineOptions(
        flags=[],  # or it takes those of pytest
        runner="DirectRunner",
        direct_num_workers=2,
        direct_running_mode="multi_processing",
    )
    builder = Builder(data_dir=tmp_path)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=see_dir, beam_options=options, try_download_gcs=False
        )
    )
    assert [*(tmp_path / BUILT).glob("*.shard_infos.json")]
    assert_same_records(data_dir, tmp_path)


needs_tensorflow = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("tensorflow", "dill", "mlcroissant"))),
    reason="TFDS's test case and command need tensorflow-cpu, dill and mlcroissant",
)


@pytest.mark.tensorflow
@needs_tensorflow
@pytest.mark.parametrize("config", ["published", "by_volunteer"])
def test_tfds_build_writes_the_same_records(see_dir, tmp_path, config):
    broken = shutil.copytree(see_dir, tmp_path / "SEE")
    sorted((broken / "event").rglob("*.jpg"))[0].write_bytes(b"")
    imports = "--imports=see_tfds.see_tfds_dataset_builder"
    command = [sys.executable, "-m", "tensorflow_datasets.scripts.cli.main", "build"]
    command += [imports, f"--manual_dir={broken}", f"--data_dir={tmp_path / 'tfds'}"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "datasets")])

    def tfds_build(name):
        env = os.environ | {"PYTHONPATH": path}
        return subprocess.run([*command, name], env=env, capture_output=True, text=True)

    refused = tfds_build(f"see_tfds/{config}")
    assert refused.returncode == 1
    assert "SeeError: 1 problem in the SEE data:" in refused.stderr
    assert not (tmp_path / "tfds" / "see_tfds" / config / str(Builder.VERSION)).exists()
    done = tfds_build(f"see_tfds/{config}/on_problem=leave_out")
    assert done.returncode == 0, done.stderr
    assert "19 of 20 clips, 1 left out:" in done.stdout
    arguments = [str(broken), str(tmp_path / "script"), f"--config={config}"]
    assert build_lib.main([*arguments, "--on_problem=leave_out"]) == 0
    assert_same_records(tmp_path / "tfds", tmp_path / "script", config)


@pytest.mark.tensorflow
@needs_tensorflow
def test_tfds_own_test_case(see_dir):
    class TestSee(tfds.testing.DatasetBuilderTestCase):
        DATASET_CLASS = Builder
        EXAMPLE_DIR = see_dir
        SPLITS = {"train": 13, "test": 7}  # noqa: RUF012
        BUILDER_CONFIG_NAMES_TO_TEST = ["published"]  # noqa: RUF012

        def setUp(self):
            super().setUp()
            # A copy: it is deleted afterwards, through links too.
            shutil.copytree(see_dir, Path(self.tmp_dir, "downloads", "manual"))

        def _make_builder(self, config=None):
            # It reads as tf.data, which TFDS has for TFRecord but not for ArrayRecord.
            return Builder(data_dir=self.tmp_dir, config=config, file_format="tfrecord")

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(TestSee)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    assert result.testsRun >= 5
    assert result.wasSuccessful()
