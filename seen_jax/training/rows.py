"""`metrics.jsonl`, a line of JSON for each epoch, and the selected epoch.

A row has epoch, step, loss, accuracy, learning_rate and seconds; where the epoch was
evaluated also split, war, uar, passes (a `metrics.measure` each) and mean (over the
passes). Shares are 0 to 1. New ones have windows_per_s and war_std, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seen_jax import files, metrics
from seen_jax.errors import refuse, shortened

Row = dict[str, Any]
FILE = "metrics.jsonl"
REMEDY = "copy the file again, or train in another workdir"
CHOICES = {  # how the epoch was selected, as stated beside its numbers
    "last": "the last epoch",
    "validation": "chosen on volunteers held out of the training part",
    "test": "chosen on the test split",
}


def read_rows(workdir: str | os.PathLike) -> list[Row]:
    """Returns the rows of a run, in order; a last line that was cut off is left out.

    A full disk or a crash of the machine does that; a run that resumes notes that epoch
    again.

    Raises:
      UserError: another line is not a row, or an epoch is missing.
    """
    return read_rows_and_tail(workdir)[0]


def read_rows_and_tail(workdir: str | os.PathLike) -> tuple[list[Row], bytes]:
    """As `read_rows`; also returns what there is of a line that was cut off."""
    path = Path(workdir) / FILE
    if not path.exists():
        return [], b""
    if not path.is_file():
        refuse(path, "a file", "a folder or a device", REMEDY)
    with files.explained(path, REMEDY, files.READABLE):
        *lines, tail = path.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number}"
        try:
            row = files.parse_json(line.decode())
        except ValueError as error:  # UnicodeDecodeError too
            if number == len(lines) and not tail:
                return rows, line + b"\n"
            refuse(where, "a JSON object", error, REMEDY)
        _check(row, where, number)
        rows.append(row)
    return rows, tail


def append_row(workdir: Path, row: Row) -> None:
    """Appends a row; when this returns it is on the disk."""
    with open(workdir / FILE, "a") as file:
        file.write(to_line(row))
        file.flush()
        os.fsync(file.fileno())


def to_line(row: Row) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def _is_number(value: Any, low: float = -1e300, high: float = 1e300) -> bool:
    return type(value) in (int, float) and low <= value <= high  # nan is not


def _is_measure(value: Any) -> bool:
    """Whether it is a `metrics.measure` as JSON has it: shares, some of them None."""
    try:
        shares = metrics.flatten(value)
    except (AttributeError, KeyError, TypeError):
        return False
    known = (x for x in shares.values() if x is not None)
    return metrics.WAR in shares and all(_is_number(x, 0, 1) for x in known)


_NUMBER = "a finite number", _is_number
_COUNT = "a whole number from 0", lambda x: type(x) is int and x >= 0
_SHARE = "a share from 0 to 1", lambda x: _is_number(x, 0, 1)
_FORM = {"epoch": _COUNT, "step": _COUNT, "loss": _NUMBER, "accuracy": _SHARE}
_FORM |= {"learning_rate": _NUMBER, "seconds": _NUMBER}
_EVALUATED = {
    "split": ("text", lambda x: isinstance(x, str)),
    "war": _SHARE,
    "uar": _SHARE,
    "mean": ("shares by class, lighting and overall", _is_measure),
    "passes": (
        "a list of these",
        lambda x: isinstance(x, list) and all(map(_is_measure, x)),
    ),
}


def _check(row: Any, where: str, epoch: int) -> None:
    if not isinstance(row, dict):
        refuse(where, "a JSON object", type(row).__name__, REMEDY)
    form = _FORM | (_EVALUATED if "war" in row or "mean" in row else {})
    for name, (rule, is_right) in form.items():
        if not is_right(row.get(name)):
            got = shortened(repr(row[name])) if name in row else "none"
            refuse(where, f"{name} as {rule}", got, REMEDY)
    if row["epoch"] != epoch:
        refuse(where, f"epoch {epoch}", row["epoch"], REMEDY)


def chosen_row(rows: Sequence[Row], select: str) -> Row | None:
    """Returns the row of the selected epoch, None if no epoch was evaluated.

    "last" selects the last one that was evaluated; others the best by WAR, the latest
    of equals.
    """
    evaluated = [row for row in rows if "war" in row]
    if not evaluated:
        return None
    if select == "last":
        return evaluated[-1]
    return max(evaluated, key=lambda row: (row["war"], row["epoch"]))
