"""A SEE folder on disk: where a clip's images are, and the check of all of it.

    python -m seen_jax.see_folder SEE

    SEE/event/<emotion>/<clip name>/00000.jpg ...   event frames, 33 ms each
    SEE/frame/<emotion>/<clip name>/00000.jpg ...   intensity frames, same count
    SEE/emotion.json                                split and labels
    SEE/simulation.json                             in a simulated folder: its origin

Folders of labels match without regard to case. Images are numbered from 0 or 1, each
clip by itself, as .jpg, .jpeg or .png in any case. `check` decodes every image of every
clip and lists all problems before any program trusts the folder. The builder asks it
too: what it passes can be built.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seen_jax import clip_files, see
from seen_jax.clip_files import Clip, Modality
from seen_jax.errors import (
    UserError,
    check_option,
    counted,
    printable,
    refuse,
    run_command,
)
from seen_jax.files import check_file, explained, read_json, write_whole
from seen_jax.problems import Problem, SeeError, excerpt, excerpt_of
from seen_jax.processes import map_in_processes
from seen_jax.split import SUBSETS, Split, load_split, split_to_json
from seen_jax.volunteers import split_by_volunteer, volunteers_of

ON_PROBLEM = ("refuse", "leave_out", "as_published")
OPTIONS = ("event_dir", "frame_dir", "split_file", "on_problem")  # of `SeeFolder`
HOW_TO_GET = (
    "SEE is handed out on request by its authors (see datasets/see_tfds/README.md); "
    "python -m seen_jax.simulator --out DIR writes a folder of the same form"
)


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

    @property
    def check_command(self) -> str:
        """The command that writes all problems to a file."""
        given = [x for x in OPTIONS if getattr(self, x) != getattr(SeeFolder, x)]
        words = ["python", "-m", "seen_jax.see_folder", str(self.root)]
        words += [f"--{x}={getattr(self, x)}" for x in given]
        return shlex.join([*words, "--problems=problems.txt"])


@dataclass(frozen=True)
class Contents:
    """A SEE folder after the check.

    Attributes:
      split: the split file.
      clips: by name, in the split file's order, those left out excepted.
      provenance: where the data come from, see `load_provenance`.
      problems: what stands in the way; empty for a folder that can be used.
      passed_over: problems that `on_problem` allows.
      left_out: names of the clips that `leave_out` left out, with the reason.
      dropped: name of a clip to the numbers of event and intensity frames of its
        segment that are not there, for `as_published`.
      num_junk: files of file managers that were passed over.
      command: writes all problems to a file.
    """

    split: Split
    clips: Mapping[str, Clip]
    provenance: dict[str, Any]
    problems: tuple[Problem, ...]
    passed_over: tuple[Problem, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    num_junk: int = 0
    command: str = ""

    @property
    def used_split(self) -> Split:
        """The split file with the clips that `leave_out` left out marked so."""
        left_out = {
            name: replace(self.split.clips[name], end=0)
            for name in self.left_out
            if name in self.split.clips
        }
        return replace(self.split, clips={**self.split.clips, **left_out})

    def raise_problems(self) -> None:
        if self.problems:
            raise SeeError(self.problems, self.command)


def check(
    folder: SeeFolder,
    num_workers: int | None = None,
    progress: bool = False,
    by_volunteer: bool = False,
    divided: bool = True,
) -> Contents:
    """Reads the whole folder, each image once, and lists every problem.

    A folder without problems can be built.

    Args:
      by_volunteer: the clips will be divided by volunteer, and the subsets of the
        split file do not matter.
      divided: False: the clips need not make a training and a testing part.

    Raises:
      UserError: there is no such folder.
    """
    check_option("on_problem", folder.on_problem, ON_PROBLEM)
    root, path = Path(folder.root), str(folder.split_path)
    if not root.is_dir():
        refuse(root, "a SEE folder", "a file" if root.exists() else "none", HOW_TO_GET)
    split, problems = load_split(folder.split_path)
    problems = [_with_hint(x, folder, "split_file") for x in problems]
    places = {problem.path for problem in problems}
    wrong_entries = {problem.clip for problem in problems}
    provenance, wrong = load_provenance(root / see.PROVENANCE_FILE)
    problems += wrong
    modalities = []
    for option in ("event_dir", "frame_dir"):
        modality = clip_files.list_modality(root / getattr(folder, option), split)
        problems += [_with_hint(x, folder, option) for x in modality.problems]
        modalities.append(modality)
    for problem in clip_files.unlisted(modalities, split, path):
        # Nothing is added for an entry or a split file that is a problem already.
        name = Path(problem.path).name
        if not places & {path, f"{path}: database"} and name not in wrong_entries:
            problems.append(problem)
    clips, dropped, wrong = _list_clips(folder, split, modalities)
    problems += wrong
    # Many clips at a time, in several processes.
    of_each = [clip.event_files + clip.frame_files for clip in clips.values()]
    results = map_in_processes(
        clip_files.read_images, of_each, "check", num_workers, progress
    )
    for name, (sha256, wrong) in zip(clips, results, strict=True):
        problems += [replace(problem, clip=name) for problem in wrong]
        clips[name] = replace(clips[name], sha256=sha256)
    contents = Contents(
        split,
        clips,
        provenance,
        tuple(problems),
        dropped=dropped,
        num_junk=sum(len(modality.junk) for modality in modalities),
        command=folder.check_command,
    )
    contents = _judge(contents, folder.on_problem)
    wrong = _division_problems(contents, path, by_volunteer) if divided else []
    return replace(contents, problems=tuple(sorted({*contents.problems, *wrong})))


def _list_clips(
    folder: SeeFolder, split: Split, modalities: Sequence[Modality]
) -> tuple[dict[str, Clip], dict[str, tuple[int, int]], list[Problem]]:
    """Returns the clips of the split file, the numbers of dropped images, problems."""
    clips, dropped, problems = {}, {}, []
    for name, annotation in split.clips.items():
        if annotation.left_out:
            continue
        files, wrong = clip_files.list_images(name, annotation, modalities)
        problems += wrong
        clips[name] = Clip(name, annotation, *(tuple(x.values()) for x in files))
        if folder.on_problem == "as_published":
            clips[name], counts = clip_files.as_published(name, annotation, files)
            if any(counts):
                dropped[name] = counts
            dirs = [x.clip_dirs.get(name, "") for x in modalities]
            if not clips[name].event_files and all(map(os.path.isdir, dirs)):
                rule = "images of the segment, of each modality"
                problems.append(Problem(name, rule, "none", clip=name))
    return clips, dropped, problems


def _judge(contents: Contents, on_problem: str) -> Contents:
    """Divides the problems as `on_problem` says, and takes their clips out."""
    passed_over = sorted(x for x in contents.problems if _passes(x, on_problem))
    problems = [x for x in contents.problems if not _passes(x, on_problem)]
    left_out = {}
    if on_problem == "leave_out":
        for problem in passed_over:
            note = contents.split.clips.get(problem.clip)
            if problem.clip and not (note and note.left_out):
                left_out.setdefault(problem.clip, str(problem))
    spoilt = {x.clip for x in contents.problems if not x.tolerated} | {*left_out}
    return replace(
        contents,
        clips={x: clip for x, clip in contents.clips.items() if x not in spoilt},
        # A problem that several clips share is one.
        problems=tuple(dict.fromkeys(problems)),
        passed_over=tuple(dict.fromkeys(passed_over)),
        left_out=left_out,
    )


def _division_problems(
    contents: Contents, path: str, by_volunteer: bool
) -> list[Problem]:
    """Says why the clips that are left make no training and no testing part."""
    if any(x.path.startswith(path) for x in contents.problems):
        return []  # what is missing may be what is wrong there
    split = contents.used_split
    subsets = {clip.subset for clip in split.clips.values() if not clip.left_out}
    if not subsets:
        return [Problem(path, "at least one clip that is not left out", "none")]
    if by_volunteer:
        try:
            volunteers_of(split)
        except UserError as error:
            return [Problem(error.what, error.expected, error.got, remedy=error.remedy)]
        return []
    remedy = "--config=by_volunteer of the build divides the clips again"
    return [
        Problem(path, f"clips of the subset {subset}", "none", remedy=remedy)
        for subset in SUBSETS
        if subset not in subsets
    ]


def load_provenance(path: str | os.PathLike) -> tuple[dict[str, Any], list[Problem]]:
    """Reads a folder's `PROVENANCE_FILE`; a folder without one holds real data.

    Returns:
      Plain values, with "source": such as `simulated (hard)`, or `real` where there is
      no file; and what is wrong with the file.
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


def _passes(problem: Problem, on_problem: str) -> bool:
    """Says whether a folder with this problem can be used all the same."""
    if on_problem == "leave_out":
        return bool(problem.clip) or problem.tolerated
    return on_problem == "as_published" and problem.tolerated


def _with_hint(problem: Problem, folder: SeeFolder, option: str) -> Problem:
    """Adds the options that name a part which is not at its default place."""
    root, name = folder.root, getattr(folder, option)
    is_absent = problem.path == str(root / name) and problem.got == "none"
    if not is_absent or not os.access(root, os.R_OK):  # nor can it be listed
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
    return replace(problem, remedy=f"there is one for {options}")


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
    orders = {group: split.labels, "lighting": see.LIGHTINGS, "split": SUBSETS}
    for name, order in orders.items():
        if any(counts[name][x] for x in order):
            shown = "  ".join(f"{x} {counts[name][x]}" for x in order)
            lines.append(f"{name:11} {shown}")
    try:
        volunteers_of(contents.used_split)
    except UserError as error:
        lines.append(printable(f"no config by_volunteer: {error}"))
    return "\n".join(lines + passed_over_lines(contents))


def passed_over_lines(contents: Contents) -> list[str]:
    """Says what was left out, dropped and passed over, with the reasons."""
    lines = []
    if contents.num_junk:
        lines.append(f"files of file managers passed over: {contents.num_junk}")
    lines += left_out_lines(contents)
    if contents.dropped:
        events, frames = map(sum, zip(*contents.dropped.values(), strict=True))
        lines.append(
            f"{events} event and {frames} intensity frames dropped from "
            f"{len(contents.dropped)} of {len(contents.clips)} clips, as published:"
        )
        counts = contents.dropped.items()
        lines += _excerpt(contents, (f"{x}: {y} and {z}" for x, (y, z) in counts))
    of_clips = {x for x in contents.passed_over if x.clip in contents.left_out}
    others = [x for x in contents.passed_over if x not in of_clips]
    if others:
        lines.append(f"{counted(len(others), 'problem')} passed over:")
        lines += _excerpt(contents, others)
    return [printable(line) for line in lines]


def left_out_lines(contents: Contents) -> list[str]:
    """Says which clips were left out, with the reasons."""
    if not (num_left_out := len(contents.left_out)):
        return []
    count = len(contents.clips)
    head = f"{count:,} of {count + num_left_out:,} clips, {num_left_out:,} left out:"
    reasons = (f"{name}: {why}" for name, why in contents.left_out.items())
    return [printable(x) for x in (head, *_excerpt(contents, reasons))]


def _excerpt(contents: Contents, problems: Iterable[Any]) -> list[str]:
    return [f"  {line}" for line in excerpt_of(problems, contents.command)]


def add_folder_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the folder and its parts' names, for `folder_from_arguments`."""
    parser.add_argument("dir", type=Path, help="the SEE folder")
    text = "default: %(default)s"
    for name in OPTIONS[:3]:
        parser.add_argument(f"--{name}", default=getattr(SeeFolder, name), help=text)
    what = "leave_out: leave the clips out that have one; as_published: drop images "
    what += "that are not there, as the published loader does; " + text
    default = SeeFolder.on_problem
    parser.add_argument("--on_problem", choices=ON_PROBLEM, default=default, help=what)


def folder_from_arguments(args: argparse.Namespace) -> SeeFolder:
    return SeeFolder(args.dir, *(getattr(args, x) for x in OPTIONS))


def main(argv: list[str] | None = None) -> int:
    what = "Checks a SEE folder and lists every problem."
    prog = "python -m seen_jax.see_folder"
    parser = argparse.ArgumentParser(prog=prog, description=what)
    add_folder_arguments(parser)
    text, file = "write a split in which no volunteer is in both subsets, too", "FILE"
    parser.add_argument("--write_volunteer_split", type=Path, metavar=file, help=text)
    parser.add_argument("--seed", type=int, default=0, help="of that split")
    parser.add_argument("--problems", type=Path, metavar="FILE", help="write all to it")
    parser.add_argument("--workers", type=int, help="processes; default: processors")
    args = parser.parse_args(argv)
    path = args.write_volunteer_split
    for flag in ("write_volunteer_split", "problems"):
        if (file := getattr(args, flag)) is not None:
            check_file(file, f"--{flag}")
    folder = folder_from_arguments(args)
    contents = check(folder, args.workers, progress=True, by_volunteer=bool(path))
    if args.problems:
        every = sorted(contents.problems + contents.passed_over)
        with explained(args.problems):
            write_whole(args.problems, "".join(f"{x}\n" for x in every))
    if contents.problems:
        lines = left_out_lines(contents)  # perhaps what made the others
        print(*lines, *excerpt_of(contents.problems, contents.command), sep="\n")
        if any(x.clip or x.tolerated for x in contents.problems):
            print("--on_problem=leave_out leaves the clips out that have one")
        print(counted(len(contents.problems), "problem"))
        return 1
    if path:
        split = split_by_volunteer(contents.used_split, args.seed)
        with explained(path):
            write_whole(path, split_to_json(split))
    print(summary(contents))
    if path:
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
