"""The image files of a SEE folder's clips: listed, counted and read.

Note: images are numbered from 0 or 1, each clip by itself, both modalities alike.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from seen_jax import images, see
from seen_jax.errors import UserError, counted, one_of, refuse, shortened
from seen_jax.files import explained
from seen_jax.problems import Problem
from seen_jax.split import Annotation, Split

JUNK = ("thumbs.db", "desktop.ini", "__macosx")  # and hidden files: of file managers
MAX_CLIP_BYTES = 1 << 30  # a record holds less than 2 GiB
_IMAGE = re.compile(r"([0-9]{5})\.(jpg|jpeg|png)", re.IGNORECASE)


@dataclass(frozen=True)
class Clip:
    """One labelled recording of a SEE folder.

    Attributes:
      name, annotation: what the split file says.
      event_files, frame_files: its images, in order and equal in number.
      sha256: of the bytes of the event files, then of the frame files.
    """

    name: str
    annotation: Annotation
    event_files: tuple[Path, ...]
    frame_files: tuple[Path, ...]
    sha256: str = ""

    @property
    def metadata(self) -> dict[str, Any]:
        return self.annotation.all_metadata(self.name)


@dataclass
class Modality:
    """The folders of one modality.

    Attributes:
      directory: holds a folder per label.
      label_dirs: label to its folder, whose name matches in any case.
      clip_dirs: clip name to its folder, of clips without an entry too.
      problems: what is wrong with these folders.
      junk: files of file managers.
    """

    directory: Path
    label_dirs: dict[str, Path] = field(default_factory=dict)
    clip_dirs: dict[str, Path] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    junk: list[Path] = field(default_factory=list)


def list_modality(directory: Path, split: Split) -> Modality:
    """Lists the clip folders of one modality."""
    modality = Modality(directory)
    labels, rule = split.labels or see.EMOTIONS, "a folder of emotion folders"
    if not os.path.isdir(directory):
        modality.problems.append(Problem(str(directory), rule, _instead(directory)))
        return modality
    label_dirs, wrong = _entries(directory, modality.junk)
    if wrong:
        modality.problems += wrong
        return modality
    for label_dir in label_dirs:
        label = see.label_from_text(label_dir.name, labels)
        if label is not None and os.path.isdir(label_dir):
            modality.label_dirs.setdefault(label, label_dir)
            clip_dirs, wrong = _entries(label_dir, modality.junk)
            # Its clips are missing, which is a problem of each.
            modality.problems += [replace(x, tolerated=True) for x in wrong]
            for clip_dir in clip_dirs:
                _add_clip_dir(modality, clip_dir, label, split)
        elif split.labels or not os.path.isdir(label_dir):
            place, got = str(label_dir), label_dir.name
            one = f"an emotion folder, {shortened(one_of(labels))}"
            modality.problems.append(Problem(place, one, got, tolerated=True))
    if not modality.label_dirs and split.clips:
        modality.problems.append(Problem(str(directory), rule, "none"))
    return modality


def _entries(directory: Path, junk: list[Path]) -> tuple[list[Path], list[Problem]]:
    """Lists a folder, in order, or its problem; adds what is junk to `junk`."""
    entries = []
    try:
        with explained(directory, rule="a readable folder"):
            paths = sorted(directory.iterdir())
    except UserError as error:
        return [], [Problem(error.what, error.expected, error.got)]
    for path in paths:
        is_junk = path.name.startswith(".") or path.name.lower() in JUNK
        (junk if is_junk else entries).append(path)
    return entries, []


def _instead(path: Path) -> str:
    """Describes a path that is not a folder."""
    try:
        path.stat()
    except FileNotFoundError:
        return "a broken link" if path.is_symlink() else "none"
    except OSError as error:
        return error.strerror
    return "a file"


def _add_clip_dir(modality: Modality, path: Path, label: str, split: Split) -> None:
    name = path.name
    note, fields = split.clips.get(name), see.parse_name(name)
    true = note.label if note else label
    if not note and fields and see.is_see(split.labels):
        true = fields.emotion
    wrong = None
    if true != label:
        wrong = f"a clip of the emotion {label}", true
    elif name in modality.clip_dirs:
        wrong = f"the clip once, at {modality.clip_dirs[name]}", "it again"
    elif not os.path.isdir(path):
        wrong = "a folder", _instead(path)
    if wrong:
        of_clip = {"clip": name if note else "", "tolerated": not note}
        modality.problems.append(Problem(str(path), *wrong, **of_clip))
    modality.clip_dirs.setdefault(name, path)


def unlisted(modalities: Sequence[Modality], split: Split, path: str) -> list[Problem]:
    """Lists the clips that have no entry in the split file at `path`."""
    strict = see.is_see(split.labels)
    strict = strict and not any(clip.metadata for clip in split.clips.values())
    problems = {}
    for modality in modalities:
        for name in sorted(modality.clip_dirs.keys() - split.clips.keys()):
            rule, got = f"an entry in {path}", "none"
            if strict:
                try:
                    see.ClipName.parse(name)
                except UserError as error:
                    rule, got = error.expected, error.got
            where = str(modality.clip_dirs[name])
            problems.setdefault(name, Problem(where, rule, got, tolerated=True))
    return [*problems.values()]


def list_images(
    name: str, annotation: Annotation, modalities: Sequence[Modality]
) -> tuple[list[dict[int, Path]], list[Problem]]:
    """Lists the images of one clip by index from 0, of each modality that has it."""
    problems, dirs, files = _no_clip_dirs(name, annotation.label, modalities), [], []
    for modality in modalities:
        clip_dir, numbers = modality.clip_dirs.get(name), {}
        if clip_dir and not os.path.isdir(clip_dir):  # a problem already
            clip_dir = None
        if clip_dir:
            paths, unreadable = _entries(clip_dir, modality.junk)
            numbers, wrong = _numbered_files(paths)
            problems += unreadable + wrong
            clip_dir = None if unreadable else clip_dir
        dirs.append(clip_dir)
        files.append(numbers)
    # An image 0 of either modality says that both are numbered from 0.
    first = 1 if any(1 in x for x in files) and not any(0 in x for x in files) else 0
    files = [{i - first: path for i, path in sorted(x.items())} for x in files]
    problems += _count_problems(name, annotation, dirs, files, first)
    return files, [replace(problem, clip=name) for problem in problems]


def _no_clip_dirs(
    name: str, label: str, modalities: Sequence[Modality]
) -> list[Problem]:
    """Names what is missing: the clip's folders, or those of all clips of its label."""
    without = [  # a modality that is not there is a problem already
        x for x in modalities if name not in x.clip_dirs and x.label_dirs
    ]
    rule = f"a folder of the clips of {label}"
    labels = [x.directory / label for x in without if label not in x.label_dirs]
    places = [x.label_dirs[label] for x in without if label in x.label_dirs]
    problems = [Problem(str(x), rule, "none") for x in labels]
    rule = "a folder of the clip"
    if len(places) == 2:
        rule = f"a folder of the clip in {places[0]} and in {places[1]}"
        return [*problems, Problem(name, rule, "none")]
    return problems + [Problem(str(x / name), rule, "none") for x in places]


def _numbered_files(paths: list[Path]) -> tuple[dict[int, Path], list[Problem]]:
    """Lists a clip's images by the number in their name."""
    files: dict[int, Path] = {}
    problems = []
    for path in paths:
        match = _IMAGE.fullmatch(path.name)
        if match is None:
            rule = "only images 00000.jpg, 00001.jpg, ..."
            problems.append(Problem(str(path), rule, path.name, tolerated=True))
        elif (other := files.setdefault(int(match[1]), path)) != path:
            rule = f"one image of the number {match[1]}"
            got = f"{other.name} and {path.name}"
            problems.append(Problem(str(path.parent), rule, got))
    return files, problems


def _count_problems(
    name: str,
    annotation: Annotation,
    dirs: Sequence[Path | None],
    files: Sequence[Mapping[int, Path]],
    first: int,
) -> list[Problem]:
    """Says which images are missing or too many: a line for a folder or for both.

    The clip's name says how many there should be; without a length there, a clip should
    have as many as its segment needs and as the longer modality has.
    """
    fields = see.parse_name(name)
    count = max(1 + max(x, default=-1) for x in files)
    if fields is None:
        count = max(annotation.end, count)
    elif annotation.end <= fields.length:  # else it is a problem of the entry
        count = fields.length
    span = f"{first:05d}.jpg to {first + count - 1:05d}.jpg"
    if fields and count == fields.length:
        span += ", as in the name"
    elif count == annotation.end:
        span += ", the segment's end"
    got = {
        clip_dir: text
        for clip_dir, of in zip(dirs, files, strict=True)
        if clip_dir and (text := _difference(of, count, first))
    }
    if len(got) == 2 and len({*got.values()}) == 1:
        rule = f"{counted(count, 'image')} of each modality, {span}"
        return [Problem(name, rule, got.popitem()[1], tolerated=True)]
    rule = f"{counted(count, 'image')}, {span}"
    return [Problem(str(x), rule, text, tolerated=True) for x, text in got.items()]


def _difference(files: Mapping[int, Path], count: int, first: int) -> str:
    """Says how the indices differ from those below `count`, "" where they do not."""
    beyond = [i for i in files if i >= count]
    num_missing = count - len(files) + len(beyond)
    parts = []
    if num_missing and files:
        missing = (i for i in range(count) if i not in files)
        parts.append(f"{num_missing} missing ({_names(missing, first)})")
    if beyond:
        parts.append(f"{len(beyond)} too many ({_names(beyond, first)})")
    if not files and count:
        return "none"
    return f"{len(files)}: {' and '.join(parts)}" if parts else ""


def _names(indices: Iterable[int], first: int) -> str:
    """Names the first images of these indices."""
    names = [f"{i + first:05d}.jpg" for i in islice(indices, 6)]
    return ", ".join(names[:5] + (["..."] if names[5:] else []))


def as_published(
    name: str, annotation: Annotation, files: Sequence[Mapping[int, Path]]
) -> tuple[Clip, tuple[int, int]]:
    """Drops images as the published loader does, of each modality by itself.

    Index i of a window is then the i-th existing image of the segment, in either
    modality, and no longer the same 1/30 s. Images at the end of the longer list have
    no partner and are dropped too, so that a clip has as many of each.

    Returns:
      The clip, and how many event and intensity frames of its segment are missing.
    """
    segment = range(annotation.start, annotation.end)
    within = [[path for i, path in of.items() if i in segment] for of in files]
    count = min(map(len, within))
    unbroken = [[*of] == [*range(len(files[0]))] for of in files]
    if all(unbroken) and count == len(segment):  # as it is, frames outside it too
        return Clip(name, annotation, *(tuple(of.values()) for of in files)), (0, 0)
    note = replace(annotation, start=0, end=max(count, 1))
    parts = (tuple(x[:count]) for x in within)
    return Clip(name, note, *parts), tuple(len(segment) - len(of) for of in within)


def read_images(files: Sequence[Path]) -> tuple[str, list[Problem]]:
    """Reads the images of one clip: their hash, and what is wrong with them."""
    sha256, problems, sizes, num_bytes = hashlib.sha256(), [], {}, 0
    rule = "a readable file"
    for path in files:
        try:
            with explained(path, rule=rule):
                if not path.is_file():  # reading a pipe would block
                    refuse(path, rule, "not a regular file")
                if (size := path.stat().st_size) > images.MAX_BYTES:
                    refuse(path, f"an image of at most {images.MAX_BYTES} bytes", size)
                data = path.read_bytes()
            sha256.update(data)
            num_bytes += len(data)
            height, width = images.decode_jpeg(data).shape
            sizes[path] = f"{width} x {height}", width == height
        except UserError as error:
            problems.append(Problem(str(path), error.expected, error.got))
    if num_bytes > MAX_CLIP_BYTES:
        rule = f"a clip of at most {MAX_CLIP_BYTES} bytes of images"
        problems.append(Problem(str(files[0].parent), rule, str(num_bytes)))
    return sha256.hexdigest(), problems + _size_problems(sizes)


def _size_problems(sizes: Mapping[Path, tuple[str, bool]]) -> list[Problem]:
    """Says which of a clip's images are not square or not of one size."""
    if not sizes:
        return []
    problems = []
    (usual, square), _ = Counter(sizes.values()).most_common(1)[0]
    if not square:
        folder = next(iter(sizes)).parent
        remedy = "crop all of the clip's images to the same square"
        problems.append(Problem(str(folder), "square images", usual, remedy=remedy))
    others = {path: size for path, (size, _) in sizes.items() if size != usual}
    if others:
        path, got = next(iter(others.items()))
        if len(others) > 1:
            counts = Counter(others.values()).most_common()
            path = path.parent
            got = shortened(", ".join(f"{n} of {size}" for size, n in counts))
        rule = f"{usual}, the size of most of the clip's images"
        problems.append(Problem(str(path), rule, got))
    return problems
