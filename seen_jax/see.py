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
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seen_jax.errors import UserError, check_option, one_of, refuse
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
    """

    path: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {self.got}"


class SeeError(UserError):
    """Data that does not follow the format of SEE; `problems` lists all of them."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{count} problem{'s' if count != 1 else ''} in the SEE data:"
        super().__init__("\n  ".join([head, *map(str, self.problems)]))

    def __reduce__(self):  # the default one would pass the text as the problems
        return type(self), (self.problems,)


def emotion_from_text(text: str) -> str | None:
    """Returns the emotion that `text` names in any case, None if it names none.

    The dataset's own instructions spell one folder `neutraL`.
    """
    return text.lower() if text.lower() in EMOTIONS else None


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
        for (field, (rule, read)), text in zip(_FIELDS.items(), fields, strict=True):
            values[field] = read(text)
            if values[field] is None:
                refuse(what, f"a clip name whose {field} is {rule}", repr(text))
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


@dataclass(frozen=True)
class Annotation:
    """What the split file says of a clip; the segment is frames [start, end)."""

    subset: str
    label: str
    start: int
    end: int

    @property
    def left_out(self) -> bool:
        """A segment that ends at 0 marks a clip that belongs to no subset."""
        return self.end == 0


@dataclass(frozen=True)
class Split:
    """A split file: class names in class-index order, and an annotation per clip."""

    labels: tuple[str, ...]
    clips: Mapping[str, Annotation]

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

    Args:
      content: `{"labels": [...], "database": {name: {"subset": ..., "annotations":
        {"label": ..., "segment": [start, end]}}}}`.
      path: where it was read, for the problems.

    Returns:
      The entries that are right, and a problem for each that is not.
    """
    problems: list[Problem] = []
    if not isinstance(content, dict):
        return Split((), {}), [Problem(path, "a JSON object", excerpt(content))]
    labels, database = content.get("labels"), content.get("database")
    named = labels if isinstance(labels, list) else []
    known = [emotion_from_text(x) for x in named if isinstance(x, str)]
    if len(named) != len(EMOTIONS) or set(known) != set(EMOTIONS):
        rule = f"the {len(EMOTIONS)} emotions in any order ({', '.join(EMOTIONS)})"
        problems.append(Problem(f"{path}: labels", rule, excerpt(labels)))
    if not isinstance(database, dict):
        rule = "an object with an entry per clip"
        problems.append(Problem(f"{path}: database", rule, excerpt(database)))
        database = {}
    clips = {}
    for name, entry in database.items():
        problem = _entry_problem(name, entry)
        if problem:
            problems.append(Problem(entry_place(path, name), *problem))
            continue
        note = entry["annotations"]
        start, end = note["segment"]
        label = emotion_from_text(note["label"])
        clips[name] = Annotation(entry["subset"], label, start, end)
    return Split(tuple(x for x in known if x), clips), problems


def entry_place(path: str, name: str) -> str:
    """Returns the place of a clip's entry, as problems name it."""
    return f"{path}: database[{name!r}]"


def _entry_problem(name: str, entry: Any) -> tuple[str, str] | None:
    """Returns (expected, got) of the first thing wrong with one split entry."""
    try:
        clip = ClipName.parse(name)
    except UserError as error:
        return error.expected, error.got
    if not isinstance(entry, dict) or entry.get("subset") not in SUBSETS:
        return f"a subset, {one_of(SUBSETS)}", excerpt(entry)
    note = entry.get("annotations")
    if not isinstance(note, dict):
        return "annotations with label and segment", excerpt(note)
    label = note.get("label")
    if not isinstance(label, str) or emotion_from_text(label) != clip.emotion:
        return f"label {clip.emotion}, as in the clip's name", excerpt(label)
    segment = note.get("segment")
    if (
        not isinstance(segment, list)
        or [type(x) for x in segment] != [int, int]
        or not (segment[0] >= 0 == segment[1] or 0 <= segment[0] < segment[1])
    ):
        return "segment [start, end] with 0 <= start < end, or end 0", excerpt(segment)
    if segment[1] > clip.length:
        rule = f"a segment within the {clip.length} frames of the name"
        return rule, excerpt(segment)
    return None


def excerpt(value: Any) -> str:
    """Returns a value as JSON, or its beginning."""
    try:
        text = "nothing" if value is None else json.dumps(value)
    except RecursionError:  # parsing allows a few levels more
        text = "values nested too deep"
    return text if len(text) <= 120 else text[:117] + "..."


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
        }
        for name, clip in split.clips.items()
    }
    return json.dumps({"labels": list(split.labels), "database": database}, indent=1)


def split_by_volunteer(split: Split, seed: int = 0) -> Split:
    """Divides the same clips anew so that no volunteer is in both subsets.

    The published split does not keep people apart: 89 of the 111 volunteers are in the
    testing subset. Their clips' sequence numbers have more gaps than there are numbers
    without a clip, so that at least 133 of the 767 clips show someone who is in
    training too.

    Draws 256 random orders of the volunteers, cuts each where the testing share of the
    emotions comes nearest to the published 767 of 2,405, and keeps the one whose
    emotions and lightings come nearest to that share.

    Args:
      split: any split of the clips; its subsets are ignored, clips left out stay so.
      seed: at least 0; the same seed and clips give the same split, in whatever order
        the entries are.

    Raises:
      UserError: there are clips of fewer than two volunteers, or the seed is negative.
    """
    names = sorted(
        ClipName.parse(n) for n, clip in split.clips.items() if not clip.left_out
    )
    volunteers = sorted({name.volunteer for name in names})
    if seed < 0:
        refuse("seed", "0 or more", seed)
    if len(volunteers) < 2:
        rule = "clips of at least 2 volunteers"
        refuse("split by volunteer", rule, len(volunteers), "use the folder's split")
    groups = EMOTIONS + LIGHTINGS
    counts = np.zeros((len(volunteers), len(groups)), np.int64)
    for name in names:
        row = volunteers.index(name.volunteer)
        counts[row, groups.index(name.emotion)] += 1
        counts[row, groups.index(name.lighting)] += 1
    share = NUM_TESTING_CLIPS * counts.sum(axis=0)  # whole numbers: no rounding decides
    rng = np.random.Generator(np.random.PCG64(seed))
    least, testing = None, frozenset()
    for _ in range(256):
        order = rng.permutation(len(volunteers))
        distances = np.abs(NUM_CLIPS * counts[order].cumsum(axis=0) - share)[:-1]
        cut = int(distances[:, : len(EMOTIONS)].sum(axis=1).argmin())
        distance = distances[cut].sum()
        if least is None or distance < least:
            least = distance
            testing = frozenset(volunteers[i] for i in order[: cut + 1])
    clips = {
        name: dataclasses.replace(
            clip,
            subset="testing"
            if ClipName.parse(name).volunteer in testing
            else "training",
        )
        for name, clip in split.clips.items()
    }
    return Split(split.labels, clips)


if __name__ == "__main__":  # an old script's check must not pass unseen
    raise SystemExit("the check of a SEE folder is python -m seen_jax.see_folder")
