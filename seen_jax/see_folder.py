"""A SEE folder on disk: where a clip's images are, and the check of all of it.

    SEE/event/<emotion>/<clip name>/00000.jpg ...   event frames, 33 ms each
    SEE/frame/<emotion>/<clip name>/00000.jpg ...   intensity frames, same count
    SEE/emotion.json                                split and labels

Emotion folders match without regard to case. Nothing is skipped: `check` reads every
image of every clip and lists all that is wrong before any program trusts the folder.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from seen_jax import see
from seen_jax.processes import map_in_processes
from seen_jax.see import Problem


@dataclass(frozen=True)
class SeeFolder:
    """Where a SEE folder keeps its parts.

    Attributes:
      root: the folder.
      event_dir, frame_dir: folders of the two modalities below it; the published
        loader's default for the first is `event_30`.
      split_file: the split file below it; the published loader's default is
        `emotion_new_adjust2.json`.
    """

    root: Path
    event_dir: str = "event"
    frame_dir: str = "frame"
    split_file: str = "emotion.json"

    @property
    def split_path(self) -> Path:
        return Path(self.root) / self.split_file

    def modality_dirs(self) -> tuple[Path, Path]:
        return Path(self.root) / self.event_dir, Path(self.root) / self.frame_dir


@dataclass(frozen=True)
class Clip:
    """One labelled recording of a SEE folder: its name, annotation and image files."""

    name: see.ClipName
    annotation: see.Annotation
    event_files: tuple[Path, ...]
    frame_files: tuple[Path, ...]


@dataclass(frozen=True)
class Contents:
    """A SEE folder after the check.

    Attributes:
      split: the split file.
      clips: by name, in the split file's order, those left out excepted.
      problems: everything that is wrong; empty for a folder that can be used.
    """

    split: see.Split
    clips: Mapping[str, Clip]
    problems: tuple[Problem, ...]

    def raise_problems(self) -> None:
        if self.problems:
            raise see.SeeError(self.problems)


def check(
    folder: SeeFolder, num_workers: int | None = None, progress: bool = False
) -> Contents:
    """Reads the whole folder, every image included, and lists every problem.

    Args:
      folder: where the parts are.
      num_workers: processes that decode images; None takes one per processor.
      progress: shows a progress bar over the clips.
    """
    split, problems = see.load_split(folder.split_path)
    places = {problem.path for problem in problems}
    found = {}
    for directory in folder.modality_dirs():
        found[directory], wrong = _clip_dirs(directory)
        problems += wrong + _unlisted(found[directory], split, folder, places)
    clips, images = {}, []
    for name, annotation in split.clips.items():
        if annotation.left_out:
            continue
        files, wrong = _modality_files(name, found)
        problems += wrong
        images.append(sum(files, ()))
        if len(files) == len(found):
            clips[name] = Clip(see.ClipName.parse(name), annotation, *files)
            problems += _count_problems(clips[name])
    problems += _image_problems(images, num_workers, progress)
    if not clips and not problems:
        rule = "at least one clip that is not left out"
        problems.append(Problem(str(folder.split_path), rule, "none"))
    return Contents(split, clips, tuple(sorted(problems)))


def _unlisted(
    clip_dirs: Mapping[str, Path], split: see.Split, folder: SeeFolder, places: set[str]
) -> list[Problem]:
    """Tells the clips without an entry.

    An entry, or a split file, that is itself in the `places` of problems needs no more.
    """
    path = str(folder.split_path)
    return [
        Problem(str(clip_dirs[name]), f"an entry in {path}", "none")
        for name in sorted(set(clip_dirs) - set(split.clips))
        if not places & {path, see.entry_place(path, name)}
    ]


def _modality_files(
    name: str, found: Mapping[Path, Mapping[str, Path]]
) -> tuple[list[tuple[Path, ...]], list[Problem]]:
    """Lists the images of one clip, of each modality that has it."""
    files, problems = [], []
    for directory, clip_dirs in found.items():
        if name in clip_dirs:
            images, wrong = _frame_files(clip_dirs[name])
            files.append(images)
            problems += wrong
        elif directory.is_dir():  # else the folder of them all is the problem
            where = directory / see.ClipName.parse(name).emotion / name
            problems.append(Problem(str(where), "a folder of the clip", "none"))
    return files, problems


def _clip_dirs(directory: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Lists the clip folders of one modality; emotion folders match in any case."""
    if not directory.is_dir():
        return {}, [Problem(str(directory), "a folder of emotion folders", "none")]
    clips: dict[str, Path] = {}
    problems = []
    for emotion_dir in _entries(directory):
        emotion = see.emotion_from_text(emotion_dir.name)
        if emotion is None or not emotion_dir.is_dir():
            rule = f"an emotion folder, {see.one_of(see.EMOTIONS)}"
            problems.append(Problem(str(emotion_dir), rule, emotion_dir.name))
            continue
        for clip_dir in _entries(emotion_dir):
            try:
                name = see.ClipName.parse(clip_dir.name)
            except ValueError as error:
                problems.append(Problem(str(clip_dir), "a clip's folder", str(error)))
                continue
            if name.emotion != emotion:
                rule = f"a clip of the emotion {emotion}"
                problems.append(Problem(str(clip_dir), rule, name.emotion))
            elif clip_dir.name in clips:
                rule = f"the clip once, at {clips[clip_dir.name]}"
                problems.append(Problem(str(clip_dir), rule, "it again"))
            elif not clip_dir.is_dir():
                problems.append(Problem(str(clip_dir), "a folder", "a file"))
            clips.setdefault(clip_dir.name, clip_dir)
    return clips, problems


def _entries(directory: Path) -> list[Path]:
    """Lists a folder in order, without what file managers hide in it."""
    return sorted(x for x in directory.iterdir() if not x.name.startswith("."))


def _frame_files(clip_dir: Path) -> tuple[tuple[Path, ...], list[Problem]]:
    """Lists a clip's images, which must be 00000.jpg, 00001.jpg, ... without a gap."""
    if not clip_dir.is_dir():
        return (), []  # a problem of its own
    files, problems = {}, []
    for path in _entries(clip_dir):
        if re.fullmatch(r"[0-9]{5}\.jpg", path.name):
            files[int(path.stem)] = path
        else:
            rule = "only images 00000.jpg, 00001.jpg, ..."
            problems.append(Problem(str(path), rule, path.name))
    last = max(files, default=-1)
    missing = [f"{i:05d}.jpg" for i in range(last) if i not in files]
    if missing:
        rule = f"images 00000.jpg to {last:05d}.jpg without a gap"
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        found = f"no {', '.join(missing[:5])}{more}"
        problems.append(Problem(str(clip_dir), rule, found))
    return tuple(files.values()), problems


def _count_problems(clip: Clip) -> list[Problem]:
    """Compares the image counts with each other, the name and the segment."""
    num_events, num_frames = len(clip.event_files), len(clip.frame_files)
    where, problems = str(clip.name), []
    if num_events != num_frames:
        rule = "as many event frames as intensity frames"
        found = f"{num_events} event frames, {num_frames} intensity frames"
        problems.append(Problem(where, rule, found))
    for kind, count in (("event", num_events), ("intensity", num_frames)):
        if count != clip.name.length:
            rule = f"{clip.name.length} {kind} frames, as in the name"
            problems.append(Problem(where, rule, str(count)))
        if count < clip.annotation.end:
            rule = f"{kind} frames up to the segment's end {clip.annotation.end}"
            problems.append(Problem(where, rule, str(count)))
    return problems


def _image_problems(
    files: list[tuple[Path, ...]], num_workers: int | None, progress: bool
) -> list[Problem]:
    """Decodes the images of every clip, many clips at a time."""
    found = map_in_processes(_unreadable, files, "check", num_workers, progress)
    return [problem for problems in found for problem in problems]


# What Pillow raises for a damaged file, damaged sizes in its header included.
_BAD_IMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def _unreadable(files: tuple[Path, ...]) -> list[Problem]:
    """Decodes the images of one clip to the end and compares their sizes.

    A JPEG carries no checksum: bytes changed within its scan decode to another image
    without a word, and are not found here.
    """
    problems, sizes = [], {}
    for path in files:
        try:
            with Image.open(path) as image:
                image.load()
                sizes[path] = image.size
                if (image.format, image.mode) != ("JPEG", "L"):
                    found = f"{image.format} of mode {image.mode}"
                    problems.append(Problem(str(path), "a grey JPEG", found))
        except _BAD_IMAGE as error:
            unknown = isinstance(error, UnidentifiedImageError)  # its text is the path
            found = "no image" if unknown else str(error)
            problems.append(Problem(str(path), "a readable JPEG", found))
    if sizes:
        (width, height), _ = Counter(sizes.values()).most_common(1)[0]
        if width != height:
            found = f"{width} x {height}"
            problems.append(Problem(str(files[0].parent), "square images", found))
        rule = f"{width} x {height}, the size of most of the clip's images"
        for path, size in sizes.items():
            if size != (width, height):
                problems.append(Problem(str(path), rule, f"{size[0]} x {size[1]}"))
    return problems


def summary(contents: Contents) -> str:
    """Formats what a checked folder holds."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for clip in contents.clips.values():
        counts["emotion"][clip.name.emotion] += 1
        counts["lighting"][clip.name.lighting] += 1
        counts["split"][clip.annotation.subset] += 1
    frames = sum(len(clip.event_files) for clip in contents.clips.values())
    volunteers = len({clip.name.volunteer for clip in contents.clips.values()})
    left_out = sum(x.left_out for x in contents.split.clips.values())
    lines = [
        f"clips       {len(contents.clips)}"
        + (f" and {left_out} left out by the split file" if left_out else ""),
        f"volunteers  {volunteers}",
        f"frames      {frames} ({frames / see.FRAMES_PER_S / 60:.1f} minutes)",
    ]
    for group, order in (
        ("emotion", see.EMOTIONS),
        ("lighting", see.LIGHTINGS),
        ("split", see.SUBSETS),
    ):
        shown = "  ".join(f"{name} {counts[group][name]}" for name in order)
        lines.append(f"{group:11} {shown}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.see",
        description="Checks a SEE folder and lists every problem it finds.",
    )
    add_folder_arguments(parser)
    parser.add_argument(
        "--write_volunteer_split",
        type=Path,
        metavar="FILE",
        help="also write a split file in which no volunteer is in both subsets",
    )
    parser.add_argument("--seed", type=int, default=0, help="of that split")
    parser.add_argument("--workers", type=int, help="processes; default: processors")
    args = parser.parse_args(argv)
    try:
        return _run(args)
    except (ValueError, OSError) as error:
        parser.error(str(error))


def add_folder_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the folder and its parts' names, for `folder_from_arguments`."""
    parser.add_argument("dir", type=Path, help="the SEE folder")
    default = SeeFolder(Path())
    for name in ("event_dir", "frame_dir", "split_file"):
        parser.add_argument(
            f"--{name}", default=getattr(default, name), help="default: %(default)s"
        )


def folder_from_arguments(args: argparse.Namespace) -> SeeFolder:
    return SeeFolder(args.dir, args.event_dir, args.frame_dir, args.split_file)


def _run(args: argparse.Namespace) -> int:
    contents = check(folder_from_arguments(args), args.workers, progress=True)
    if contents.problems:
        for problem in contents.problems:
            print(problem)
        count = len(contents.problems)
        print(f"{count} problem{'s' if count != 1 else ''}")
        return 1
    split = contents.split
    if args.write_volunteer_split:
        split = see.split_by_volunteer(split, args.seed)
    print(summary(contents))
    if args.write_volunteer_split:
        args.write_volunteer_split.write_text(see.split_to_json(split))
        print(f"wrote {args.write_volunteer_split}")
    return 0
