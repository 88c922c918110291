"""Where result files come from: `evaluation.json` beside them, and the words for it.

The released files have none. What a reader would get wrong: it is about the files
`test_<pass>.json` alone; those of a training have the epoch in their names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FILE = "evaluation.json"
FACTS = (  # in the order in which they are told
    "source",  # simulated or real
    "dataset",
    "split",
    "setting",
    "epoch",
    "step",
    "choice",  # how the epoch was chosen, in words
    "seed",  # of the windows
    "passes",
    "trained_at",  # git revisions
    "evaluated_at",
    "workdir",
    "command",
)


def write(directory: str | os.PathLike, facts: dict[str, Any]) -> None:
    """Writes the facts, all of `FACTS`; more may be there."""
    missing = [name for name in FACTS if name not in facts]
    if missing:
        raise ValueError(f"facts: expected {', '.join(FACTS)}, got no {missing[0]}")
    text = json.dumps(facts, indent=1, allow_nan=False) + "\n"
    (Path(directory) / FILE).write_text(text, encoding="utf-8")


def read(directory: str | os.PathLike) -> dict[str, Any] | None:
    """Returns the facts, None where there is no such file.

    Raises:
      ValueError: the file is not of the form.
    """
    path = Path(directory) / FILE
    if not path.exists():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path}: expected JSON, got {error}; evaluate again or remove it"
        ) from error
    missing = [n for n in FACTS if n not in facts] if isinstance(facts, dict) else FACTS
    if missing:
        raise ValueError(
            f"{path}: expected an object with {', '.join(FACTS)}, got no {missing[0]}; "
            "evaluate again or remove it"
        )
    return facts


def to_text(facts: dict[str, Any]) -> str:
    """Says it in a few lines."""
    return (
        f"{facts['source']} data, {facts['split']} split ({facts['dataset']}), "
        f"{facts['setting']}\n"
        f"epoch {facts['epoch']} (step {facts['step']}), {facts['choice']}\n"
        f"{facts['passes']} passes, windows drawn with seed {facts['seed']}\n"
        f"trained at revision {facts['trained_at']}, evaluated at "
        f"{facts['evaluated_at']}\n"
        f"run {facts['workdir']}: {facts['command']}"
    )
