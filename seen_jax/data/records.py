"""A built dataset becomes records: one per clip, its images still JPEG files.

`datasets/see_tfds` writes the records; this reads them, without TensorFlow. The table
of clips is in the dataset's metadata, so that opening reads no image. Index i is the
same clip wherever the dataset was built.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from google.protobuf.message import DecodeError
from tensorflow_datasets.proto import tf_example_pb2

from seen_jax import see
from seen_jax.data import clips as clips_lib
from seen_jax.data.record import Record
from seen_jax.errors import check_option, refuse
from seen_jax.files import RECOPY, explained

SPLITS = ("train", "test")


class Records:
    """The records of one split, by index; see `open_records`.

    Random access from several threads is safe, and a copy sent to another process
    reopens the files.
    """

    def __init__(self, directory: Path, split: str):
        self.directory = directory
        builder = tfds.builder_from_directory(directory)
        metadata = builder.info.metadata
        if not metadata or "records" not in metadata:
            refuse(directory, "records of SEE", builder.name)
        _check_complete(builder.info.splits[split])
        index, labels = metadata["records"][split], builder.info.features["label"].names
        # What version 2.0.0 has; of other clips, the hash says the rest.
        identity = {x: index[x] for x in ("names", "segments", "sha256")}
        fingerprint = hashlib.sha256(json.dumps([identity, labels]).encode())
        provenance = {
            "split": split,
            "source": metadata["provenance"]["source"],
            "fingerprint": fingerprint.hexdigest(),
            "frames_per_s": metadata.get("frames_per_s", see.FRAMES_PER_S),
            "left_out": tuple(index.get("left_out", ())),
            "dropped": metadata.get("dropped", {}),
        }
        if "num_frames" in index:
            self.clips = clips_lib.from_index(index, labels, **provenance)
        else:  # version 2.0.0: SEE's names say it
            own = index["names"], labels, index["segments"]
            self.clips = clips_lib.from_names(*own, **provenance)
        # Its serialized examples only: TFDS's own decoding takes as long as reading.
        self._examples = builder.as_data_source(split).data_source

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Record:
        index = range(len(self))[index]  # IndexError past the end
        place = f"{self.directory}, clip {self.clips.names[index]}"
        damage = (RuntimeError, ValueError, DecodeError)  # of ArrayRecord and protobuf
        remedy = f"{RECOPY}, or build it again with --overwrite"
        with explained(place, remedy, "records as they were built", (OSError, *damage)):
            example = tf_example_pb2.Example.FromString(self._examples[index])
        images = example.features.feature
        return Record(
            self.clips.names[index],
            tuple(images["event_frames"].bytes_list.value),
            tuple(images["intensity_frames"].bytes_list.value),
        )

    def __reduce__(self):
        return type(self), (self.directory, self.clips.split)

    def windows(
        self,
        clips: clips_lib.Clips,
        clip: np.ndarray,
        event_index: np.ndarray,
        places: Sequence[int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Decodes the frames that windows show, and no others; as `Store.windows`."""
        event_frames, intensity_frames = [], []
        for number, frames in zip(clips.numbers[clip], event_index, strict=True):
            record = self[number]
            event_frames.append(record.decode("event", frames))
            intensity_frames.append(record.decode("frame", frames[[*places]]))
        return np.stack(event_frames), np.stack(intensity_frames)


def open_records(
    data_dir: str | os.PathLike, split: str, config: str = "published"
) -> Records:
    """Opens one split of a built dataset.

    Args:
      data_dir: the DATA_DIR that was given to the build, or the directory of one built
        config and version below it (`DATA_DIR/see_tfds/published/1.0.0`).
      config: `published` or `by_volunteer`, where `data_dir` does not say it.

    Raises:
      UserError: nothing is built there (says how to build), an unknown split, an
        incomplete copy, or records of something else.
    """
    check_option("split", split, SPLITS)
    data_dir = Path(data_dir)
    if _is_built(data_dir):
        return Records(data_dir, split)
    parent = data_dir / "see_tfds" / config
    built = [path for path in parent.glob("*") if _is_built(path)]
    if not built:
        option = "" if config == "published" else f" --config {config}"
        others = [x.parent.name for x in parent.parent.glob("*/*") if _is_built(x)]
        if others:
            remedy = f"give --config.dataset={others[0]}, or build {config} too"
            refuse(parent, "a built dataset", f"only {', '.join(others)}", remedy)
        place = shlex.quote(str(data_dir))
        remedy = (
            f"build it with `bash launch/build_see.sh SEE_DIR {place}{option}`, or say "
            "where it is: --config.data_dir=DIR of train.py, --data_dir=DIR of "
            "eval.py, adapt, robustness and export"
        )
        refuse(parent, "a built dataset", "none", remedy)
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
        rule = f"{int(info.num_bytes)} bytes of {info.name} records"
        remedy = "copy it again or build it with --overwrite"
        refuse(info.filepaths[0].parent, rule, sum(sizes), remedy)
