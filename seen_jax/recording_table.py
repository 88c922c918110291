"""The table of clips of `seen_jax.recordings`: a CSV file -> checked rows."""

from __future__ import annotations

import argparse
import csv
import io
from dataclasses import dataclass
from pathlib import Path

from seen_jax.cameras import digest
from seen_jax.errors import UserError, one_of, refuse, shortened
from seen_jax.event_folder import parse_crop
from seen_jax.files import read_text
from seen_jax.split import FOLDER_NAME, SUBSETS, names_a_folder

COLUMNS = ("recording", "start_s", "end_s", "label", "volunteer")
OVERRIDES = ("subset", "crop")


@dataclass(frozen=True)
class Row:
    """A row of the table, a clip.

    Attributes:
      line: where it is in the table.
      name: the clip's folder.
      recording: its file.
      written: its path as the table has it.
      start_s, end_s: seconds from the recording's first event or intensity frame.
      label, volunteer: not empty.
      subset: one of `SUBSETS`, or None for the split by volunteer.
      crop: (x, y, size) in pixels, or None for the centre.
      metadata: text of the further columns.
    """

    line: int
    name: str
    recording: Path
    written: str
    start_s: float
    end_s: float
    label: str
    volunteer: str
    subset: str | None
    crop: tuple[int, int, int] | None
    metadata: dict[str, str]


def read_table(
    path: Path, crop: tuple[int, int, int] | None = None
) -> tuple[list[Row], list[tuple[int, str]]]:
    """Reads a table of clips.

    Args:
      path: CSV with the columns `COLUMNS`, perhaps `OVERRIDES`, and any others, which
        become metadata. Paths are relative to it.

    Returns:
      The rows that are right, and (line, problem) of each other one.

    Raises:
      UserError: it is not such a table, or has no rows.
    """
    text = read_text(path, "name a CSV file").removeprefix("\ufeff")
    # Note: `splitlines` ends a line at U+2028, a form feed and others, too.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, problems, line = [], [], 1
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in COLUMNS if name not in header]
        if missing or "" in header or len(set(header)) < len(header):
            rule = f"a first line of different names, among them {','.join(COLUMNS)}"
            refuse(path, rule, shortened(",".join(header)) or "nothing")
        if wrong := [name for name in header if not name.isprintable()]:
            refuse(f"{path}: line 1", "printable names", shortened(repr(wrong[0])))
        line = reader.line_num + 1
        for fields in reader:
            if any(field.strip() for field in fields):
                try:
                    rows.append(_parse_row(path, line, header, fields, crop))
                except UserError as error:
                    problems.append((line, str(error)))
            line = reader.line_num + 1
    except csv.Error as error:
        refuse(path, "CSV", f"{error} at line {line}")
    if not rows and not problems:
        refuse(path, "at least one clip", "none", "add a row for each clip")
    spelled: dict[str, str] = {}
    for row in rows:
        first = spelled.setdefault(row.label.lower(), row.label)
        if row.label != first:
            text = f"label: expected {first!r} spelled as before, got {row.label!r}"
            problems.append((row.line, text))
    return rows, problems


def _parse_row(path: Path, line: int, header, fields, crop) -> Row:
    if len(fields) != len(header):
        refuse("row", f"{len(header)} fields, as in the first line", len(fields))
    cells = {n: x.strip() for n, x in zip(header, fields, strict=True)}
    for name in ("recording", "volunteer"):
        if not cells[name]:
            refuse(name, "a name", "nothing")
    if not names_a_folder(cells["label"]):
        refuse("label", f"a name of {FOLDER_NAME}", repr(cells["label"]))
    for name, text in cells.items():  # the split file takes no other
        if name != "recording" and not text.isprintable():
            refuse(name, "printable text", repr(text))
    start_s, end_s = (_seconds(name, cells[name]) for name in ("start_s", "end_s"))
    if not 0 <= start_s < end_s < float("inf"):  # a nan is in no order
        got = f"{start_s:g} and {end_s:g}"
        refuse("start_s, end_s", "0 <= start_s < end_s", got)
    subset = cells.get("subset") or None
    if subset not in (None, *SUBSETS):
        refuse("subset", f"nothing or {one_of(SUBSETS)}", repr(subset))
    if cells.get("crop"):
        try:
            crop = parse_crop(cells["crop"])
        except argparse.ArgumentTypeError as error:
            raise UserError(f"crop: {error}") from error
    recording = path.parent / cells["recording"]
    if not recording.is_file() and not digest.is_bag_folder(recording):
        got = "not a regular file" if recording.exists() else "none"
        refuse("recording", "a file", f"{got} at {recording}")
    others = cells.keys() - {*COLUMNS, *OVERRIDES}
    return Row(
        line=line,
        name=f"clip_{line - 1:05d}",
        recording=recording,
        written=cells["recording"],
        start_s=start_s,
        end_s=end_s,
        label=cells["label"],
        volunteer=cells["volunteer"],
        subset=subset,
        crop=crop,
        metadata={name: x for name, x in cells.items() if name in others},
    )


def _seconds(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        refuse(name, "seconds", repr(text))
