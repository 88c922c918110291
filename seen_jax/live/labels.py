"""Keys that are held while an emotion lasts -> clips."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from seen_jax.cameras.recorder import CLIPS, COLUMNS, Clip
from seen_jax.errors import refuse, shortened
from seen_jax.files import read_text
from seen_jax.split import FOLDER_NAME, names_a_folder


class Labels:
    """What is held, and what was.

    Attributes:
      names: that may be given.
      volunteer: who is in front of the camera.
      held: the label whose key is held, or "".
      counts: clips by label, so far.
    """

    def __init__(self, names: Sequence[str], volunteer: str, least_us: float):
        """Begins with nothing held.

        Args:
          names: of folders, each once.
          volunteer: printable.
          least_us: a shorter clip has no window.

        Raises:
          UserError: names that no folder can have, or twice, or no volunteer.
        """
        for name in names:
            if not names_a_folder(name):
                refuse("--labels", f"names of {FOLDER_NAME}", repr(name))
        if not names or len({name.lower() for name in names}) < len(names):
            refuse("--labels", "different names", ",".join(names) or "nothing")
        if not volunteer.strip() or not volunteer.isprintable():
            refuse("--volunteer", "printable text", repr(volunteer), "give a number")
        self.names, self.volunteer, self.held = list(names), volunteer, ""
        self.counts, self._least_us, self._since_us = Counter(), least_us, 0.0

    def press(self, name: str, time_us: float) -> None:
        """Begins a clip, at a time by the camera's clock.

        Raises:
          UserError: another name.
        """
        if name not in self.names:
            refuse("label", ", ".join(self.names), repr(name))
        self.held, self._since_us = name, time_us

    def release(self, time_us: float, crop: tuple[int, int, int]) -> Clip | None:
        """Ends a clip; returns it, or None where nothing was held.

        Raises:
          UserError: it is shorter than a window, or the clock went back; nothing is
            held any more.
        """
        name, self.held = self.held, ""
        if not name:
            return None
        if (length_us := time_us - self._since_us) < self._least_us:
            got = "a stream that stopped or restarted"
            if length_us > 0:
                got = f"{length_us / 1e6:.2f} s"
            rule = f"at least {self._least_us / 1e6:.2f} s, a window"
            refuse(name, rule, got, "hold the key while the emotion lasts")
        self.counts[name] += 1
        return Clip(
            start_us=round(self._since_us),
            end_us=round(time_us),
            label=name,
            volunteer=self.volunteer,
            crop=",".join(map(str, crop)),
            least_us=math.ceil(self._least_us),
        )


def counts_of(folder: Path) -> Counter:
    """Counts the clips by label that are already in a folder's table.

    Raises:
      UserError: rows cannot be added to the table.
    """
    path = folder / CLIPS
    if not path.exists():
        return Counter()
    remedy = "move it away, or record into another folder"
    text = read_text(path, remedy)
    if not text:
        return Counter()
    if not text.endswith("\n"):
        refuse(path, "a table whose last line has an end", "none", remedy)
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if tuple(rows.fieldnames) != COLUMNS:
            got = shortened(",".join(rows.fieldnames))
            refuse(path, f"the columns {','.join(COLUMNS)}", got, remedy)
        return Counter(row["label"] for row in rows)
    except csv.Error as error:
        refuse(path, "a table of clips", error, remedy)
