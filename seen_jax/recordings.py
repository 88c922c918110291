"""DAVIS recordings and a table of clips -> a folder in SEE's form.

    python -m seen_jax.recordings --clips=CLIPS.csv --out=DIR

    CLIPS.csv                   recording,start_s,end_s,label,volunteer and more columns
    DIR/event/LABEL/clip_00001  event frames of the table's first clip
    DIR/frame/LABEL/clip_00001  its intensity frames
    DIR/emotion.json            labels, the split by volunteer, each clip's metadata
    DIR/recordings.json         where each clip comes from

Times are seconds from the recording's first event or intensity frame. Every row is
checked before anything is written. emotion.json is written last; the same command
resumes.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from seen_jax import event_folder, files, see
from seen_jax.cameras import digest
from seen_jax.cameras.sources import read_once
from seen_jax.errors import UserError, counted, refuse, run_command
from seen_jax.images import save_frames
from seen_jax.problems import SeeError, excerpt_of
from seen_jax.processes import map_in_processes
from seen_jax.recording_table import COLUMNS, OVERRIDES, Row, read_table
from seen_jax.split import SUBSETS, parse_split
from seen_jax.staleness import MAX_STALE_S, add_reading_arguments, check_stale
from seen_jax.volunteers import draw_testing

SOURCES_FILE = "recordings.json"
SPLIT_FILE = "emotion.json"
_STAGING = ".staging"
_SHOWN = 50  # problems in a message
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,8}")  # within int32


def _raise_problems(path: Path, problems: Sequence[tuple[int, str]]) -> None:
    if problems:
        head = f"{path}: {counted(len(problems), 'problem')}, nothing was written:"
        lines = (f"line {line}: {text}" for line, text in sorted(problems))
        raise UserError("\n  ".join([head, *excerpt_of(lines, most=_SHOWN)]))


def _images(
    row: Row, period_us: int | Fraction, pixel: str, recover: bool
) -> tuple[event_folder.ClipImages, tuple[int, int, int]]:
    """Cuts a clip; returns its images and crop."""
    whole = read_once(row.recording, recover)
    crop = row.crop or event_folder.centre_square(whole.resolution)
    span = row.start_s, row.end_s, period_us
    recording, start_us, count = event_folder.cut(whole, *span)
    options = {"crop": crop, "period_us": period_us, "pixel": pixel}
    options |= {"start_us": start_us, "num_periods": count}
    return event_folder.clip_images(recording, **options), crop


def _examine(
    rows: Sequence[Row],
    period_us: int | Fraction,
    pixel: str,
    recover: bool,
    max_stale_s: float,
) -> tuple[list[tuple[Row, dict[str, Any]]], list[tuple[int, str]]]:
    """Cuts the clips of one recording without writing them.

    Returns:
      Each clip that can be cut with what `SOURCES_FILE` says of it; (line, problem) of
      each other one.
    """
    sources, problems = [], []
    try:
        recording = read_once(rows[0].recording, recover)
        sha256 = digest.of(rows[0].recording)
    except (UserError, OSError) as error:
        return [], [(row.line, str(error)) for row in rows]
    for row in rows:
        try:
            images, crop = _images(row, period_us, pixel, recover)
            times_us = recording.times_us
            stale = check_stale(times_us, images.edges_us, max_stale_s)
            if not images.counts.sum():
                refuse("crop", "at least one event", "none")
        except UserError as error:
            problems.append((row.line, str(error)))
            continue
        source = {
            "line": row.line,
            "recording": row.written,
            "sha256": sha256,
            "start_s": row.start_s,
            "end_s": row.end_s,
            "start_us": int(images.edges_us[0]),
            "end_us": int(images.edges_us[-1]),
            "crop": [*crop],
            "num_frames": len(images.counts),
            "num_events": int(images.counts.sum()),
        }
        if notes := [*recording.notes, *filter(None, [stale])]:
            source["notes"] = notes
        sources.append((row, source))
    return sources, problems


def divide(rows: Sequence[Row], test_share: float, seed: int) -> dict[str, str]:
    """Chooses each clip's subset, by its name, so that no volunteer is in both.

    A row that names its subset keeps it, and its volunteer's other rows follow it. The
    other volunteers are drawn, see `draw_testing`.

    Raises:
      UserError: an argument is out of range, a volunteer whose rows name both subsets
        has rows that name none, or a single volunteer would have to be divided.
    """
    if not 0 < test_share < 1:
        refuse("test_share", "a number between 0 and 1", test_share)
    if seed < 0:
        refuse("seed", "0 or more", seed)
    named = defaultdict(set)
    for row in rows:
        if row.subset:
            named[row.volunteer].add(row.subset)
    unclear = {row.volunteer for row in rows if not row.subset}
    if both := sorted(unclear & {who for who, x in named.items() if len(x) > 1}):
        rule = "a subset in all rows or in none of a volunteer who is in both"
        refuse(f"subset of volunteer {both[0]}", rule, "one in some rows")
    subset_of = {who: min(subsets) for who, subsets in named.items()}
    drawn = sorted(unclear - named.keys())
    if len(drawn) == 1 and not named:
        remedy = "add a column subset to the table"
        refuse("split by volunteer", "at least 2 volunteers", 1, remedy)
    if drawn:
        free = [row for row in rows if row.volunteer in drawn]
        who, labels = [x.volunteer for x in free], [x.label for x in free]
        share = Fraction(test_share).limit_denominator(10**6)
        testing = draw_testing(who, labels, share, seed)
        subset_of |= {x: "testing" if x in testing else "training" for x in drawn}
    return {row.name: row.subset or subset_of[row.volunteer] for row in rows}


def split_content(
    rows: Sequence[Row],
    subsets: dict[str, str],
    num_frames: dict[str, int],
    period_us: int | Fraction,
) -> dict[str, Any]:
    """Returns the content of the split file; labels are in alphabetical order.

    A further column of whole numbers becomes numbers, any other one text.
    """
    columns = {"volunteer": [row.volunteer for row in rows]}
    columns |= {name: [row.metadata[name] for row in rows] for name in rows[0].metadata}
    for name, texts in columns.items():
        if all(map(_NUMBER.fullmatch, texts)):
            columns[name] = list(map(int, texts))
    content = {"labels": sorted({row.label for row in rows})}
    if period_us != see.FRAME_PERIOD_US:
        content["frames_per_s"] = float(10**6 / Fraction(period_us))
    content["database"] = {
        row.name: {
            "subset": subsets[row.name],
            "annotations": {"label": row.label, "segment": [0, num_frames[row.name]]},
            "metadata": {name: values[i] for name, values in columns.items()},
        }
        for i, row in enumerate(rows)
    }
    return content


def write_folder(
    clips: Path,
    out: Path,
    *,
    crop: tuple[int, int, int] | None = None,
    period_us: int | Fraction = see.FRAME_PERIOD_US,
    pixel: str = "last",
    test_share: float = 0.3,
    seed: int = 0,
    divided: bool = True,
    recover: bool = False,
    max_stale_s: float = MAX_STALE_S,
    num_workers: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Cuts the clips of a table into a folder in SEE's form.

    Args:
      clips: see `read_table`.
      out: new, empty, or left by an earlier call with the same table and options.
      divided: False puts all clips into the subset training.
      recover: whether to read what is left of incomplete recordings.

    Returns:
      The content of the split file.

    Raises:
      UserError: a row or an argument is wrong, `out` holds something else, another
        process writes there, or it cannot be written.
    """
    _check_place(out)
    rows, problems = read_table(clips, crop)
    reading = {"period_us": period_us, "pixel": pixel, "recover": recover}
    examine = functools.partial(_examine, **reading, max_stale_s=max_stale_s)
    todo, wrong = _examine_all(rows, examine, num_workers, progress)
    _raise_problems(clips, problems + wrong)
    if len(labels := sorted({row.label for row in rows})) < 2:
        refuse(clips, "at least 2 labels", labels)
    subsets = {row.name: SUBSETS[0] for row in rows}
    if divided:
        subsets = divide(rows, test_share, seed)
    for subset in SUBSETS:
        if divided and subset not in subsets.values():
            remedy = "name it in the column subset of some rows"
            refuse(clips, f"clips of the subset {subset}", "none", remedy)
    content = split_content(
        rows, subsets, {r.name: s["num_frames"] for r, s in todo}, period_us
    )
    if wrong := parse_split(content, str(clips))[1]:
        raise SeeError(wrong)
    options = {"period_us": str(period_us), "pixel": pixel}
    options |= {"test_share": test_share, "seed": seed}
    plan = {"table": clips.name, "options": options}
    plan["clips"] = {row.name: source | {"label": row.label} for row, source in todo}
    write = functools.partial(_write_clip, out=out, **reading)
    remedy = "make room or give another --out; the same command resumes"
    with files.explained(out, remedy):
        _claim(out, plan)
        with files.held(out / SOURCES_FILE, files.in_use(out)):
            # What a run that was killed left there.
            shutil.rmtree(out / _STAGING, ignore_errors=True)
            # In the order of recordings: a worker decodes one once for several clips.
            missing = [
                row for row, _ in todo if not all(map(Path.is_dir, _places(out, row)))
            ]
            for _ in map_in_processes(write, missing, "write", num_workers, progress):
                pass
            shutil.rmtree(out / _STAGING, ignore_errors=True)
            files.write_whole(out / SPLIT_FILE, json.dumps(content, indent=1))
    return content


def _examine_all(rows: Sequence[Row], examine, num_workers, progress):
    """Examines the rows of each recording together; returns what `_examine` does."""
    by_recording = defaultdict(list)
    for row in rows:
        by_recording[row.recording.resolve()].append(row)
    todo, problems = [], []
    for sources, wrong in map_in_processes(
        examine, list(by_recording.values()), "check", num_workers, progress
    ):
        todo += sources
        problems += wrong
    return todo, problems


def _check_place(out: Path) -> None:
    """Refuses a folder of something else, or where nothing can be written."""
    files.check_writable(out)
    is_begun = (out / SOURCES_FILE).exists()
    if out.exists() and not is_begun and any(out.iterdir()):
        refuse(out, "a new or empty folder", "something else", "give another --out")


def _claim(out: Path, plan: dict[str, Any]) -> None:
    """Writes the plan into a new or empty folder, or finds the same one there."""
    sources = out / SOURCES_FILE
    if sources.exists():
        if files.read_json(sources) != plan:
            rule = "a folder of the same table, recordings and options"
            refuse(out, rule, "another one", "give another --out or remove it")
        return
    _check_place(out)
    out.mkdir(parents=True, exist_ok=True)
    files.write_whole(sources, json.dumps(plan, indent=1))


def _places(out: Path, row: Row) -> list[Path]:
    return [out / kind / row.label / row.name for kind in ("event", "frame")]


def _write_clip(
    row: Row, out: Path, period_us: int | Fraction, pixel: str, recover: bool
) -> None:
    images, _ = _images(row, period_us, pixel, recover)
    staging = out / _STAGING / row.name
    save_frames(staging / "event", images.event_frames)
    save_frames(staging / "frame", images.intensity_frames)
    for place in _places(out, row):  # a killed run may have left the first one
        files.move_into_place(staging / place.relative_to(out).parts[0], place)


def summary(content: dict[str, Any]) -> str:
    """Formats the number of clips and volunteers of each label and subset."""
    database = content["database"].values()
    counts = Counter((x["annotations"]["label"], x["subset"]) for x in database)
    width = max(map(len, (*content["labels"], "volunteers")))
    lines = [" ".join([" " * width, *(f"{x:>9}" for x in SUBSETS)])]
    for label in content["labels"]:
        numbers = (f"{counts[label, x]:9}" for x in SUBSETS)
        lines.append(" ".join([f"{label:{width}}", *numbers]))
    people = [
        {x["metadata"]["volunteer"] for x in database if x["subset"] == subset}
        for subset in SUBSETS
    ]
    numbers = (f"{len(x):9}" for x in people)
    lines.append(" ".join([f"{'volunteers':{width}}", *numbers]))
    if both := people[0] & people[1]:
        lines.append(
            f"in both subsets, as the table says: {counted(len(both), 'volunteer')}"
        )
    return "\n".join(lines)


def notes(out: Path) -> list[str]:
    """Formats what was changed or stale, each once, with the clips that it is about."""
    about = defaultdict(list)
    for name, source in files.read_json(out / SOURCES_FILE)["clips"].items():
        for note in source.get("notes", ()):
            about[source["recording"], note].append(name)
    return [
        f"note: {recording}, {names[0]}"
        f"{f' and {len(names) - 1} more' if names[1:] else ''}: {note}"
        for (recording, note), names in about.items()
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.recordings",
        description="Cuts labelled clips out of DAVIS recordings into a folder in "
        "SEE's form, with a split in which no volunteer is in both parts.",
        epilog="If it is killed, rerun the command: it resumes.",
    )
    text = f"a clip per row: {','.join(COLUMNS)}; columns {' and '.join(OVERRIDES)} "
    text += "override the options, further ones become metadata; paths are relative to "
    path = dict(type=Path, required=True)
    parser.add_argument("--clips", **path, metavar="CLIPS.csv", help=text + "it")
    parser.add_argument("--out", **path, metavar="DIR")
    event_folder.add_image_arguments(parser)
    add_reading_arguments(parser)
    text = "share of the clips in the testing part; default: %(default)s"
    parser.add_argument("--test_share", type=float, default=0.3, help=text)
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    text = "processes; default: one per processor"
    parser.add_argument("--workers", type=int, dest="num_workers", help=text)
    args = parser.parse_args(argv)
    content = write_folder(**vars(args), progress=True)
    print("\n".join([*notes(args.out), summary(content)]))
    print(f"{counted(len(content['database']), 'clip')} in {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
