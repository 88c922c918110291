"""The command `seen VERB ...`: each verb is a module or script with the same flags."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from seen_jax import __version__
from seen_jax.files import programs

# verb: (what it does, the module or script that does it and its first arguments)
VERBS = {
    "simulate": ("write a simulated SEE folder", "seen_jax.simulator"),
    "recordings": ("cut recordings into a SEE folder", "seen_jax.recordings"),
    "events": ("cut one clip out of a recording", "seen_jax.event_folder"),
    "check": ("check a SEE folder, divide it by volunteer", "seen_jax.see_folder"),
    "build": ("write a SEE folder's TFDS records", "datasets/see_tfds/build.py"),
    "train": ("train, or resume a training", "train.py"),
    "adapt": ("fit a run to one person by a few clips", "seen_jax.adapt"),
    "eval": ("evaluate a run", "eval.py"),
    "report": ("tables and a page of evaluations", "seen_jax.evaluation report"),
    "robustness": (
        "WAR where the input is disturbed",
        "seen_jax.evaluation robustness",
    ),
    "export": ("weights for torch and the Jetson, or import", "seen_jax.export"),
    "live": ("predict from a camera as it sends", "seen_jax.live"),
}


def command(verb: str, arguments: list[str]) -> list[str]:
    """Returns the command that a verb stands for.

    A file of configs/ that is not in the working folder is the one of `programs`.
    """
    target, *first = VERBS[verb][1].split()
    if target.endswith(".py"):
        start = [str(programs() / target)]
    else:
        # -P: a folder seen_jax where the user happens to be is not this package.
        start = ["-P", "-m", target]
    arguments = [_config_place(argument) for argument in arguments]
    return [sys.executable, *start, *first, *arguments]


def _config_place(argument: str) -> str:
    flag, equals, path = argument.rpartition("=")
    shipped = programs() / path
    is_config = flag in ("", "--config", "-config") and path.startswith("configs/")
    if is_config and not Path(path).exists() and shipped.is_file():
        return f"{flag}{equals}{shipped}"
    return argument


def help_text() -> str:
    lines = [
        f"SEEN in JAX {__version__}: event-based emotion recognition from one eye.",
        "",
        "usage: seen VERB [--help] [flags]",
        "",
    ]
    for verb, (what, target) in VERBS.items():
        start = "" if target.endswith(".py") else "python -m "
        lines.append(f"  {verb:12}{what:46}{start}{target}")
    lines += ["", "Each verb takes the flags of the command beside it."]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(__version__)
        return 0
    verb, *arguments = argv
    if verb not in VERBS:
        known = ", ".join(VERBS)
        print(f"seen {verb}: expected one of {known}; see seen --help", file=sys.stderr)
        return 2
    words = command(verb, arguments)
    # This process becomes the command: its signals and exit code are the same.
    os.execv(words[0], words)


if __name__ == "__main__":
    raise SystemExit(main())
