"""What is wrong with data in SEE's form, as lines that a user reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from seen_jax.errors import UserError, counted, printable, shortened

NUM_SHOWN = 20  # problems in a message


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong with a SEE folder.

    Attributes:
      path: the file, folder or entry.
      expected: the rule.
      got: the actual value.
      clip: the clip of the split file that it affects; "" for none.
      tolerated: the published loader passes over it silently.
      remedy: what to do, where that is not obvious.
    """

    path: str
    expected: str
    got: str
    clip: str = field(default="", compare=False)
    tolerated: bool = field(default=False, compare=False)
    remedy: str = field(default="", compare=False)

    def __str__(self) -> str:
        text = f"{self.path}: expected {self.expected}, got {self.got}"
        return printable(f"{text}; {self.remedy}" if self.remedy else text)


class SeeError(UserError):
    """Data that does not follow the format of SEE; `problems` lists all of them.

    `command`, if any, writes them to a file.
    """

    def __init__(self, problems: Iterable[Problem], command: str = ""):
        self.problems, self.command = tuple(problems), command
        head = f"{counted(len(self.problems), 'problem')} in the SEE data:"
        super().__init__("\n  ".join([head, *excerpt_of(self.problems, command)]))

    def __reduce__(self):  # the default one would pass the text as the problems
        return type(self), (self.problems, self.command)


def excerpt_of(
    problems: Iterable[Any], command: str = "", most: int = NUM_SHOWN
) -> list[str]:
    """Returns a line for each of the first `most` problems, and one for the others.

    They are lines or become some; `command`, if any, writes all of them to a file.
    """
    lines = [*map(str, problems)]
    if (more := len(lines) - most) > 0:
        remedy = f"; {printable(command)} writes all" if command else ""
        lines[most:] = [f"and {more} more{remedy}"]
    return lines


def excerpt(value: Any) -> str:
    """Returns a value as JSON, or its beginning."""
    try:
        text = "nothing" if value is None else json.dumps(value)
    except RecursionError:  # parsing allows a few levels more
        text = "values nested too deep"
    return shortened(text)
