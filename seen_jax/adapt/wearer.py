"""What one person recorded -> the clips to adapt to, and those that are left.

SEE           a folder in SEE's form
CLIPS.csv     a table of clips, or a folder with one, as `seen live --record` leaves it
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from seen_jax import recordings, see, see_folder
from seen_jax.cameras.recorder import CLIPS
from seen_jax.clip_files import Clip
from seen_jax.data.clips import Clips
from seen_jax.data.windows import Setting
from seen_jax.errors import refuse
from seen_jax.recording_table import read_table


def find(clips: Path) -> tuple[Path, bool]:
    """Returns the SEE folder or the table of clips, and whether it is the latter."""
    if (clips / recordings.SPLIT_FILE).is_file():
        return clips, False
    table = clips / CLIPS if clips.is_dir() else clips
    if not table.is_file():
        got = f"a folder without {recordings.SPLIT_FILE} and {CLIPS}"
        rule = "a SEE folder, a table of clips or a folder with one"
        remedy = f"record some with `seen live SOURCE --bundle=BUNDLE --record={clips}`"
        refuse(clips, rule, got if clips.is_dir() else "none", remedy)
    return table, True


def cut(table: Path, out: Path, frames_per_s: float, **options: Any) -> None:
    """Cuts a table's clips by `recordings.write_folder`, all for training."""
    period_us = _period_us(frames_per_s)
    recordings.write_folder(table, out, period_us=period_us, divided=False, **options)
    for line in recordings.notes(out):
        print(line)


def check_table(
    table: Path,
    labels: Sequence[str],
    setting: Setting,
    frames_per_s: float,
    volunteer: str | None = None,
    crop: tuple[int, int, int] | None = None,
) -> None:
    """Raises what `read` would for the clips, before they are cut, with their lines.

    Rows that are not valid are left to `recordings.write_folder`, which lists them;
    `crop` is of rows without one.
    """
    rows, _ = read_table(table, crop)
    if not rows:
        return
    volunteer = _whose(table, [row.volunteer for row in rows], volunteer)
    for row in rows:
        if row.volunteer != volunteer:
            continue
        place = f"{table}: line {row.line}"
        _known(place, row.label, labels)
        span_us = round(row.end_s * 1e6) - round(row.start_s * 1e6)
        length = int(span_us // _period_us(frames_per_s))
        if length < setting.span:
            _refuse_short(place, setting, length)


def _period_us(frames_per_s: float) -> Fraction:
    usual = see.FRAME_PERIOD_US if frames_per_s == see.FRAMES_PER_S else None
    return Fraction(usual or 10**6 / Fraction(frames_per_s))


def read(
    folder: Path,
    labels: Sequence[str],
    setting: Setting,
    frames_per_s: float,
    volunteer: str | None = None,
) -> tuple[list[Clip], str]:
    """Reads one person's clips in a SEE folder, for a network of labels and so on.

    Args:
      volunteer: whose clips; None: there is only one.

    Returns:
      The clips, with labels as of `labels`, and the volunteer, "" if none is named.

    Raises:
      UserError: the folder has a problem, clips of several people, labels that the
        network does not know, clips shorter than a window, or another frame rate.
    """
    contents = see_folder.check(see_folder.SeeFolder(folder), divided=False)
    contents.raise_problems()
    if contents.split.frames_per_s != frames_per_s:
        rule = f"{frames_per_s:g} frames a second, as the run was trained on"
        refuse(folder, rule, f"{contents.split.frames_per_s:g}")
    by_person: dict[str, list[Clip]] = {}
    for clip in contents.clips.values():
        by_person.setdefault(str(clip.metadata.get("volunteer", "")), []).append(clip)
    volunteer = _whose(folder, by_person, volunteer)
    clips = []
    for clip in by_person[volunteer]:
        label = _known(folder, clip.annotation.label, labels)
        clips.append(replace(clip, annotation=replace(clip.annotation, label=label)))
    lengths = {x.name: x.annotation.end - x.annotation.start for x in clips}
    short = {name: n for name, n in lengths.items() if n < setting.span}
    if short:
        name, length = next(iter(short.items()))
        more = f", and {len(short) - 1} more" if len(short) > 1 else ""
        _refuse_short(f"{folder}: {name}", setting, f"{length}{more}")
    return clips, volunteer


def _whose(place: Path, people: Iterable[str], volunteer: str | None) -> str:
    """Returns the one volunteer, or the one that is asked for."""
    people = [*dict.fromkeys(people)]
    named = ", ".join(who or "nobody (no volunteer is given)" for who in people)
    if volunteer is None and len(people) > 1:
        remedy = "say whose with --volunteer=NAME"
        if "" in people:
            remedy += ", and give the other clips a volunteer if they are to be used"
        refuse(place, "clips of one volunteer", f"those of {named}", remedy)
    volunteer = people[0] if volunteer is None else volunteer
    if volunteer not in people:
        refuse("--volunteer", f"one of {named}", repr(volunteer))
    return volunteer


def _refuse_short(place: str, setting: Setting, length: object) -> NoReturn:
    rule = f"{setting.span} frames or more, a window of {setting}"
    refuse(place, rule, length, "record longer clips, or leave them out")


def _known(place: object, text: str, labels: Sequence[str]) -> str:
    label = see.label_from_text(text, labels)
    if label is None:
        rule = f"labels that the run knows, {', '.join(labels)}"
        remedy = "leave those clips out, or train a run with that label on more people"
        refuse(place, rule, text, remedy)
    return label


def choose(
    clips: Sequence[Clip], per_label: int | None = None
) -> tuple[list[Clip], list[Clip]]:
    """Returns the first clips of each label, at most so many, and the others."""
    counts: Counter = Counter()
    chosen, left = [], []
    for clip in clips:
        label = clip.annotation.label
        counts[label] += 1
        is_chosen = per_label is None or counts[label] <= per_label
        (chosen if is_chosen else left).append(clip)
    return chosen, left


def counts_of(clips: Clips) -> dict[str, int]:
    """Returns the number of clips of each label."""
    counts = np.bincount(clips.label_index, minlength=len(clips.labels)).tolist()
    return dict(zip(clips.labels, counts, strict=True))
