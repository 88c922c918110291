"""Where result files come from: `evaluation.json` beside them, and the words for it.

Note: it describes the files `test_<pass>.json` alone, and the released ones have none.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from seen_jax.data.clips import counts_text
from seen_jax.errors import counted, refuse
from seen_jax.evaluation import efficiency, results
from seen_jax.files import explained, read_json, write_whole
from seen_jax.problems import excerpt

FILE = results.BESIDE
REMEDY = "evaluate again or remove it"
FACTS = {  # in the order in which they are told
    "source": str,  # such as simulated (hard), or real
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
    "labels": list,  # class names in class order
}
SIZE = ("num_parameters", "macs")  # of `size`; macs of a window, on dense inputs
# Of an epoch of `curves`, as far as known; of one that was evaluated, the latter too.
CURVES = {"epoch": int, "loss": float, "accuracy": float}
EVALUATED = {"split": str, "war": float, "uar": float}


def write(directory: str | os.PathLike, facts: dict[str, Any]) -> None:
    """Writes the facts: all of `FACTS`, and any others.

    Raises:
      UserError: the file cannot be written.
    """
    missing = FACTS.keys() - facts.keys()
    assert not missing, f"facts without {', '.join(sorted(missing))}"
    path = Path(directory) / FILE
    with explained(path):
        write_whole(path, json.dumps(facts, indent=1, allow_nan=False) + "\n")


def read(directory: str | os.PathLike) -> dict[str, Any] | None:
    """Returns the facts, None where there is no such file.

    Raises:
      UserError: the file cannot be read or is not of the form.
    """
    path = Path(directory) / FILE
    if not path.exists():
        return None
    facts = read_json(path, REMEDY)
    facts = facts if isinstance(facts, dict) else {}
    wrong = _wrong(facts)
    if wrong is not None:
        got = excerpt(facts[wrong]) + f" as {wrong}" if wrong in facts else None
        rule = f"an object with {', '.join(FACTS)}, as eval.py writes it"
        refuse(path, rule, got or f"no {wrong}", REMEDY)
    return facts


def _wrong(facts: dict[str, Any]) -> str | None:
    """Names the first fact that is missing or of another form."""
    for name, kind in FACTS.items():
        if not _is(facts.get(name), kind):
            return name
    labels = facts["labels"]
    if not all(map(_is_label, labels)) or not 2 <= len(labels) == len({*labels}):
        return "labels"
    optional = {
        "clips": lambda clips: _are_clips(clips, labels),
        "frames_per_s": lambda rate: _is(rate, float) and rate > 0,
        "counts": _are_counts,
        "network": lambda words: _is(words, str),
        "config": lambda fields: _is(fields, dict),
        "weights": lambda digest: _is(digest, str),
        "size": lambda x: _is(x, dict) and all(_is(x.get(y), int) for y in SIZE),
        "efficiency": efficiency.is_form,
        "curves": lambda rows: _is(rows, list) and all(map(_is_row, rows)),
    }
    wrong = (x for x, fits in optional.items() if x in facts and not fits(facts[x]))
    return next(wrong, None)


def _is_label(label: Any) -> bool:
    return isinstance(label, str) and label.strip() != "" and label.isprintable()


def _are_clips(clips: Any, labels: list[str]) -> bool:
    if not _is(clips, dict) or not _is(clips.get("metadata"), dict):
        return False
    names, true, metadata = clips.get("names"), clips.get("labels"), clips["metadata"]
    columns = (names, true, *metadata.values())
    if not all(_is(x, list) for x in columns):
        return False
    texts = all(_is(x, str) for x in (*names, *true))
    if not texts or not {*true} <= {*labels} or len({*names}) < len(names):
        return False
    plain = all(_is(x, str) or _is(x, float) for y in metadata.values() for x in y)
    return plain and all(len(x) == len(names) for x in columns)


def _are_counts(counts: Any) -> bool:
    if not isinstance(counts, dict) or "num_clips" not in counts:
        return False
    kinds = {"num_clips": 1, "num_left_out": 1, "num_dropped": 2, "num_short": 1}
    values = [x if isinstance(x, list) else [x] for x in counts.values()]
    return all(
        len(x) == kinds.get(name) and all(_is(y, int) and y >= 0 for y in x)
        for name, x in zip(counts, values, strict=True)
    )


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict):
        return False
    kinds = CURVES | (EVALUATED if "war" in row else {})
    return all(_is(row.get(name), kind) for name, kind in kinds.items())


def _is(value: Any, kind: type) -> bool:
    if kind not in (int, float):
        return isinstance(value, kind)
    kinds = (int, float) if kind is float else int
    # Of the numbers that JSON may hold, nan, infinity and 1e400 cannot be drawn.
    return isinstance(value, kinds) and type(value) is not bool and abs(value) < 1e30


def to_text(facts: dict[str, Any]) -> str:
    """Formats the facts in a few lines, with the command."""
    return f"{without_command(facts)}: {facts['command']}"


def without_command(facts: dict[str, Any]) -> str:
    """Formats the facts in a few lines, of which the last names the run."""
    lines = [
        f"{facts['source']} data, {facts['split']} split ({facts['dataset']}), "
        f"{facts['setting']}"
    ]
    clips = [counts_text(**facts["counts"])] if "counts" in facts else []
    if "frames_per_s" in facts:
        clips.append(f"{facts['frames_per_s']:g} frames per second")
    lines += [", ".join(clips)] if clips else []
    if "network" in facts:
        network = f"network {facts['network']}"
        if "size" in facts:
            num_parameters, macs = (facts["size"][x] for x in SIZE)
            network += f": {num_parameters:,} parameters, {macs / 1e6:,.1f} M multiply-"
            network += "accumulates for a window"
        lines.append(network)
    lines += [
        f"epoch {facts['epoch']} (step {facts['step']}), {facts['choice']}",
        f"{counted(facts['passes'], 'pass')}, windows drawn with seed {facts['seed']}",
        f"trained at revision {facts['trained_at']}, evaluated at "
        f"{facts['evaluated_at']}",
        f"run {facts['workdir']}",
    ]
    return "\n".join(lines)
