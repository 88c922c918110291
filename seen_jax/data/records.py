"""A built dataset becomes records: one per clip, its images still JPEG bytes.

`datasets/see_tfds` writes the records; this reads them, without TensorFlow. What every
program asks of all clips (names, labels, segments) stands in the dataset's metadata, so
that opening reads no image. Index i is the same clip wherever the dataset was built.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2

from seen_jax import see

SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Record:
    """One clip.

    Attributes:
      name: the fields of its name.
      event_jpegs, frame_jpegs: JPEG files of the event and the intensity frames, in
        order and equal in number.
      label: class index, the position of the emotion in `Records.labels`.
      start, end: the segment to use, frames [start, end).
    """

    name: see.ClipName
    event_jpegs: tuple[bytes, ...]
    frame_jpegs: tuple[bytes, ...]
    label: int
    start: int
    end: int


class Records:
    """The records of one split, by index; see `open_records`.

    Random access from several threads is safe, and a copy sent to another process
    opens the files anew.

    Attributes:
      directory: where the dataset lies.
      split: `train` or `test`.
      source: `simulated` or `real`.
      names: clip names, in the order of the indices.
      labels: class names, in the order of the class indices.
      label_index: int32 (N,), class index per record.
      segments: int32 (N, 2), frames [start, end) per record.
      fingerprint: equal for equal records, in whatever place or way they were built.
    """

    def __init__(self, directory: Path, split: str):
        self.directory = directory
        self.split = split
        builder = tfds.builder_from_directory(directory)
        metadata = builder.info.metadata
        if not metadata or "records" not in metadata:
            raise ValueError(
                f"{directory}: expected records of SEE, got {builder.name}"
            )
        _check_complete(builder.info.splits[split])
        index = metadata["records"][split]
        self.source: str = metadata["provenance"]["source"]
        self.names: list[str] = index["names"]
        self.labels = tuple(builder.info.features["label"].names)
        emotions = [see.ClipName.parse(name).emotion for name in self.names]
        self.label_index = np.array([*map(self.labels.index, emotions)], np.int32)
        self.segments = np.array(index["segments"], np.int32).reshape(-1, 2)
        facts = json.dumps([index, self.labels])
        self.fingerprint = hashlib.sha256(facts.encode()).hexdigest()
        # Its serialized examples only: TFDS's own decoding takes as long as reading.
        self._examples = builder.as_data_source(split).data_source

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Record:
        index = range(len(self))[index]  # IndexError past the end
        example = tf_example_pb2.Example.FromString(self._examples[index])
        images = example.features.feature
        start, end = self.segments[index].tolist()
        return Record(
            name=see.ClipName.parse(self.names[index]),
            event_jpegs=tuple(images["event_frames"].bytes_list.value),
            frame_jpegs=tuple(images["intensity_frames"].bytes_list.value),
            label=int(self.label_index[index]),
            start=start,
            end=end,
        )

    def __reduce__(self):
        return type(self), (self.directory, self.split)


def open_records(
    data_dir: str | os.PathLike, split: str, config: str = "published"
) -> Records:
    """Opens one split of a built dataset.

    Args:
      data_dir: the DATA_DIR that was given to the build, or the directory of one built
        config and version below it (`DATA_DIR/see_tfds/published/1.0.0`).
      split: `train` or `test`.
      config: `published` or `by_volunteer`, where `data_dir` does not say it.

    Raises:
      FileNotFoundError: nothing is built there; says how to build.
      ValueError: unknown split, an incomplete copy, or records of something else.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected {see.one_of(SPLITS)}, got {split!r}")
    data_dir = Path(data_dir)
    if _is_built(data_dir):
        return Records(data_dir, split)
    parent = data_dir / "see_tfds" / config
    built = [path for path in parent.glob("*") if _is_built(path)]
    if not built:
        option = "" if config == "published" else f" --config {config}"
        raise FileNotFoundError(
            f"{parent}: expected a built dataset, found none; build it with "
            f"`bash launch/build_see.sh SEE_DIR {data_dir}{option}`"
        )
    newest = max(built, key=lambda path: [int(x) for x in path.name.split(".")])
    return Records(newest, split)


def _is_built(directory: Path) -> bool:
    """TFDS builds under another name and renames at the end, so the name decides."""
    version = re.fullmatch(r"\d+\.\d+\.\d+", directory.resolve().name)
    return bool(version) and (directory / "dataset_info.json").is_file()


def _check_complete(info: tfds.core.SplitInfo) -> None:
    """Compares the files of a split with the size that was noted at the build."""
    sizes = [path.stat().length if path.exists() else 0 for path in info.filepaths]
    if sum(sizes) != info.num_bytes:
        raise ValueError(
            f"{info.filepaths[0].parent}: expected {int(info.num_bytes)} bytes of "
            f"{info.name} records, found {sum(sizes)}; copy it again or build it with "
            "--overwrite"
        )
