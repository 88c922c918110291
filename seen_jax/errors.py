"""The one kind of error that a user can fix, and how a command shows it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from typing import NoReturn


class UserError(ValueError):
    """A user's input cannot be used; the message says what to do about it.

    A command prints the message and ends with exit code 1 (`run_command`). Any other
    exception is a fault of this program and keeps its traceback.

    Attributes:
      what, expected, got, remedy: as `refuse` was given them, for lists of problems;
        else empty.
    """

    what = expected = got = remedy = ""


def refuse(what: object, expected: object, got: object, remedy: str = "") -> NoReturn:
    """Raises a `UserError`: `<what>: expected <expected>, got <got>; <remedy>`.

    `what` is a file or an argument; the remedy is a command that can be pasted where
    there is one.
    """
    text = f"{what}: expected {expected}, got {got}"
    error = UserError(f"{text}; {remedy}" if remedy else text)
    error.what, error.expected = str(what), str(expected)
    error.got, error.remedy = str(got), remedy
    raise error


def check_option(name: str, value: object, known: Collection[str]) -> None:
    """Raises a `UserError` unless the value is one of those known."""
    if value not in known:
        refuse(name, one_of(known), repr(value))


def one_of(names: Collection[str]) -> str:
    return "one of " + ", ".join(names)


def counted(number: int, noun: str, form: str = "") -> str:
    """Returns a number with its noun, "1 clip" or "2 passes"; `form` as of `format`."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{number:{form}} {noun}{'' if number == 1 else ending}"


def shortened(text: str, length: int = 120) -> str:
    """Returns a text, or its beginning."""
    return text if len(text) <= length else text[: length - 3] + "..."


def printable(text: str, keep: str = "") -> str:
    """Escapes what a terminal would obey or hide, except the characters in `keep`."""
    return "".join(
        x if x.isprintable() or x in keep else x.encode("unicode_escape").decode()
        for x in text
    )


def run_command(
    main: Callable[[], int | None], also: tuple[type[Exception], ...] = ()
) -> int:
    """Calls a command's main function and returns its exit code.

    A `UserError` and errors of the kinds in `also` are printed as they are, an
    `OSError` with its file; Ctrl-C gives 130, as a shell has it, and a closed output,
    such as a pipe to `head`, 141.
    """
    try:
        return main() or 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what waits
        return 141
    except (UserError, OSError, *also) as error:
        text = str(error)
        if isinstance(error, OSError) and error.filename is not None and error.strerror:
            text = (
                f"{error.filename}: expected a place that can be read and written, got "
                f"{error.strerror}; see its permissions, or name another place"
            )
        print(printable(text, "\n"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
