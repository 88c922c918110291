"""The TFDS builder of SEE: a SEE folder becomes one record per clip, in ArrayRecord.

Records keep the order of the split file, so that index i of a split is the same clip
wherever and however it was built. The images of a record are the bytes of the files.

Every image is read twice: by the check, which decodes and hashes it in all processors,
and when its shard is written, which takes a tenth as long. With `leave_out` the check
decides which clips there are, and so the split by volunteer and the number of shards,
which TFDS asks for first; TFDS deletes the records that are to be replaced before it
reads an example; and Beam's workers, which write the shards in parallel where the
`DownloadConfig` has a runner, return no hashes.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from array_record.python.array_record_module import ArrayRecordWriter

from seen_jax import see, see_folder
from seen_jax.errors import refuse
from seen_jax.split import Split
from seen_jax.volunteers import split_by_volunteer

CLIPS_PER_SHARD = 64  # about 40 MB of the published images
# Testing first: TFDS runs a Beam pipeline per split, and its second one writes the
# first split again.
SUBSET_OF_SPLIT = {"test": "testing", "train": "training"}


@dataclasses.dataclass(kw_only=True)
class SeeConfig(tfds.core.BuilderConfig):
    """Divides clips as the split file states, or with no volunteer in both parts."""

    by_volunteer: bool = False


class Builder(tfds.core.ShardBasedBuilder):
    """Builds SEE from the SEE folder in `manual_dir`.

    Args:
      event_dir, frame_dir, split_file, on_problem: names inside the SEE folder, and
        what its problems mean, see `see_folder.SeeFolder`. They are no part of the
        config: the records say themselves which clips were left out.
      **kwargs: as for any TFDS builder: `data_dir`, `config`, `file_format`.
    """

    VERSION = tfds.core.Version("2.1.0")
    RELEASE_NOTES: ClassVar = {
        "2.1.0": "Any labels and clip names; metadata, frame rate, clips left out.",
        "2.0.0": "A split's `sha256` is the hash of its clips' hashes.",
        "1.0.0": "One record per clip.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"Give a SEE folder as manual_dir. {see_folder.HOW_TO_GET}."
    )
    BUILDER_CONFIGS: ClassVar = [
        SeeConfig(name="published", description="The split of the split file."),
        SeeConfig(
            name="by_volunteer",
            description="The same clips, no volunteer in both splits.",
            by_volunteer=True,
        ),
    ]

    def __init__(
        self,
        *,
        event_dir: str = "event",
        frame_dir: str = "frame",
        split_file: str = "emotion.json",
        on_problem: str = "refuse",
        file_format: str = "array_record",
        **kwargs: Any,
    ):
        super().__init__(file_format=file_format, **kwargs)
        self._names = {
            "event_dir": event_dir,
            "frame_dir": frame_dir,
            "split_file": split_file,
            "on_problem": on_problem,
        }
        self._original_state |= {**self._names, "file_format": file_format}  # pickling

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(None, None, 1), encoding_format="jpeg")
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "name": tfds.features.Text(),
                    "event_frames": tfds.features.Sequence(image),
                    "intensity_frames": tfds.features.Sequence(image),
                    # Its names come from the split file, in `download_and_prepare`.
                    "label": tfds.features.ClassLabel(),
                    "lighting": tfds.features.ClassLabel(names=see.LIGHTINGS),
                    "volunteer": np.int32,
                    "sex": tfds.features.ClassLabel(names=see.SEXES),
                    "age": np.int32,
                    "degree": tfds.features.ClassLabel(names=see.DEGREES),
                    "take": np.int32,
                    "segment": tfds.features.Tensor(
                        shape=(2,), dtype=np.int32, doc="frames [start, end)"
                    ),
                    "metadata": tfds.features.Text(doc="all fields, as JSON"),
                }
            ),
            homepage="https://doi.org/10.1145/3588432.3591511",
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def download_and_prepare(
        self,
        *,
        download_dir: str | Path | None = None,
        download_config: tfds.download.DownloadConfig | None = None,
        **kwargs: Any,
    ) -> None:
        """Checks the SEE folder before TFDS writes or deletes anything.

        Args:
          download_dir: where TFDS would put downloads; there are none.
          download_config: its `manual_dir` is the SEE folder, its `beam_runner` and
            `beam_options` choose a Beam pipeline.

        Raises:
          UserError: there is no such folder, or the records to be replaced have other
            labels.
          SeeError: lists every problem of the folder.
        """
        config = download_config or tfds.download.DownloadConfig()
        if config.download_mode.overwrite_dataset or not self.data_path.exists():
            downloads = Path(download_dir or self.data_dir_root / "downloads")
            self._read_folder(Path(config.manual_dir or downloads / "manual"))
        super().download_and_prepare(
            download_dir=download_dir, download_config=config, **kwargs
        )

    def check(self, root: Path) -> see_folder.Contents:
        """Checks the SEE folder at `root` for this builder's parts and split."""
        folder = see_folder.SeeFolder(root.expanduser(), **self._names)
        by_volunteer = self.builder_config.by_volunteer
        return see_folder.check(folder, progress=True, by_volunteer=by_volunteer)

    def is_built_from(self, root: Path) -> bool:
        """Says whether the records that exist are those of the SEE folder at `root`.

        Clips, their order, labels and metadata, and the bytes of all images count.
        """
        contents = self.check(root)
        if contents.problems:
            return False
        here = json.loads(json.dumps(self._metadata(contents, self._divide(contents))))
        built = dict(self.info.metadata or {})
        for metadata in (here, built):
            metadata.pop("left_out", None)  # the reasons; they name the place
        labels = self.info.features["label"].names
        return (here, list(contents.split.labels)) == (built, labels)

    def _read_folder(self, root: Path) -> None:
        contents = self.check(root)
        for line in see_folder.passed_over_lines(contents):
            print(line)
        contents.raise_problems()
        self._contents, self._clips = contents, self._divide(contents)
        labels = list(contents.split.labels)
        label = self.info.features["label"]
        built = label.names if label.num_classes else None
        if self.data_path.exists() and built != labels:
            # TFDS keeps the names that it has read from the records to be replaced.
            rule = f"labels {built}, as in {self.data_path}"
            remedy = "delete that folder to build with others"
            path = root / self._names["split_file"]
            refuse(path, rule, labels, remedy)

    def _split(self, contents: see_folder.Contents) -> Split:
        split = contents.used_split
        by_volunteer = self.builder_config.by_volunteer
        return split_by_volunteer(split) if by_volunteer else split

    def _divide(
        self, contents: see_folder.Contents
    ) -> dict[str, list[see_folder.Clip]]:
        split = self._split(contents)
        return {
            part: [contents.clips[x] for x in split.of_subset(subset)]
            for part, subset in SUBSET_OF_SPLIT.items()
        }

    def _metadata(self, contents: see_folder.Contents, parts) -> dict[str, Any]:
        """Returns what is asked of all records at once, without reading them."""
        split = self._split(contents)
        left_out = {part: [] for part in parts}
        for name in contents.left_out:
            note = split.clips.get(name)  # none where its entry is wrong
            subset = note.subset if note else split.wrong_subsets.get(name)
            in_test = subset == SUBSET_OF_SPLIT["test"]
            left_out["test" if in_test else "train"].append(name)
        records = {
            part: {
                "names": [clip.name for clip in clips],
                "segments": [_segment(clip) for clip in clips],
                "sha256": digest(clips),
                "labels": [clip.annotation.label for clip in clips],
                "num_frames": [len(clip.event_files) for clip in clips],
                "metadata": columns(clips),
                "left_out": left_out[part],
            }
            for part, clips in parts.items()
        }
        return {
            "provenance": contents.provenance,
            "records": records,
            "frames_per_s": contents.split.frames_per_s,
            "on_problem": self._names["on_problem"],
            "left_out": dict(contents.left_out),
            "dropped": {name: list(x) for name, x in contents.dropped.items()},
        }

    def _download_and_prepare(self, dl_manager, download_config):
        # TFDS reads the runner of shard-based builders from `beam_runner` alone, but
        # `tfds build --beam_pipeline_options=runner=...` states it in the options.
        options = download_config.beam_options
        if options and not download_config.beam_runner:
            runner = options.get_all_options()["runner"] or "DirectRunner"
            download_config = dataclasses.replace(download_config, beam_runner=runner)
        super()._download_and_prepare(dl_manager, download_config)

    def _example_writer(self):
        return _PlainWriter(self.info.file_format)

    def _shard_iterators_per_split(self, dl_manager):
        label, labels = self.info.features["label"], self._contents.split.labels
        # They are equal when it is built again.
        if not label.num_classes or label.names != list(labels):
            label.names = labels
        self.info.metadata.update(self._metadata(self._contents, self._clips))
        shards = {}
        for part, clips in self._clips.items():
            generators = [
                functools.partial(generate_examples, clips[i : i + CLIPS_PER_SHARD])
                for i in range(0, len(clips), CLIPS_PER_SHARD)
            ]
            shards[part] = tqdm.tqdm(
                generators, desc=f"write {part}", unit="shard", disable=None
            )
        return shards


class _PlainWriter(tfds.core.ExampleWriter):
    """Writes ArrayRecord without compression.

    JPEG files hardly compress, and decompressing a clip takes as long as decoding two
    of its images, which random access would cost for every window.
    """

    def write(self, path, examples):
        if self.file_format is not tfds.core.FileFormat.ARRAY_RECORD:
            return super().write(path, examples)
        try:
            writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
            for _, example in examples:
                writer.write(example)
            writer.close()
        except RuntimeError as error:  # its kind for every failed write
            remedy = "make room or give another DATA_DIR"
            refuse(path, "a place that can be written and has room", error, remedy)
        return None


def generate_examples(
    clips: list[see_folder.Clip],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields an example for TFDS per clip, with the bytes of its files unchanged."""
    for clip in clips:
        fields = see.parse_name(clip.name)
        yield (
            clip.name,
            {
                "name": clip.name,
                "event_frames": [path.read_bytes() for path in clip.event_files],
                "intensity_frames": [path.read_bytes() for path in clip.frame_files],
                "label": clip.annotation.label,
                # -1 where the name has no such field.
                **{x: getattr(fields, x, -1) for x in (*see.METADATA_FIELDS, "take")},
                "segment": _segment(clip),
                "metadata": json.dumps(clip.metadata),
            },
        )


def columns(clips: list[see_folder.Clip]) -> dict[str, list[Any]]:
    """Returns the clips' metadata by field: numbers, or texts where one is a text.

    A clip without a field has the text "" there.
    """
    rows = [clip.metadata for clip in clips]
    table = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name, "") for row in rows]
        texts = any(isinstance(x, str) for x in values)
        table[name] = [*map(str, values)] if texts else values
    return table


def digest(clips: list[see_folder.Clip]) -> str:
    """Hashes the hashes of the clips, in order: equal where all images are equal.

    The record files do not tell that: their bytes differ from build to build. Labels
    and metadata that are not in a clip's name are hashed with it.
    """
    parts = []
    for clip in clips:
        note = clip.annotation
        fields = see.parse_name(clip.name)
        said = fields and fields.emotion == note.label and not note.metadata
        own = "" if said else json.dumps([note.label, clip.metadata], sort_keys=True)
        parts.append(clip.sha256 + own)
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _segment(clip: see_folder.Clip) -> list[int]:
    return [clip.annotation.start, clip.annotation.end]
