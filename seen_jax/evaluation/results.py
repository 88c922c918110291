"""Probabilities -> result files in the published form, and back from ours or theirs.

    test_<pass>.json                  an evaluation of a checkpoint, passes from 1
    test_epoch_<epoch>_<pass>.json    released files of an evaluation while training
    {"results": {"<clip name>": [{"label": "angry", "score": 0.99}, ...best first]}}

Files name classes by their labels, so that their order does not matter. The released
files list the best class alone, ours all of them.

Note: a file does not hold the true labels, which come from `evaluation.json` beside our
files, and from the clips' names for the released ones.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seen_jax import see
from seen_jax.data.clips import FIELDS
from seen_jax.errors import UserError, one_of, refuse
from seen_jax.files import explained, read_json, write_whole
from seen_jax.problems import excerpt

FILE_NAME = re.compile(r"test_(?:epoch_(0|[1-9]\d*)_)?([1-9]\d*)\.json")
BESIDE = "evaluation.json"  # of `provenance`, which says what the files hold
NAMES = "test_1.json or test_epoch_163_1.json"  # examples of them
FORM = '{"results": {"<clip name>": [{"label": ..., "score": ...}, ...best first]}}'
Ranking = dict[int, float]  # scores by class, best first


@dataclass(frozen=True)
class Results:
    """What several passes predicted for the same clips; P passes of N clips.

    Attributes:
      epoch: of the training; None where the files' names do not say.
      labels: K class names in class order.
      names: the N clips.
      label_index: (N,) int64, the true classes, positions in `labels`.
      predictions: (P, N) int64, the best class, a position in `labels`.
      scores: (P, N, K) float64, probabilities; nan where a file does not list the
        class.
      metadata: field to (N,) values; "" stands for one that is missing.
      num_runs: R, of which the passes follow each other, as many of each.
    """

    epoch: int | None
    labels: tuple[str, ...]
    names: tuple[str, ...]
    label_index: np.ndarray
    predictions: np.ndarray
    scores: np.ndarray
    metadata: Mapping[str, np.ndarray]
    num_runs: int = 1

    @property
    def num_passes(self) -> int:
        """Of each run."""
        return len(self.predictions) // self.num_runs

    @property
    def right(self) -> np.ndarray:
        """(R, N) the share of a run's passes in which the clip's best class is true."""
        is_right = self.predictions == self.label_index
        return is_right.reshape(self.num_runs, -1, len(self.names)).mean(axis=1)

    def in_order_of(self, other: Results) -> Results | None:
        """Sorts the clips as another has them; None unless they are the same."""
        truth = [
            dict(zip(x.names, [x.labels[k] for k in x.label_index], strict=True))
            for x in (self, other)
        ]
        if truth[0] != truth[1]:
            return None
        place = {name: i for i, name in enumerate(self.names)}
        return self.take([place[name] for name in other.names])

    def take(self, here: np.ndarray | Sequence[int]) -> Results:
        """Keeps the clips where `here` (N,) is true, or those of its numbers."""
        return replace(
            self,
            names=tuple(np.array(self.names, object)[here].tolist()),
            label_index=self.label_index[here],
            predictions=self.predictions[:, here],
            scores=self.scores[:, here],
            metadata={field: x[here] for field, x in self.metadata.items()},
        )

    @property
    def volunteers(self) -> np.ndarray | None:
        """(N,) who each clip shows; None unless that is known of every clip."""
        who = self.metadata.get("volunteer")
        if who is None or not known(who).all():
            return None
        return who if who.dtype != object else who.astype(str)

    @property
    def num_volunteers(self) -> int | None:
        return None if self.volunteers is None else len({*self.volunteers.tolist()})

    @property
    def lightings(self) -> np.ndarray | None:
        return self.metadata.get("lighting")


def joined(runs: Sequence[Results]) -> Results | None:
    """Puts runs together; None unless classes, clips and number of passes are the same.

    Note: of a run alone nothing changes; truth and metadata are the first's.
    """
    first = runs[0]
    runs = [x.in_order_of(first) for x in runs]
    kinds = {x and (x.labels, len(x.predictions)) for x in runs}
    if kinds != {(first.labels, len(first.predictions))}:
        return None
    passes = {
        name: np.concatenate([getattr(x, name) for x in runs])
        for name in ("predictions", "scores")
    }
    epoch = first.epoch if {x.epoch for x in runs} == {first.epoch} else None
    return replace(first, epoch=epoch, **passes, num_runs=len(runs))


def known(values: np.ndarray) -> np.ndarray:
    """Returns where metadata are given: "" stands for a value that is missing."""
    return np.array([str(value) not in ("", "None") for value in values], bool)


def file_name(of_pass: int, epoch: int | None = None) -> str:
    """Returns the published name of a result file; passes count from 1."""
    return f"test_{'' if epoch is None else f'epoch_{epoch}_'}{of_pass}.json"


def write_results(
    directory: str | os.PathLike,
    names: Sequence[str],
    labels: Sequence[str],
    probabilities: np.ndarray,
) -> list[Path]:
    """Writes a file for each pass, each of them complete or absent.

    Args:
      directory: made if it does not exist; files of the same names are replaced.
      names: N clip names.
      labels: K class names in class order.
      probabilities: (P, N, K).

    Returns:
      The P files.

    Raises:
      UserError: shapes do not match, the directory holds more passes, which would be
        taken for passes of this evaluation, or it cannot be written.
    """
    shape, expected = probabilities.shape, (len(names), len(labels))
    if len(shape) != 3 or shape[1:] != expected:
        refuse("probabilities", "(P, {}, {})".format(*expected), shape)
    directory = Path(directory)
    files = [directory / file_name(number) for number in range(1, shape[0] + 1)]
    with explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        check_room(directory, len(files))
        for file, of_pass in zip(files, probabilities, strict=True):
            rankings = [_ranking(row, labels) for row in of_pass]
            results = dict(zip(names, rankings, strict=True))
            write_whole(file, json.dumps({"results": results}))
    return files


def check_room(directory: Path, num_passes: int) -> None:
    """Raises a `UserError` if a directory holds result files of more passes."""
    last = max(_files(directory).get(None, ()), default=0)
    if last > num_passes:
        rule = f"no pass after {num_passes}"
        remedy = "name another directory (--out=DIR of eval.py)"
        refuse(directory, rule, file_name(last), remedy)


def _ranking(row: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Returns all classes, best first; of equal ones the first, as arg max does."""
    order = np.argsort(-row, kind="stable")
    return [{"label": labels[k], "score": float(row[k])} for k in order]


def read_results(
    directory: str | os.PathLike,
    labels: Sequence[str],
    clips: Mapping[str, Any] | None = None,
) -> list[Results]:
    """Reads all result files of a directory; ignores other files in it.

    Args:
      directory: of ours or released ones.
      labels: K class names in class order; the released files' are those of SEE.
      clips: names, labels and metadata of the clips, as `evaluation.json` has them;
        None reads them from names of SEE, as for files that name an epoch.

    Returns:
      One `Results` for each epoch in the files' names, in order; without epoch first.

    Raises:
      OSError: the directory cannot be read.
      UserError: there is no result file, a pass is missing or has other clips than the
        first one or than `clips`, or a file is not of the form.
    """
    directory = Path(directory)
    by_epoch = _files(directory) if directory.is_dir() else {}
    if not by_epoch:
        got = "a directory with none" if directory.is_dir() else "a file"
        got = got if directory.exists() else "no such directory"
        rule = f"a directory of result files ({NAMES} and so on)"
        refuse(directory, rule, got, "name the one that holds them")
    order = sorted(by_epoch, key=lambda epoch: -1 if epoch is None else epoch)
    passes = directory, tuple(labels)
    return [
        _read_passes(*passes, clips if x is None else None, x, by_epoch[x])
        for x in order
    ]


def _files(directory: Path) -> dict[int | None, dict[int, Path]]:
    """Returns the result files by epoch and pass."""
    by_epoch: dict[int | None, dict[int, Path]] = defaultdict(dict)
    for path in directory.iterdir():
        if path.name.startswith("test_") and path.suffix == ".json":
            match = FILE_NAME.fullmatch(path.name)
            if match is None:
                remedy = "rename it or move it away"
                refuse(path, f"a name such as {NAMES}", path.name, remedy)
            epoch = None if match[1] is None else int(match[1])
            by_epoch[epoch][int(match[2])] = path
    return by_epoch


def _read_passes(
    directory: Path,
    labels: tuple[str, ...],
    clips: Mapping[str, Any] | None,
    epoch: int | None,
    files: dict[int, Path],
) -> Results:
    numbers = sorted(files)
    for expected, number in enumerate(numbers, start=1):
        if number != expected:
            got = f"no {file_name(expected, epoch)}"
            remedy = "copy it too or evaluate again"
            refuse(directory, f"passes 1 to {numbers[-1]}", got, remedy)
    passes = [_read_pass(files[number], labels) for number in numbers]
    if clips is None:
        clips = _clips_of(files[1], passes[0], labels)
    _check_same_clips(files[1], passes[0], directory / BESIDE, {*clips["names"]})
    names = tuple(clips["names"])
    scores = np.full((len(passes), len(names), len(labels)), np.nan)
    predictions = np.zeros(scores.shape[:2], np.int64)
    for p, of_pass in enumerate(passes):
        _check_same_clips(files[p + 1], of_pass, files[1], passes[0])
        for n, name in enumerate(names):
            scores[p, n, [*of_pass[name]]] = [*of_pass[name].values()]
            predictions[p, n] = next(iter(of_pass[name]))
    label_index = np.array([*map(labels.index, clips["labels"])], int)
    metadata = {field: _array(x) for field, x in clips["metadata"].items()}
    return Results(epoch, labels, names, label_index, predictions, scores, metadata)


def _array(values: Sequence) -> np.ndarray:
    """Returns values of a kind as NumPy has them, others as objects."""
    kinds = {*map(type, values)}
    return np.array(values, None if len(kinds) == 1 else object)


def _clips_of(
    path: Path, names: Iterable[str], labels: Sequence[str]
) -> dict[str, Any]:
    """Returns what SEE's names say of clips, as `evaluation.json` has it.

    Raises:
      UserError: a name that is none of SEE, or of another class; it names the file.
    """
    try:
        fields = sorted(map(see.ClipName.parse, names))
        for name in fields:
            if name.emotion not in labels:
                refuse(name, f"a clip of {one_of(labels)}", name.emotion)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return {
        "names": [*map(str, fields)],
        "labels": [name.emotion for name in fields],
        "metadata": {key: [getattr(x, key) for x in fields] for key in FIELDS},
    }


def _check_same_clips(
    path: Path, clips: Collection[str], first_path: Path, first: Collection[str]
) -> None:
    for there, one, other in ((path, clips, first), (first_path, first, clips)):
        only = sorted({*one} - {*other})
        if only:
            got = f"{len(clips)}, {only[0]} being in {there.name} alone"
            remedy = "keep the passes of one evaluation in a directory"
            refuse(path, f"the {len(first)} clips of {first_path.name}", got, remedy)


def _read_pass(path: Path, labels: Sequence[str]) -> dict[str, Ranking]:
    """Reads one file: the ranking of each clip."""
    content = read_json(path, "copy it again or evaluate again")
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict) or not results:
        refuse(path, FORM, excerpt(content))
    try:
        return {
            name: _parse_ranking(name, entries, labels)
            for name, entries in results.items()
        }
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _parse_ranking(name: str, ranking: Any, labels: Sequence[str]) -> Ranking:
    """Checks the entries of one clip."""
    entries = ranking if isinstance(ranking, list) else []
    scores = [float(e["score"]) for e in entries if _is_entry(e)]
    if len(scores) < max(len(entries), 1) or scores != sorted(scores, reverse=True):
        rule = 'a list of {"label": ..., "score": 0 to 1}, best first'
        refuse(name, rule, excerpt(ranking))
    by_class = {}
    for entry, score in zip(entries, scores, strict=True):
        text = entry["label"]
        label = text if text in labels else see.label_from_text(text, see.EMOTIONS)
        if label not in labels or labels.index(label) in by_class:
            rule = f"label {one_of(labels)}, each once at most"
            refuse(name, rule, repr(text))
        by_class[labels.index(label)] = score
    return by_class


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
        return False
    score = entry.get("score")
    is_number = isinstance(score, int | float) and not isinstance(score, bool)
    return is_number and 0 <= score <= 1 + 1e-6  # a float32 softmax may round up
