"""Probabilities to result files in the published form, and back from ours or theirs.

    test_<pass>.json                  an evaluation of a checkpoint, passes from 1
    test_epoch_<epoch>_<pass>.json    an evaluation while training
    {"results": {"<clip name>": [{"label": "angry", "score": 0.99}, ...best first]}}

What a reader would get wrong: a file lists the best class alone (the released files) or
all of them (ours), and what was true is in the clip's name only.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seen_jax import see

FILE_NAME = re.compile(r"test_(?:epoch_(0|[1-9]\d*)_)?([1-9]\d*)\.json")
FORM = '{"results": {"<clip name>": [{"label": ..., "score": ...}, ...best first]}}'


@dataclass(frozen=True)
class Results:
    """What several passes said of the same clips; P passes of N clips.

    Attributes:
      epoch: of the training; None where the files' names do not say.
      names: the N clips.
      predictions: (P, N) int64, the best class, a position in `see.EMOTIONS`.
      scores: (P, N, K) float64, probabilities in the order of `see.EMOTIONS`; nan where
        a file does not list the class.
    """

    epoch: int | None
    names: tuple[see.ClipName, ...]
    predictions: np.ndarray
    scores: np.ndarray


def file_name(of_pass: int, epoch: int | None = None) -> str:
    """Returns the published name of a result file; passes count from 1."""
    return f"test_{'' if epoch is None else f'epoch_{epoch}_'}{of_pass}.json"


def write_results(
    directory: str | os.PathLike,
    names: Sequence[str],
    labels: Sequence[str],
    probabilities: np.ndarray,
    epoch: int | None = None,
) -> list[Path]:
    """Writes a file for each pass; one that is there has been written wholly.

    Args:
      directory: made if it does not exist; files of the same names are replaced.
      names: N clip names.
      labels: K emotions in the order of the class indices.
      probabilities: (P, N, K).
      epoch: of the training, for an evaluation while training.

    Returns:
      The P files.

    Raises:
      ValueError: shapes do not match, or the directory has files of more passes of the
        same epoch, which would be taken for passes of this evaluation.
    """
    shape = probabilities.shape
    if len(shape) != 3 or shape[1:] != (len(names), len(labels)):
        raise ValueError(
            f"probabilities: expected (P, {len(names)}, {len(labels)}), got {shape}"
        )
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    check_room(directory, len(probabilities), epoch)
    files = []
    for number, of_pass in enumerate(probabilities, start=1):
        results = {
            name: _ranking(row, labels)
            for name, row in zip(names, of_pass, strict=True)
        }
        files.append(directory / file_name(number, epoch))
        _write_whole(files[-1], json.dumps({"results": results}))
    return files


def check_room(
    directory: str | os.PathLike, num_passes: int, epoch: int | None = None
) -> None:
    """Raises ValueError as `write_results`, if there are files of more passes."""
    present = _files(Path(directory)).get(epoch, {})
    if present and max(present) > num_passes:
        raise ValueError(
            f"{directory}: expected no pass after {num_passes}, found "
            f"{present[max(present)].name}; name another directory"
        )


def _ranking(row: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Returns all classes, best first; of equal ones the first, as arg max does."""
    order = np.argsort(-row, kind="stable")
    return [{"label": labels[k], "score": float(row[k])} for k in order]


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    with open(part, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def read_results(directory: str | os.PathLike) -> list[Results]:
    """Reads all result files of a directory; other files in it are left alone.

    Returns:
      One `Results` for each epoch in the files' names, in order; without epoch first.

    Raises:
      OSError: the directory cannot be read.
      ValueError: there is no result file, a pass is missing or has other clips than the
        first one, or a file is not of the form; says which and what was found.
    """
    directory = Path(directory)
    by_epoch = _files(directory) if directory.is_dir() else {}
    if not by_epoch:
        got = "a directory with none" if directory.is_dir() else "a file"
        raise ValueError(
            f"{directory}: expected a directory of result files ({file_name(1)} or "
            f"{file_name(1, 163)} and so on), got "
            f"{got if directory.exists() else 'no such directory'}; name the one that "
            "holds them"
        )
    order = sorted(by_epoch, key=lambda epoch: -1 if epoch is None else epoch)
    return [_read_passes(directory, epoch, by_epoch[epoch]) for epoch in order]


def _files(directory: Path) -> dict[int | None, dict[int, Path]]:
    """Returns the result files by epoch and pass."""
    by_epoch: dict[int | None, dict[int, Path]] = defaultdict(dict)
    for path in directory.iterdir():
        if not (path.name.startswith("test_") and path.suffix == ".json"):
            continue
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(
                f"{path}: expected a name such as {file_name(1)} or "
                f"{file_name(1, 163)}, got {path.name}; rename it or move it away"
            )
        epoch = None if match[1] is None else int(match[1])
        by_epoch[epoch][int(match[2])] = path
    return by_epoch


def _read_passes(
    directory: Path, epoch: int | None, files: Mapping[int, Path]
) -> Results:
    missing = [i for i in range(1, max(files) + 1) if i not in files]
    if missing:
        raise ValueError(
            f"{directory}: expected passes 1 to {max(files)}, found no "
            f"{file_name(missing[0], epoch)}; copy it too or evaluate again"
        )
    passes = [_read_pass(files[number]) for number in sorted(files)]
    names = sorted(passes[0])
    scores = np.full((len(passes), len(names), len(see.EMOTIONS)), np.nan)
    predictions = np.zeros(scores.shape[:2], np.int64)
    for p, of_pass in enumerate(passes):
        _check_same_clips(files[p + 1], of_pass, files[1], passes[0])
        for n, name in enumerate(names):
            classes = [*map(see.EMOTIONS.index, of_pass[name])]
            scores[p, n, classes] = [*of_pass[name].values()]
            predictions[p, n] = classes[0]
    return Results(epoch, tuple(names), predictions, scores)


def _check_same_clips(path: Path, clips: dict, first_path: Path, first: dict) -> None:
    for there, one, other in ((path, clips, first), (first_path, first, clips)):
        only = sorted(one.keys() - other.keys())
        if only:
            raise ValueError(
                f"{path}: expected the {len(first)} clips of {first_path.name}, got "
                f"{len(clips)}, {only[0]} being in {there.name} alone; keep the passes "
                "of one evaluation in a directory"
            )


def _read_pass(path: Path) -> dict[see.ClipName, dict[str, float]]:
    """Reads one file: for each clip the scores by emotion, best first."""
    try:
        content = json.loads(
            path.read_text(encoding="utf-8"),
            object_pairs_hook=see.object_of_unique_keys,
        )
    except OSError as error:
        raise ValueError(
            f"{path}: expected a file that can be read, got {error.strerror}; copy it "
            "again or move it away"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: expected JSON, got {error}; copy it again or evaluate again"
        ) from error
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict) or not results:
        raise ValueError(f"{path}: expected {FORM}, got {see.excerpt(content)}")
    try:
        return {
            see.ClipName.parse(name): _scores(name, ranking)
            for name, ranking in results.items()
        }
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _scores(name: str, ranking: Any) -> dict[str, float]:
    """Checks what a file says of one clip."""
    entries = ranking if isinstance(ranking, list) else []
    scores = [e["score"] for e in entries if _is_entry(e)]
    if len(scores) < max(len(entries), 1) or scores != sorted(scores, reverse=True):
        rule = 'a list of {"label": ..., "score": 0 to 1}, best first'
        raise ValueError(f"{name}: expected {rule}, got {see.excerpt(ranking)}")
    labels = [e["label"] for e in entries]
    emotions = [see.emotion_from_text(label) for label in labels]
    for i, emotion in enumerate(emotions):
        if emotion is None or emotion in emotions[:i]:
            rule = f"{see.one_of(see.EMOTIONS)}, each once at most"
            raise ValueError(f"{name}: expected label {rule}, got {labels[i]!r}")
    return dict(zip(emotions, map(float, scores), strict=True))


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
        return False
    score = entry.get("score")
    is_number = isinstance(score, int | float) and not isinstance(score, bool)
    return is_number and 0 <= score <= 1 + 1e-6  # a float32 softmax may round up
