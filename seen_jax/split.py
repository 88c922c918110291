"""The split file: which clips there are, their labels, segments, subsets and metadata.

Text from disk becomes `Split` and `Annotation`; whatever does not fit becomes a
`Problem`.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from seen_jax import see
from seen_jax.errors import UserError, check_option, one_of, shortened
from seen_jax.files import read_json
from seen_jax.problems import Problem, excerpt

SUBSETS = ("training", "testing")
# So that no file makes the check slow or large.
MAX_CLIPS, MAX_LABELS, MAX_FIELDS = 100_000, 1000, 100
FOLDER_NAME = (
    "at most 200 bytes of printable letters without / or \\, not beginning with a dot"
)


@dataclass(frozen=True)
class Annotation:
    """What the split file says of a clip.

    Attributes:
      subset: one of `SUBSETS`.
      label: the clip's class.
      start, end: the segment, frames [start, end).
      metadata: free fields, text or numbers.
    """

    subset: str
    label: str
    start: int
    end: int
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def all_metadata(self, name: str) -> dict[str, Any]:
        """Returns the free fields, and those that the clip's name has."""
        fields = see.parse_name(name)
        own = {x: getattr(fields, x) for x in see.METADATA_FIELDS} if fields else {}
        return own | {x: y for x, y in self.metadata.items() if x not in own}

    @property
    def left_out(self) -> bool:
        """A segment that ends at 0 marks a clip that belongs to no subset."""
        return self.end == 0


@dataclass(frozen=True)
class Split:
    """A split file.

    Attributes:
      labels: class names in class-index order.
      clips: an annotation per clip.
      frames_per_s: of all clips.
      wrong_subsets: the subset named by each entry that lacks a valid annotation.
    """

    labels: tuple[str, ...]
    clips: Mapping[str, Annotation]
    frames_per_s: float = see.FRAMES_PER_S
    wrong_subsets: Mapping[str, str] = field(default_factory=dict)

    def of_subset(self, subset: str) -> list[str]:
        """Names of the subset's clips, those left out excepted, in the file's order."""
        check_option("subset", subset, SUBSETS)
        return [
            name
            for name, clip in self.clips.items()
            if clip.subset == subset and not clip.left_out
        ]


def parse_split(content: Any, path: str) -> tuple[Split, list[Problem]]:
    """Turns the parsed JSON of a split file into a `Split` and its problems.

    Where the labels are the emotions of SEE, a clip without metadata must have a name
    of SEE; any other clip may have any name that can name a folder.

    Args:
      content: `{"labels": [...], "frames_per_s": 30, "database": {name: {"subset": ...,
        "annotations": {"label": ..., "segment": [start, end]}, "metadata": {...}}}}`;
        "frames_per_s" and "metadata" are optional.

    Returns:
      The entries that are right or whose problem is tolerated, and a problem for each
      that is not right.
    """
    problems: list[Problem] = []
    if not isinstance(content, dict):
        return Split((), {}), [Problem(path, "a JSON object", excerpt(content))]

    def add(field, rule, got):
        problems.append(Problem(f"{path}: {field}", rule, got))

    labels, rule = _parse_labels(content.get("labels"))
    if rule:
        add("labels", rule, excerpt(content.get("labels")))
    rate = content.get("frames_per_s", see.FRAMES_PER_S)
    if not _is_number(rate) or not 0 < rate <= 1e6:
        add("frames_per_s", "a number above 0 and at most 1000000", excerpt(rate))
        rate = see.FRAMES_PER_S
    database = content.get("database")
    if not isinstance(database, dict):
        add("database", "an object with an entry per clip", excerpt(database))
        database = {}
    if len(database) > MAX_CLIPS:
        add("database", f"at most {MAX_CLIPS} entries", str(len(database)))
        database = {}
    clips, wrong_subsets = {}, {}
    for name, entry in database.items():
        wrong = _entry_problem(name, entry, labels)
        if wrong:
            clip = shortened(name, 255)  # no folder has a longer one
            place = f"{path}: database[{clip!r}]"
            problem = Problem(place, *wrong[:2], clip=clip, tolerated=len(wrong) > 2)
            problems.append(problem)
            if not problem.tolerated:
                if isinstance(entry, dict) and entry.get("subset") in SUBSETS:
                    wrong_subsets[clip] = entry["subset"]
                continue
        note = entry["annotations"]
        label = see.label_from_text(note["label"], labels) or note["label"]
        metadata = entry.get("metadata", {})
        clips[name] = Annotation(entry["subset"], label, *note["segment"], metadata)
    fields = {x for clip in clips.values() for x in clip.metadata}
    if len(fields) > MAX_FIELDS:
        rule = f"at most {MAX_FIELDS} different fields of metadata"
        add("database", rule, str(len(fields)))
    split = Split(labels, clips, float(rate), wrong_subsets)
    return split, _shared(problems, labels, path)


def _label_rule(labels: Collection[str]) -> str:
    return f"a label, {shortened(one_of(labels))}"


def _shared(
    problems: list[Problem], labels: Collection[str], path: str
) -> list[Problem]:
    """Returns one problem of `labels` for a label that several clips have."""
    rule = _label_rule(labels)
    counts = Counter(x.got for x in problems if x.expected == rule)

    def shared(x):
        if x.expected != rule or counts[x.got] == 1:
            return x
        got = f"no {x.got}, which {counts[x.got]} clips have"
        return Problem(f"{path}: labels", "the labels of all clips", got, clip=x.clip)

    return list(map(shared, problems))


def _parse_labels(labels: Any) -> tuple[tuple[str, ...], str]:
    """Returns the labels and the rule that they break, "" if none.

    Those of SEE are spelled as in `EMOTIONS`, since the instructions differ in case.
    """
    if not isinstance(labels, list) or not all(isinstance(x, str) for x in labels):
        return (), "a list of 2 or more different names"
    if {x.lower() for x in labels} == {*see.EMOTIONS}:
        labels = [x.lower() for x in labels]
    if len(labels) < 2 or len({x.lower() for x in labels}) < len(labels):
        return (), "a list of 2 or more different names, whatever their case"
    if len(labels) > MAX_LABELS or not all(map(names_a_folder, labels)):
        return (), f"at most {MAX_LABELS} names of {FOLDER_NAME}"
    return tuple(labels), ""


def names_a_folder(name: str) -> bool:
    """Says whether a label or a clip's name follows `FOLDER_NAME`."""
    plain = name.isprintable() and name == name.strip() and not {*"/\\"} & {*name}
    return plain and 0 < len(name.encode()) <= 200 and not name.startswith(".")


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _entry_problem(name: str, entry: Any, labels: Collection[str]) -> tuple | None:
    """Returns (expected, got) of the first thing wrong with one split entry.

    A third value says that the problem is tolerated.
    """
    metadata = entry.get("metadata", {}) if isinstance(entry, dict) else {}
    clip = see.parse_name(name)
    try:
        if see.is_see(labels) and not metadata:
            see.ClipName.parse(name)
    except UserError as error:
        return f"{error.expected}, or metadata in its entry", shortened(error.got)
    if not names_a_folder(name):
        return f"a clip name of {FOLDER_NAME}", excerpt(name)
    if not isinstance(entry, dict) or entry.get("subset") not in SUBSETS:
        return f"a subset, {one_of(SUBSETS)}", excerpt(entry)
    note = entry.get("annotations")
    if not isinstance(note, dict):
        return "annotations with label and segment", excerpt(note)
    text = note.get("label")
    label = see.label_from_text(text, labels or see.EMOTIONS)
    if clip and (see.is_see(labels) or not labels) and label != clip.emotion:
        return f"label {clip.emotion}, as in the clip's name", excerpt(text)
    if not isinstance(text, str) or (labels and label is None):
        return _label_rule(labels), excerpt(text)
    if not isinstance(metadata, dict) or not all(
        map(_is_plain, (*metadata, *metadata.values()))
    ):
        rule = "metadata of printable texts, and numbers below 2**53, not nan"
        return rule, excerpt(metadata)
    segment = note.get("segment")
    if (
        not isinstance(segment, list)
        or [type(x) for x in segment] != [int, int]
        or not (segment[0] >= 0 == segment[1] or 0 <= segment[0] < segment[1])
        or max(segment) >= 2**31
    ):
        return "segment [start, end] with 0 <= start < end, or end 0", excerpt(segment)
    if clip and segment[1] > clip.length:
        rule = f"a segment within the {clip.length} frames of the name"
        return rule, excerpt(segment), True
    return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return value.isprintable()
    return _is_number(value) and abs(value) < 2**53


def load_split(path: str | os.PathLike) -> tuple[Split, list[Problem]]:
    """Reads a split file; broken JSON is a problem like any other."""
    try:
        content = read_json(path)
    except UserError as error:
        return Split((), {}), [Problem(str(path), error.expected, error.got)]
    return parse_split(content, str(path))


def split_to_json(split: Split) -> str:
    """Formats a split as the text of a split file; the inverse of `parse_split`."""
    database = {
        name: {
            "subset": clip.subset,
            "annotations": {"label": clip.label, "segment": [clip.start, clip.end]},
            **({"metadata": dict(clip.metadata)} if clip.metadata else {}),
        }
        for name, clip in split.clips.items()
    }
    content: dict[str, Any] = {"labels": list(split.labels)}
    if split.frames_per_s != see.FRAMES_PER_S:
        content["frames_per_s"] = split.frames_per_s
    return json.dumps(content | {"database": database}, indent=1)
