"""The folder of a run: who holds it, and the config it was started with.

    config.json        the config, fingerprints of the records, and their place as seen
                       from here, so that both can move together
    checkpoints/       see checkpoint.py
    metrics.jsonl      a line per epoch, see rows.py
    tensorboard/       the published tags
    curves.svg         loss, accuracy, WAR and UAR by epoch
    lock               held while a process trains here, however it ends

Once a checkpoint exists, the config is fixed except for the `FREE` fields; a run that
left none starts again with any config.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from seen_jax import files
from seen_jax.errors import UserError, refuse
from seen_jax.training.fields import BEFORE

CONFIG_FILE = "config.json"
# They change where things are, how long a run takes and how often it is saved. Every
# epoch is trained the same, except for rounding where `images` changes, and a run's
# last epoch is always evaluated. The records are compared by their fingerprints.
FREE = ("data_dir", "store_dir", "images", "num_epochs", "checkpoint_every")
RESUME = "fix it and run the same command to resume"


@contextlib.contextmanager
def claimed(workdir: Path) -> Iterator[None]:
    """Makes the folder, and holds it against a second run while the block lasts.

    Raises:
      UserError: it cannot be written, or another run holds it.
    """
    lock = workdir / "lock"
    with files.explained(workdir, RESUME):
        workdir.mkdir(parents=True, exist_ok=True)
        lock.touch()
    refusal = UserError(
        f"{workdir}: expected a folder that no other process trains in, got one with a "
        "run in progress; wait for it or give another workdir"
    )
    with files.held(lock, refusal):
        yield


def check_config(
    workdir: Path,
    config: Mapping[str, Any],
    fingerprints: Mapping[str, str],
    imported: Mapping[str, Any] | None = None,
) -> list[str]:
    """Compares with the config that the run was started with, and writes a new one.

    Args:
      config: all fields.
      fingerprints: of the records, by split; empty where weights were imported, whose
        records are not known.
      imported: where the first weights come from: `file`, `epoch` and, by `init_from`,
        what `export.start` knows of them.

    Returns:
      The fields that differ, where another config was replaced because there is no
      checkpoint, and nothing to lose.

    Raises:
      UserError: it was started with another, whose fields are shown, or the folder
        cannot be written.
    """
    lines = []
    path = workdir / CONFIG_FILE
    content = {
        "config": config,
        "records": fingerprints,
        "imported": imported,
        "data_from_here": os.path.relpath(config["data_dir"], workdir),
    }
    if path.exists():
        before = _load(workdir)
        lines = different(before["config"], config, free=_free(config))
        if before["records"]:
            lines += different(before["records"], fingerprints, "records of ")
        fixed = has_checkpoint(workdir)
        if fixed and lines:
            differences = "".join(f"\n  {line}" for line in lines)
            remedy = "give another workdir, or the values on the left"
            rule = "the config that this run was started with"
            refuse(workdir, rule, differences + "\n", remedy)
        if fixed:
            content["imported"] = before.get("imported")
        elif _is_import(before) and not imported:
            got = "one whose import was cut off"
            remedy = "remove it and import the weights again"
            refuse(workdir, "a run with a checkpoint", got, remedy)
    with files.explained(workdir, RESUME):
        files.write_whole(path, json.dumps(content, indent=1) + "\n")
    return lines


def load_config(workdir: str | os.PathLike) -> dict[str, Any]:
    """Returns the config of a run.

    Raises:
      UserError: there is no run in the folder, or its config file is broken.
    """
    return _load(workdir)["config"]


def data_places(workdir: str | os.PathLike) -> list[str]:
    """Returns where a run's records may be: where they were, and as seen from it."""
    content = _load(workdir)
    places = [content["config"]["data_dir"]]
    if isinstance(beside := content.get("data_from_here"), str):
        places.append(os.path.normpath(os.path.join(workdir, beside)))
    return places


def load_origin(workdir: str | os.PathLike) -> dict[str, Any] | None:
    """Returns what is known of imported weights; None if the run made its own."""
    return _load(workdir).get("imported")


def _load(workdir):
    path = Path(workdir) / CONFIG_FILE
    if not path.exists():
        remedy = "train with --workdir there first"
        refuse(workdir, "the folder of a run", f"one without {CONFIG_FILE}", remedy)
    content = files.read_json(path)
    parts = ("config", "records")
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name), dict) for name in parts
    ):
        rule = '{"config": {...}, "records": {...}}, as training writes it'
        refuse(path, rule, str(content)[:80], files.RECOPY)
    return content


def _is_import(content):
    """Whether weights were put there; those of `init_from` are read again."""
    return content.get("imported") and not content["config"].get("init_from")


def has_checkpoint(workdir: Path) -> bool:
    """Whether a run resumes; other names there are of saves that were cut off."""
    return any(path.name.isdigit() for path in (workdir / "checkpoints").glob("*"))


def _free(config: Mapping[str, Any]) -> set[str]:
    """The fields that may change; a cosine ends with the last epoch."""
    return {*FREE} - ({"num_epochs"} if config.get("schedule") == "cosine" else set())


def different(
    before: Mapping, now: Mapping, prefix: str = "", free: Collection[str] = FREE
) -> list[str]:
    """Lists the fields that differ: `name: before -> now`; those of `free` may.

    A config that is older than a field has the only value of that time.
    """
    lines = []
    for name in sorted((before.keys() | now.keys()) - set(free)):
        one, other = (x.get(name, BEFORE.get(name, "absent")) for x in (before, now))
        if one != other:
            lines.append(f"{prefix}{name}: {one} -> {other}")
    return lines


def git_revision() -> str:
    """Returns the commit of this code, `-dirty` if it was changed.

    Without git it is what SEEN_REVISION says (launch/Dockerfile), else `unknown`.
    """
    folder = Path(__file__).resolve().parent
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        git = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("SEEN_REVISION", "unknown")
    return git.stdout.strip()
