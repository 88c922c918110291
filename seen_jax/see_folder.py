"""A SEE folder on disk: where a clip's images are, and the check of all of it.

    python -m seen_jax.see_folder SEE

    SEE/event/<emotion>/<clip name>/00000.jpg ...   event frames, 33 ms each
    SEE/frame/<emotion>/<clip name>/00000.jpg ...   intensity frames, same count
    SEE/emotion.json                                split and labels
    SEE/simulation.json                             in a simulated folder: its origin

Emotion folders match without regard to case. `check` decodes every image of every clip
and lists all problems before any program trusts the folder.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seen_jax import images, see
from seen_jax.errors import UserError, run_command
from seen_jax.files import explained, write_whole
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
    """One labelled recording of a SEE folder.

    Attributes:
      name, annotation: what its name and the split file say.
      event_files, frame_files: its images, in order.
      sha256: of the bytes of the event files, then of the frame files.
    """

    name: see.ClipName
    annotation: see.Annotation
    event_files: tuple[Path, ...]
    frame_files: tuple[Path, ...]
    sha256: str


@dataclass(frozen=True)
class Contents:
    """A SEE folder after the check.

    Attributes:
      split: the split file.
      clips: by name, in the split file's order, those left out excepted.
      provenance: where the data come from, see `see.load_provenance`.
      problems: everything that is wrong; empty for a folder that can be used.
    """

    split: see.Split
    clips: Mapping[str, Clip]
    provenance: dict[str, Any]
    problems: tuple[Problem, ...]

    def raise_problems(self) -> None:
        if self.problems:
            raise see.SeeError(self.problems)


def check(
    folder: SeeFolder, num_workers: int | None = None, progress: bool = False
) -> Contents:
    """Reads the whole folder, each image once, and lists every problem.

    Args:
      folder: where the parts are.
      num_workers: processes that decode images; None takes one per processor.
      progress: shows a progress bar over the clips.
    """
    split, problems = see.load_split(folder.split_path)
    places = {problem.path for problem in problems}
    provenance, wrong = see.load_provenance(Path(folder.root) / see.PROVENANCE_FILE)
    problems += wrong
    clip_dirs = {}
    for directory in folder.modality_dirs():
        clip_dirs[directory], wrong = _clip_dirs(directory)
        problems += wrong + _unlisted(clip_dirs[directory], split, folder, places)
    files = {}
    for name, annotation in split.clips.items():
        if not annotation.left_out:
            files[name], wrong = _modality_files(name, clip_dirs)
            problems += wrong
    # Many clips at a time, in several processes.
    of_each = [sum(modalities, ()) for modalities in files.values()]
    results = map_in_processes(_read_images, of_each, "check", num_workers, progress)
    clips = {}
    for name, (sha256, wrong) in zip(files, results, strict=True):
        problems += wrong
        if len(files[name]) == len(clip_dirs):
            fields = see.ClipName.parse(name), split.clips[name]
            clips[name] = Clip(*fields, *files[name], sha256)
            problems += _count_problems(clips[name])
    if not clips and not problems:
        rule = "at least one clip that is not left out"
        problems.append(Problem(str(folder.split_path), rule, "none"))
    return Contents(split, clips, provenance, tuple(sorted(problems)))


def _unlisted(
    clip_dirs: Mapping[str, Path], split: see.Split, folder: SeeFolder, places: set[str]
) -> list[Problem]:
    """Lists the clips without an entry.

    Nothing is added for an entry or a split file that is among the `places` of other
    problems.
    """
    path = str(folder.split_path)
    return [
        Problem(str(clip_dirs[name]), f"an entry in {path}", "none")
        for name in sorted(set(clip_dirs) - set(split.clips))
        if not places & {path, see.entry_place(path, name)}
    ]


def _modality_files(
    name: str, clip_dirs: Mapping[Path, Mapping[str, Path]]
) -> tuple[list[tuple[Path, ...]], list[Problem]]:
    """Lists the images of one clip, of each modality that has it."""
    files, problems = [], []
    for directory, of_name in clip_dirs.items():
        if name in of_name:
            paths, wrong = _frame_files(of_name[name])
            files.append(paths)
            problems += wrong
        elif directory.is_dir():  # otherwise the missing folder is already a problem
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
            except UserError as error:
                problems.append(Problem(str(clip_dir), error.expected, error.got))
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
    """Lists a folder in order, without the hidden files of file managers."""
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
        got = f"no {', '.join(missing[:5])}{more}"
        problems.append(Problem(str(clip_dir), rule, got))
    return tuple(files.values()), problems


def _count_problems(clip: Clip) -> list[Problem]:
    """Compares the image counts with each other, the name and the segment."""
    num_events, num_frames = len(clip.event_files), len(clip.frame_files)
    where, problems = str(clip.name), []
    if num_events != num_frames:
        rule = "as many event frames as intensity frames"
        got = f"{num_events} event frames, {num_frames} intensity frames"
        problems.append(Problem(where, rule, got))
    for kind, count in (("event", num_events), ("intensity", num_frames)):
        if count != clip.name.length:
            rule = f"{clip.name.length} {kind} frames, as in the name"
            problems.append(Problem(where, rule, str(count)))
        if count < clip.annotation.end:
            rule = f"{kind} frames up to the segment's end {clip.annotation.end}"
            problems.append(Problem(where, rule, str(count)))
    return problems


def _read_images(files: tuple[Path, ...]) -> tuple[str, list[Problem]]:
    """Reads the images of one clip: their hash, and what is wrong with them."""
    sha256, problems, sizes = hashlib.sha256(), [], {}
    for path in files:
        try:
            if not path.is_file():  # a pipe would be waited for
                raise OSError("no regular file")
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
    parser.add_argument("--workers", type=int, help="processes; default: processors")
    args = parser.parse_args(argv)
    contents = check(folder_from_arguments(args), args.workers, progress=True)
    if contents.problems:
        print(*contents.problems, sep="\n")
        count = len(contents.problems)
        print(f"{count} problem{'s' if count != 1 else ''}")
        return 1
    path = args.write_volunteer_split
    if path:
        split = see.split_by_volunteer(contents.split, args.seed)
        with explained(path):
            write_whole(path, see.split_to_json(split))
    print(summary(contents))
    if path:
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
