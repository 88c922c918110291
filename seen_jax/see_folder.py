"""A SEE folder on disk: where a clip's images are, and the check of all of it.

    python -m seen_jax.see_folder SEE

    SEE/event/<emotion>/<clip name>/00000.jpg ...   event frames, 33 ms each
    SEE/frame/<emotion>/<clip name>/00000.jpg ...   intensity frames, same count
    SEE/emotion.json                                split and labels
    SEE/simulation.json                             in a simulated folder: its origin

Folders of labels match without regard to case. Images are numbered from 0 or 1, each
clip by itself, as .jpg, .jpeg or .png in any case. `check` decodes every image of every
clip and lists all problems before any program trusts the folder.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seen_jax import images, see
from seen_jax.errors import UserError, check_option, printable, refuse, run_command
from seen_jax.files import explained, write_whole
from seen_jax.processes import map_in_processes
from seen_jax.see import Problem

ON_PROBLEM = ("refuse", "leave_out", "as_published")
JUNK = ("thumbs.db", "desktop.ini", "__macosx")  # and hidden files: of file managers
_IMAGE = re.compile(r"([0-9]{5})\.(jpg|jpeg|png)", re.IGNORECASE)


@dataclass(frozen=True)
class SeeFolder:
    """Where a SEE folder keeps its parts, and what its problems mean.

    Attributes:
      root: the folder.
      event_dir, frame_dir: folders of the two modalities below it; the published
        loader's default for the first is `event_30`.
      split_file: the split file below it; the published loader's default is
        `emotion_new_adjust2.json`.
      on_problem: `refuse` stops at any problem. `leave_out` leaves the clips out that
        have one. `as_published` passes over what the published loader passed over:
        images that are not there are dropped from the segment, of each modality by
        itself.
    """

    root: Path
    event_dir: str = "event"
    frame_dir: str = "frame"
    split_file: str = "emotion.json"
    on_problem: str = "refuse"

    @property
    def split_path(self) -> Path:
        return Path(self.root) / self.split_file

    def modality_dirs(self) -> tuple[Path, Path]:
        return Path(self.root) / self.event_dir, Path(self.root) / self.frame_dir


@dataclass(frozen=True)
class Clip:
    """One labelled recording of a SEE folder.

    Attributes:
      name, annotation: what the split file says.
      event_files, frame_files: its images, in order and equal in number.
      sha256: of the bytes of the event files, then of the frame files.
    """

    name: str
    annotation: see.Annotation
    event_files: tuple[Path, ...]
    frame_files: tuple[Path, ...]
    sha256: str = ""

    @property
    def metadata(self) -> dict[str, Any]:
        return self.annotation.all_metadata(self.name)


@dataclass(frozen=True)
class Contents:
    """A SEE folder after the check.

    Attributes:
      split: the split file.
      clips: by name, in the split file's order, those left out excepted.
      provenance: where the data come from, see `see.load_provenance`.
      problems: what stands in the way; empty for a folder that can be used.
      passed_over: problems that `on_problem` allows.
      left_out: names of the clips that `leave_out` left out, with the reason.
      dropped: name of a clip to the numbers of event and intensity frames of its
        segment that are not there, for `as_published`.
      num_junk: files of file managers that were passed over.
    """

    split: see.Split
    clips: Mapping[str, Clip]
    provenance: dict[str, Any]
    problems: tuple[Problem, ...]
    passed_over: tuple[Problem, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    num_junk: int = 0

    @property
    def used_split(self) -> see.Split:
        """The split file with the clips that `leave_out` left out marked so."""
        left_out = {
            name: replace(self.split.clips[name], end=0)
            for name in self.left_out
            if name in self.split.clips
        }
        return replace(self.split, clips={**self.split.clips, **left_out})

    def raise_problems(self) -> None:
        if self.problems:
            raise see.SeeError(self.problems)


def check(
    folder: SeeFolder, num_workers: int | None = None, progress: bool = False
) -> Contents:
    """Reads the whole folder, each image once, and lists every problem.

    Args:
      folder: where the parts are, and what problems mean.
      num_workers: processes that decode images; None takes one per processor.
      progress: shows a progress bar over the clips.
    """
    check_option("on_problem", folder.on_problem, ON_PROBLEM)
    split, problems = see.load_split(folder.split_path)
    problems = [_with_hint(x, folder, "split_file") for x in problems]
    places = {problem.path for problem in problems}
    provenance, wrong = see.load_provenance(Path(folder.root) / see.PROVENANCE_FILE)
    problems += wrong
    clip_dirs, junk = {}, []
    for directory, option in zip(
        folder.modality_dirs(), ("event_dir", "frame_dir"), strict=True
    ):
        clip_dirs[directory], wrong = _clip_dirs(directory, split, junk)
        problems += [_with_hint(x, folder, option) for x in wrong]
        problems += _unlisted(clip_dirs[directory], split, folder, places)
    clips, dropped = {}, {}
    for name, annotation in split.clips.items():
        if not annotation.left_out:
            files, wrong = _modality_files(name, annotation, clip_dirs, junk)
            problems += wrong
            clip = Clip(name, annotation, *(tuple(x.values()) for x in files))
            if folder.on_problem == "as_published":
                clip, dropped[name] = _as_published(name, annotation, files)
                if not clip.event_files:
                    rule = "images of the segment, of each modality"
                    problems.append(Problem(name, rule, "none", clip=name))
            clips[name] = clip
    # Many clips at a time, in several processes.
    of_each = [clip.event_files + clip.frame_files for clip in clips.values()]
    results = map_in_processes(_read_images, of_each, "check", num_workers, progress)
    for name, (sha256, wrong) in zip(clips, results, strict=True):
        problems += [replace(problem, clip=name) for problem in wrong]
        clips[name] = replace(clips[name], sha256=sha256)
    passed_over = [x for x in problems if _passes(x, folder.on_problem)]
    left_out = {}
    if folder.on_problem == "leave_out":
        for problem in sorted(passed_over):
            note = split.clips.get(problem.clip)
            if problem.clip and not (note and note.left_out):
                left_out.setdefault(problem.clip, str(problem))
    spoilt = {x.clip for x in problems if not x.tolerated} | {*left_out}
    used = {name: clip for name, clip in clips.items() if name not in spoilt}
    problems = [x for x in problems if not _passes(x, folder.on_problem)]
    if not used and not problems:
        rule = "at least one clip that is not left out"
        problems.append(Problem(str(folder.split_path), rule, "none"))
    return Contents(
        split,
        used,
        provenance,
        tuple(sorted(problems)),
        tuple(sorted(passed_over)),
        left_out,
        {name: counts for name, counts in dropped.items() if any(counts)},
        len(junk),
    )


def _passes(problem: Problem, on_problem: str) -> bool:
    """Says whether a folder with this problem can be used all the same."""
    if on_problem == "leave_out":
        return bool(problem.clip) or problem.tolerated
    return on_problem == "as_published" and problem.tolerated


def _with_hint(problem: Problem, folder: SeeFolder, option: str) -> Problem:
    """Adds the options that would find a part which is not where it is looked for."""
    root, name = Path(folder.root), getattr(folder, option)
    if problem.path != str(root / name) or problem.got != "none" or not root.is_dir():
        return problem
    if option == "split_file":
        others = {x.name for x in root.glob("*.json") if x.is_file()}
        others -= {see.PROVENANCE_FILE, "recordings.json"}
    else:
        others = {x.name for x in root.iterdir() if x.is_dir()}
        others = {x for x in others if x.lower().startswith(option.split("_")[0])}
    if not others:
        return problem
    options = " or ".join(shlex.quote(f"--{option}={x}") for x in sorted(others))
    return replace(problem, got=f"none; there is one for {options}")


def _as_published(
    name: str, annotation: see.Annotation, files: list[dict[int, Path]]
) -> tuple[Clip, tuple[int, int]]:
    """Drops images as the published loader does, of each modality by itself.

    Index i of a window is then the i-th image of the segment that is there, in either
    modality, and no longer the same 1/30 s. Images at the end of the longer list have
    no partner and are dropped too, so that a clip has as many of each.
    """
    segment = range(annotation.start, annotation.end)
    kept = [[of[i] for i in segment if i in of] for of in files]
    count = min(map(len, kept))
    whole = [[*of] == [*range(len(files[0]))] for of in files]
    if all(whole) and count == len(segment):  # as it is, frames outside it too
        return Clip(name, annotation, *(tuple(of.values()) for of in files)), (0, 0)
    note = replace(annotation, start=0, end=max(count, 1))
    parts = (tuple(x[:count]) for x in kept)
    return Clip(name, note, *parts), tuple(len(segment) - len(of) for of in kept)


def _unlisted(
    clip_dirs: Mapping[str, Path], split: see.Split, folder: SeeFolder, places: set[str]
) -> list[Problem]:
    """Lists the clips without an entry.

    Nothing is added for an entry or a split file that is among the `places` of other
    problems.
    """
    path, strict, problems = str(folder.split_path), see.is_see(split.labels), []
    strict = strict and not any(clip.metadata for clip in split.clips.values())
    for name in sorted(set(clip_dirs) - set(split.clips)):
        rule, got = f"an entry in {path}", "none"
        if strict:
            try:
                see.ClipName.parse(name)
            except UserError as error:
                rule, got = error.expected, error.got
        if not places & {path, see.entry_place(path, name)}:
            problems.append(Problem(str(clip_dirs[name]), rule, got, tolerated=True))
    return problems


def _modality_files(
    name: str,
    annotation: see.Annotation,
    clip_dirs: Mapping[Path, Mapping[str, Path]],
    junk: list[Path],
) -> tuple[list[dict[int, Path]], list[Problem]]:
    """Lists the images of one clip by index, of each modality that has it."""
    files, problems = [], []
    dirs = [of_name.get(name) for of_name in clip_dirs.values()]
    for directory, clip_dir in zip(clip_dirs, dirs, strict=True):
        numbers, wrong = _numbered_files(clip_dir, junk) if clip_dir else ({}, [])
        files.append(numbers)
        problems += wrong
        if clip_dir is None and directory.is_dir():  # else that is a problem already
            where = directory / annotation.label / name
            problems.append(Problem(str(where), "a folder of the clip", "none"))
    # Both modalities alike: an image 0 of either says that both are numbered from 0.
    first = 1 if any(1 in x for x in files) and not any(0 in x for x in files) else 0
    for directory, numbers in zip(dirs, files, strict=True):
        problems += _gap_problems(directory, numbers, first)
    files = [{i - first: path for i, path in sorted(x.items())} for x in files]
    if all(dirs):
        problems += _count_problems(name, annotation, files)
    return files, [replace(problem, clip=name) for problem in problems]


def _clip_dirs(
    directory: Path, split: see.Split, junk: list[Path]
) -> tuple[dict[str, Path], list[Problem]]:
    """Lists the clip folders of one modality; folders of labels match in any case."""
    if not directory.is_dir():
        return {}, [Problem(str(directory), "a folder of emotion folders", "none")]
    labels = split.labels or see.EMOTIONS
    clips: dict[str, Path] = {}
    problems = []
    for label_dir in _entries(directory, junk):
        label = see.label_from_text(label_dir.name, labels)
        if label is None or not label_dir.is_dir():
            if split.labels or not label_dir.is_dir():
                rule = f"an emotion folder, {see.shortened(see.one_of(labels))}"
                got = label_dir.name
                problems.append(Problem(str(label_dir), rule, got, tolerated=True))
            continue
        for clip_dir in _entries(label_dir, junk):
            name = clip_dir.name
            note = split.clips.get(name)
            of_clip = {"clip": name if note else "", "tolerated": not note}
            fields = see.parse_name(name)
            true = note.label if note else label
            if not note and fields and see.is_see(labels):
                true = fields.emotion
            if true != label:
                rule = f"a clip of the emotion {label}"
                problems.append(Problem(str(clip_dir), rule, true, **of_clip))
            elif name in clips:
                rule = f"the clip once, at {clips[name]}"
                problems.append(Problem(str(clip_dir), rule, "it again", **of_clip))
            elif not clip_dir.is_dir():
                problems.append(Problem(str(clip_dir), "a folder", "a file", **of_clip))
            clips.setdefault(name, clip_dir)
    return clips, problems


def _entries(directory: Path, junk: list[Path]) -> list[Path]:
    """Lists a folder in order; files of file managers are added to `junk` instead."""
    entries = []
    for path in sorted(directory.iterdir()):
        is_junk = path.name.startswith(".") or path.name.lower() in JUNK
        (junk if is_junk else entries).append(path)
    return entries


def _numbered_files(
    clip_dir: Path, junk: list[Path]
) -> tuple[dict[int, Path], list[Problem]]:
    """Lists a clip's images by the number in their name."""
    if not clip_dir.is_dir():
        return {}, []  # a problem of its own
    files: dict[int, Path] = {}
    problems = []
    for path in _entries(clip_dir, junk):
        match = _IMAGE.fullmatch(path.name)
        if match is None:
            rule = "only images 00000.jpg, 00001.jpg, ..."
            problems.append(Problem(str(path), rule, path.name, tolerated=True))
        elif (other := files.setdefault(int(match[1]), path)) != path:
            rule = f"one image of the number {match[1]}"
            got = f"{other.name} and {path.name}"
            problems.append(Problem(str(clip_dir), rule, got))
    return files, problems


def _gap_problems(
    clip_dir: Path | None, numbers: Mapping[int, Path], first: int
) -> list[Problem]:
    """Says which images are missing before the last one."""
    last = max(numbers, default=-1)
    missing = [f"{i:05d}.jpg" for i in range(first, last) if i not in numbers]
    if not missing:
        return []
    rule = f"images {first:05d}.jpg to {last:05d}.jpg without a gap"
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    got = f"no {', '.join(missing[:5])}{more}"
    return [Problem(str(clip_dir), rule, got, tolerated=True)]


def _count_problems(
    name: str, annotation: see.Annotation, files: list[dict[int, Path]]
) -> list[Problem]:
    """Compares the image counts with each other, the name and the segment."""
    num_events, num_frames = map(len, files)
    fields, problems = see.parse_name(name), []

    def add(rule, got):
        problems.append(Problem(name, rule, str(got), tolerated=True))

    if num_events != num_frames:
        got = f"{num_events} event frames, {num_frames} intensity frames"
        add("as many event frames as intensity frames", got)
    for kind, count in (("event", num_events), ("intensity", num_frames)):
        if fields and count != fields.length:
            add(f"{fields.length} {kind} frames, as in the name", count)
        if count < annotation.end:
            add(f"{kind} frames up to the segment's end {annotation.end}", count)
    return problems


def _read_images(files: tuple[Path, ...]) -> tuple[str, list[Problem]]:
    """Reads the images of one clip: their hash, and what is wrong with them."""
    sha256, problems, sizes = hashlib.sha256(), [], {}
    for path in files:
        try:
            if not path.is_file():  # a pipe would be waited for
                raise OSError("no regular file")
            if (size := path.stat().st_size) > images.MAX_BYTES:
                refuse(path, f"an image of at most {images.MAX_BYTES} bytes", size)
            data = path.read_bytes()
            sha256.update(data)
            height, width = images.decode_jpeg(data).shape
            sizes[path] = width, height
        except OSError as error:
            why = error.strerror or str(error)
            problems.append(Problem(str(path), "a readable file", why))
        except UserError as error:
            problems.append(Problem(str(path), error.expected, error.got))
    if sizes:
        (width, height), _ = Counter(sizes.values()).most_common(1)[0]
        usual = f"{width} x {height}"
        if width != height:
            problems.append(Problem(str(files[0].parent), "square images", usual))
        rule = f"{usual}, the size of most of the clip's images"
        for path, size in sizes.items():
            if size != (width, height):
                problems.append(Problem(str(path), rule, f"{size[0]} x {size[1]}"))
    return sha256.hexdigest(), problems


def summary(contents: Contents) -> str:
    """Formats what a checked folder holds, and what was passed over."""
    counts: dict[str, Counter] = defaultdict(Counter)
    volunteers = set()
    split, clips = contents.split, contents.clips.values()
    group = "emotion" if see.is_see(split.labels) else "label"
    for clip in clips:
        counts[group][clip.annotation.label] += 1
        counts["split"][clip.annotation.subset] += 1
        counts["lighting"][clip.metadata.get("lighting", "")] += 1
        volunteers.add(clip.metadata.get("volunteer", ""))
    frames = sum(len(clip.event_files) for clip in clips)
    left_out = sum(x.left_out for x in split.clips.values())
    lines = [
        f"clips       {len(clips)}"
        + (f" and {left_out} left out by the split file" if left_out else ""),
        f"volunteers  {len(volunteers - {''})}",
        f"frames      {frames} ({frames / split.frames_per_s / 60:.1f} minutes)",
    ]
    orders = {group: split.labels, "lighting": see.LIGHTINGS, "split": see.SUBSETS}
    for name, order in orders.items():
        if any(counts[name][x] for x in order):
            shown = "  ".join(f"{x} {counts[name][x]}" for x in order)
            lines.append(f"{name:11} {shown}")
    return "\n".join(lines + passed_over_lines(contents))


def passed_over_lines(contents: Contents) -> list[str]:
    """Says what was left out, dropped and passed over, with the reasons."""
    lines, num_left_out = [], len(contents.left_out)
    if contents.num_junk:
        lines.append(f"{contents.num_junk} files of file managers passed over")
    if num_left_out:
        total = len(contents.clips) + num_left_out
        lines.append(
            f"{len(contents.clips):,} of {total:,} clips, {num_left_out:,} left out:"
        )
        lines += [f"  {x}: {y}" for x, y in contents.left_out.items()]
    if contents.dropped:
        events, frames = map(sum, zip(*contents.dropped.values(), strict=True))
        lines.append(
            f"{events} event and {frames} intensity frames dropped from "
            f"{len(contents.dropped)} of {len(contents.clips)} clips, as published:"
        )
        lines += [f"  {x}: {y} and {z}" for x, (y, z) in contents.dropped.items()]
    of_clips = {x for x in contents.passed_over if x.clip in contents.left_out}
    others = [x for x in contents.passed_over if x not in of_clips]
    if others:
        plural = "s" if len(others) != 1 else ""
        lines.append(f"{len(others)} problem{plural} passed over:")
        lines += [f"  {x}" for x in see.excerpt_of(others)]
    return [printable(line) for line in lines]


def add_folder_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the folder and its parts' names, for `folder_from_arguments`."""
    parser.add_argument("dir", type=Path, help="the SEE folder")
    default = SeeFolder(Path())
    for name in ("event_dir", "frame_dir", "split_file"):
        parser.add_argument(
            f"--{name}", default=getattr(default, name), help="default: %(default)s"
        )
    parser.add_argument(
        "--on_problem",
        choices=ON_PROBLEM,
        default=default.on_problem,
        help="leave_out: leave the clips out that have one; as_published: drop images "
        "that are not there, as the published loader does; default: %(default)s",
    )


def folder_from_arguments(args: argparse.Namespace) -> SeeFolder:
    names = args.event_dir, args.frame_dir, args.split_file
    return SeeFolder(args.dir, *names, args.on_problem)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.see_folder",
        description="Checks a SEE folder and lists every problem.",
    )
    add_folder_arguments(parser)
    parser.add_argument(
        "--write_volunteer_split",
        type=Path,
        metavar="FILE",
        help="also write a split file in which no volunteer is in both subsets",
    )
    parser.add_argument("--seed", type=int, default=0, help="of that split")
    parser.add_argument("--problems", type=Path, metavar="FILE", help="write all to it")
    parser.add_argument("--workers", type=int, help="processes; default: processors")
    args = parser.parse_args(argv)
    contents = check(folder_from_arguments(args), args.workers, progress=True)
    if args.problems:
        every = sorted(contents.problems + contents.passed_over)
        with explained(args.problems):
            write_whole(args.problems, "".join(f"{x}\n" for x in every))
    if contents.problems:
        print(*see.excerpt_of(contents.problems), sep="\n")
        count = len(contents.problems)
        if any(x.clip or x.tolerated for x in contents.problems):
            print("--on_problem=leave_out leaves the clips out that have one")
        print(f"{count} problem{'s' if count != 1 else ''}")
        return 1
    path = args.write_volunteer_split
    if path:
        split = see.split_by_volunteer(contents.used_split, args.seed)
        with explained(path):
            write_whole(path, see.split_to_json(split))
    print(summary(contents))
    if path:
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
