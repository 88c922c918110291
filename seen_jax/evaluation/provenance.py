"""Where result files come from: `evaluation.json` beside them, and the words for it.

The released files have none. What a reader would get wrong: it is about the files
`test_<pass>.json` alone; those of a training have the epoch in their names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from seen_jax import see
from seen_jax.evaluation import efficiency

FILE = "evaluation.json"
FACTS = {  # in the order in which they are told
    "source": str,  # simulated or real
    "dataset": str,
    "split": str,
    "setting": str,
    "epoch": int,
    "step": int,
    "choice": str,  # how the epoch was chosen, in words
    "seed": int,  # of the windows
    "passes": int,
    "trained_at": str,  # git revisions
    "evaluated_at": str,
    "workdir": str,
    "command": str,
}
# Of an epoch of `curves`, as far as known; of one that was evaluated, the latter too.
CURVES = {"epoch": int, "loss": float, "accuracy": float}
EVALUATED = {"split": str, "war": float, "uar": float}


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
      ValueError: the file cannot be read or is not of the form.
    """
    path = Path(directory) / FILE
    if not path.exists():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: expected JSON, got {error}; evaluate again or remove it"
        ) from error
    facts = facts if isinstance(facts, dict) else {}
    odd = _odd(facts)
    if odd is not None:
        got = see.excerpt(facts[odd]) + f" as {odd}" if odd in facts else f"no {odd}"
        raise ValueError(
            f"{path}: expected an object with {', '.join(FACTS)}, as eval.py writes "
            f"it, got {got}; evaluate again or remove it"
        )
    return facts


def _odd(facts: dict[str, Any]) -> str | None:
    """Names the first fact of another form, or that is missing and may not be."""
    for name, kind in FACTS.items():
        if not _is(facts.get(name), kind):
            return name
    if "efficiency" in facts and not efficiency.is_form(facts["efficiency"]):
        return "efficiency"
    curves = facts.get("curves", [])
    return None if isinstance(curves, list) and all(map(_is_row, curves)) else "curves"


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict):
        return False
    kinds = CURVES | (EVALUATED if "war" in row else {})
    return all(_is(row.get(name), kind) for name, kind in kinds.items())


def _is(value: Any, kind: type) -> bool:
    kinds = (int, float) if kind is float else kind
    return isinstance(value, kinds) and not isinstance(value, bool)


def to_text(facts: dict[str, Any]) -> str:
    """Says it in a few lines."""
    return (
        f"{facts['source']} data, {facts['split']} split ({facts['dataset']}), "
        f"{facts['setting']}\n"
        f"epoch {facts['epoch']} (step {facts['step']}), {facts['choice']}\n"
        f"{facts['passes']} {'pass' if facts['passes'] == 1 else 'passes'}, windows "
        f"drawn with seed {facts['seed']}\n"
        f"trained at revision {facts['trained_at']}, evaluated at "
        f"{facts['evaluated_at']}\n"
        f"run {facts['workdir']}: {facts['command']}"
    )
