"""The vocabulary of SEE: emotions, lightings, clip names, the split file, statistics.

All facts about the dataset are in this module. Text from disk becomes `ClipName`,
`Annotation` and `Split`; whatever does not fit becomes a `Problem`.

Note: the class order is the order of `labels` in the split file, not of `EMOTIONS`.

Reference: Zhang et al., "In the Blink of an Eye: Event-based Emotion Recognition",
SIGGRAPH 2023, and the dataset instructions and result files published with it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from seen_jax.errors import UserError, check_option, one_of, printable, refuse
from seen_jax.files import read_json

EMOTIONS = ("angry", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
LIGHTINGS = ("normal", "Overexposed", "Low", "HDR")  # spelled as the dataset does
SEXES = ("man", "woman")
DEGREES = ("undergraduate", "Master", "Doctor")
SUBSETS = ("training", "testing")

NUM_CLIPS = 2405
NUM_TESTING_CLIPS = 767
NUM_VOLUNTEERS = 111
# Frames of a clip, over all clips; the standard deviation and the mean are rounded.
LENGTH_MEAN, LENGTH_STD, LENGTH_MIN, LENGTH_MAX = 53.5, 15.2, 18, 131
FRAMES_PER_S = 30
FRAME_PERIOD_US = 33_333
IMAGE_SIZE = 180  # rows and columns of an image on disk
JPEG_QUALITY = 75
INPUT_SIZE = 90  # rows and columns of an image in the network

# Channel statistics of the whole dataset, 0 to 1, most likely taken after the resize
# to 90 x 90. Reference: the published program's normalisation.
EVENT_MEAN, EVENT_STD = 0.504413, 0.06928615
INTENSITY_MEAN, INTENSITY_STD = 0.22616537, 0.118931554

# In a SEE folder that was simulated: what the simulator was asked for.
PROVENANCE_FILE = "simulation.json"

# Grey levels of an event frame; a JPEG shifts them by a few levels (ringing).
EVENT_OFF, EVENT_NONE, EVENT_ON = 0, 128, 255


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong with a SEE folder.

    Attributes:
      path: the file, folder or entry.
      expected: the rule.
      got: what is there instead.
      clip: the clip of the split file that it spoils; "" if it is none.
      tolerated: the published loader passes over it silently.
    """

    path: str
    expected: str
    got: str
    clip: str = field(default="", compare=False)
    tolerated: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return printable(f"{self.path}: expected {self.expected}, got {self.got}")


class SeeError(UserError):
    """Data that does not follow the format of SEE; `problems` lists all of them."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{count} problem{'s' if count != 1 else ''} in the SEE data:"
        super().__init__("\n  ".join([head, *excerpt_of(self.problems)]))

    def __reduce__(self):  # the default one would pass the text as the problems
        return type(self), (self.problems,)


NUM_SHOWN = 20  # problems in a message


def excerpt_of(problems: Iterable[Problem]) -> list[str]:
    """Returns a line for each of the first problems, and one for the others."""
    problems = tuple(problems)
    lines = [str(problem) for problem in problems[:NUM_SHOWN]]
    if more := len(problems) - len(lines):
        option = "python -m seen_jax.see_folder with --problems=FILE writes all"
        lines.append(f"and {more} more; {option}")
    return lines


def emotion_from_text(text: str) -> str | None:
    """Returns the emotion that `text` names in any case, None if it names none.

    The dataset's own instructions spell one folder `neutraL`.
    """
    return label_from_text(text, EMOTIONS)


@dataclass(frozen=True, order=True)
class ClipName:
    """The fields of a clip's name, in the order in which the name has them.

    `1_001_man_24_Master_normal_angry_45_take000` is sequence 1, volunteer 1, a man of
    24 years with a Master's degree, normal light, angry, 45 frames, take 0.
    `str(ClipName.parse(name)) == name` for every name that parses.
    """

    sequence: int
    volunteer: int
    sex: str
    age: int
    degree: str
    lighting: str
    emotion: str
    length: int
    take: int

    def __str__(self) -> str:
        return (
            f"{self.sequence}_{self.volunteer:03d}_{self.sex}_{self.age}_{self.degree}"
            f"_{self.lighting}_{self.emotion}_{self.length}_take{self.take:03d}"
        )

    @classmethod
    def parse(cls, name: str) -> ClipName:
        """Parses a clip's name.

        Raises:
          UserError: names the first field that breaks its rule.
        """
        what, fields = f"clip name {name!r}", name.split("_")
        if len(fields) != len(_FIELDS):
            rule = f"a clip name of {len(_FIELDS)} fields ({'_'.join(_FIELDS)})"
            refuse(what, rule, f"{len(fields)} fields")
        values: dict[str, Any] = {}
        for (part, (rule, read)), text in zip(_FIELDS.items(), fields, strict=True):
            values[part] = read(text)
            if values[part] is None:
                refuse(what, f"a clip name whose {part} is {rule}", repr(text))
        return cls(**values)


_DIGITS = 9  # so that the number fits the records' int32


def _number(text: str, width: int = 1) -> int | None:
    """Reads decimal digits that were written with `width` digits, zero-padded."""
    plain = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    return int(text) if plain and f"{int(text):0{width}d}" == text else None


def _word(names: tuple[str, ...]):
    return one_of(names), lambda text: text if text in names else None


_NUMBER = f"a number of at most {_DIGITS} digits"
_NUMBER_OF_3 = f"a number of 3 to {_DIGITS} digits"
_FIELDS = {  # field: (rule in words, reader that returns None where the rule is broken)
    "sequence": (_NUMBER, _number),
    "volunteer": (_NUMBER_OF_3, lambda text: _number(text, 3)),
    "sex": _word(SEXES),
    "age": (_NUMBER, _number),
    "degree": _word(DEGREES),
    "lighting": _word(LIGHTINGS),
    "emotion": _word(EMOTIONS),
    "length": (_NUMBER, _number),
    "take": (
        f"`take` and {_NUMBER_OF_3}",
        lambda text: _number(text[4:], 3) if text.startswith("take") else None,
    ),
}


# Of the fields of a name, those that become a clip's metadata.
METADATA_FIELDS = ("volunteer", "sex", "age", "degree", "lighting")


def parse_name(name: str) -> ClipName | None:
    """Returns the fields of a clip's name, None if it is no name of SEE."""
    try:
        return ClipName.parse(name)
    except UserError:
        return None


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
        fields = parse_name(name)
        own = {x: getattr(fields, x) for x in METADATA_FIELDS} if fields else {}
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
    """

    labels: tuple[str, ...]
    clips: Mapping[str, Annotation]
    frames_per_s: float = FRAMES_PER_S

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
      path: where it was read, for the problems.

    Returns:
      The entries that are right or whose problem is tolerated, and a problem for each
      that is not right.
    """
    problems: list[Problem] = []
    if not isinstance(content, dict):
        return Split((), {}), [Problem(path, "a JSON object", excerpt(content))]
    labels, problem = _parse_labels(content.get("labels"))
    if problem:
        problems.append(
            Problem(
                f"{path}: labels",
                problem,
                excerpt(content["labels"]) if "labels" in content else "nothing",
            )
        )
    rate = content.get("frames_per_s", FRAMES_PER_S)
    if not _is_number(rate) or not 0 < rate <= 1e6:
        rule = "a number above 0 and at most 1000000"
        problems.append(Problem(f"{path}: frames_per_s", rule, excerpt(rate)))
        rate = FRAMES_PER_S
    database = content.get("database")
    if not isinstance(database, dict):
        rule = "an object with an entry per clip"
        problems.append(Problem(f"{path}: database", rule, excerpt(database)))
        database = {}
    clips = {}
    for name, entry in database.items():
        wrong = _entry_problem(name, entry, labels)
        if wrong:
            place = entry_place(path, name)
            problem = Problem(place, *wrong[:2], clip=name, tolerated=len(wrong) > 2)
            problems.append(problem)
            if not problem.tolerated:
                continue
        note = entry["annotations"]
        label = label_from_text(note["label"], labels) or note["label"]
        metadata = entry.get("metadata", {})
        clips[name] = Annotation(entry["subset"], label, *note["segment"], metadata)
    fields = {x for clip in clips.values() for x in clip.metadata}
    if len(fields) > MAX_FIELDS:
        rule = f"at most {MAX_FIELDS} different fields of metadata"
        problems.append(Problem(f"{path}: database", rule, str(len(fields))))
    return Split(labels, clips, float(rate)), problems


def _parse_labels(labels: Any) -> tuple[tuple[str, ...], str]:
    """Returns the labels and the rule that they break, "" if none.

    Those of SEE are spelled as in `EMOTIONS`, since a case differs in the instructions.
    """
    if not isinstance(labels, list) or not all(isinstance(x, str) for x in labels):
        return (), "a list of 2 or more different names"
    if {x.lower() for x in labels} == {*EMOTIONS}:
        labels = [x.lower() for x in labels]
    if len(labels) < 2 or len({x.lower() for x in labels}) < len(labels):
        return (), "a list of 2 or more different names, whatever their case"
    if len(labels) > MAX_LABELS or not all(map(_names_a_folder, labels)):
        return (), f"at most {MAX_LABELS} names of {_FOLDER_NAME}"
    return tuple(labels), ""


_FOLDER_NAME = "at most 200 printable letters that can name a folder, without / or \\"


MAX_LABELS, MAX_FIELDS = 1000, 100  # so that no file makes the check slow or large


def _names_a_folder(name: str) -> bool:
    plain = name.isprintable() and name == name.strip() and not {*"/\\"} & {*name}
    return plain and 0 < len(name.encode()) <= 200 and not name.startswith(".")


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def label_from_text(text: Any, labels: Collection[str]) -> str | None:
    """Returns the label that `text` names in any case, None if it names none."""
    lower = text.lower() if isinstance(text, str) else None
    return next((label for label in labels if label.lower() == lower), None)


def entry_place(path: str, name: str) -> str:
    """Returns the place of a clip's entry, as problems name it."""
    return f"{path}: database[{name!r}]"


def is_see(labels: Collection[str]) -> bool:
    """Says whether the labels are the emotions of SEE, in any order."""
    return {*labels} == {*EMOTIONS}


def _entry_problem(name: str, entry: Any, labels: Collection[str]) -> tuple | None:
    """Returns (expected, got) of the first thing wrong with one split entry.

    A third value says that the problem is tolerated.
    """
    metadata = entry.get("metadata", {}) if isinstance(entry, dict) else {}
    clip = parse_name(name)
    try:
        if is_see(labels) and not metadata:
            ClipName.parse(name)
    except UserError as error:
        return f"{error.expected}, or metadata in its entry", error.got
    if not _names_a_folder(name):
        return f"a clip name of {_FOLDER_NAME}", excerpt(name)
    if not isinstance(entry, dict) or entry.get("subset") not in SUBSETS:
        return f"a subset, {one_of(SUBSETS)}", excerpt(entry)
    note = entry.get("annotations")
    if not isinstance(note, dict):
        return "annotations with label and segment", excerpt(note)
    text = note.get("label")
    label = label_from_text(text, labels or EMOTIONS)
    if clip and (is_see(labels) or not labels) and label != clip.emotion:
        return f"label {clip.emotion}, as in the clip's name", excerpt(text)
    if not isinstance(text, str) or (labels and label is None):
        return f"a label, {shortened(one_of(labels))}", excerpt(text)
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


def excerpt(value: Any) -> str:
    """Returns a value as JSON, or its beginning."""
    try:
        text = "nothing" if value is None else json.dumps(value)
    except RecursionError:  # parsing allows a few levels more
        text = "values nested too deep"
    return shortened(text)


def shortened(text: str, length: int = 120) -> str:
    """Returns a text, or its beginning."""
    return text if len(text) <= length else text[: length - 3] + "..."


def load_split(path: str | os.PathLike) -> tuple[Split, list[Problem]]:
    """Reads a split file; broken JSON is a problem like any other."""
    try:
        content = read_json(path)
    except UserError as error:
        return Split((), {}), [Problem(str(path), error.expected, error.got)]
    return parse_split(content, str(path))


def load_provenance(path: str | os.PathLike) -> tuple[dict[str, Any], list[Problem]]:
    """Reads a folder's `PROVENANCE_FILE`; a folder without one holds real data.

    Returns:
      Plain values, with "source": `simulated`, or `real` where there is no file; and
      what is wrong with the file.
    """
    if not os.path.lexists(path):
        return {"source": "real"}, []
    try:
        content = read_json(path)
    except UserError as error:
        return {}, [Problem(str(path), error.expected, error.got)]
    plain = isinstance(content, dict) and isinstance(content.get("source"), str)
    if not plain or any(isinstance(x, dict | list) for x in content.values()):
        rule = 'a JSON object of plain values with the text "source"'
        return {}, [Problem(str(path), rule, excerpt(content))]
    return content, []


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
    if split.frames_per_s != FRAMES_PER_S:
        content["frames_per_s"] = split.frames_per_s
    return json.dumps(content | {"database": database}, indent=1)


def split_by_volunteer(split: Split, seed: int = 0) -> Split:
    """Divides the same clips anew so that no volunteer is in both subsets.

    The published split does not keep people apart: 89 of the 111 volunteers are in the
    testing subset. Their clips' sequence numbers have more gaps than there are numbers
    without a clip, so that at least 133 of the 767 clips show someone who is in
    training too.

    The testing share of the emotions and lightings comes near to the published 767 of
    2,405; see `draw_testing`.

    Args:
      split: any split of the clips; its subsets are ignored, clips left out stay so.
      seed: at least 0; the same seed and clips give the same split, in whatever order
        the entries are.

    Raises:
      UserError: there are clips of fewer than two volunteers, or the seed is negative.
    """
    clips = {
        name: (clip.label, clip.all_metadata(name))
        for name, clip in split.clips.items()
        if not clip.left_out
    }
    if seed < 0:
        refuse("seed", "0 or more", seed)
    for name, (_, metadata) in clips.items():
        if metadata.get("volunteer", "") == "":
            rule = "a volunteer in the name or the metadata"
            remedy = "use the folder's split"
            refuse(f"split by volunteer: clip {name!r}", rule, "none", remedy)
    # Numbers before names: the two have no order among them.
    volunteers = sorted(
        {metadata["volunteer"] for _, metadata in clips.values()},
        key=lambda who: (isinstance(who, str), who),
    )
    if len(volunteers) < 2:
        rule = "clips of at least 2 volunteers"
        refuse("split by volunteer", rule, len(volunteers), "use the folder's split")
    row_of = {who: row for row, who in enumerate(volunteers)}
    lightings = {metadata.get("lighting", "") for _, metadata in clips.values()}
    # A lighting may be called as a label is.
    groups = [(0, label) for label in split.labels] + [(1, x) for x in lightings]
    column_of = {group: column for column, group in enumerate(groups)}
    counts = np.zeros((len(volunteers), len(groups)), np.int64)
    for label, metadata in clips.values():
        row = row_of[metadata["volunteer"]]
        counts[row, column_of[0, label]] += 1
        counts[row, column_of[1, metadata.get("lighting", "")]] += 1
    share = Fraction(NUM_TESTING_CLIPS, NUM_CLIPS)
    rows = draw_testing(counts, len(split.labels), share, seed)
    testing = {volunteers[row] for row in rows}
    divided = {
        name: dataclasses.replace(
            clip,
            subset="testing"
            if clip.all_metadata(name).get("volunteer") in testing
            else "training",
        )
        for name, clip in split.clips.items()
    }
    return dataclasses.replace(split, clips=divided)


def draw_testing(
    counts: np.ndarray, num_labels: int, share: Fraction, seed: int
) -> list[int]:
    """Chooses the volunteers whose clips are for testing.

    Draws 256 random orders of the volunteers, cuts each where the testing share of the
    labels comes nearest to `share`, and keeps the one whose groups come nearest to it.

    Args:
      counts: int64 (V, G), clips of each volunteer in each group; labels come first.
      num_labels: how many of the groups are labels.
      share: of the clips, 0 to 1.
      seed: at least 0.

    Returns:
      Rows of `counts`: at least one, and not all of two or more.
    """
    # Whole numbers: no rounding decides.
    total = share.numerator * counts.sum(axis=0)
    rng = np.random.Generator(np.random.PCG64(seed))
    least, testing = None, []
    for _ in range(256):
        order = rng.permutation(len(counts))
        sums = share.denominator * counts[order].cumsum(axis=0)
        distances = np.abs(sums - total)[: max(1, len(counts) - 1)]
        cut = int(distances[:, :num_labels].sum(axis=1).argmin())
        distance = distances[cut].sum()
        if least is None or distance < least:
            least, testing = distance, order[: cut + 1].tolist()
    return testing


if __name__ == "__main__":  # an old script's check must not pass unseen
    raise SystemExit("the check of a SEE folder is python -m seen_jax.see_folder")
