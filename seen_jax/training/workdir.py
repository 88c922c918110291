"""The folder of a run: whose it is, and the config it was begun with.

    config.json        the config, and fingerprints of the records
    checkpoints/       see checkpoint.py
    metrics.jsonl      a line per epoch, see journal.py
    tensorboard/       the published tags
    curves.png         loss, accuracy, WAR and UAR by epoch
    lock               held while a process trains here; ends with it, however it ends

What a reader would get wrong: a run goes on where its checkpoint says and with the
config it was begun with. Another config needs another folder, but for `FREE` fields,
and but for a run that left no checkpoint: it is begun anew.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seen_jax.files import held

CONFIG_FILE = "config.json"
# They change where things lie, how long a run goes on and how often it is saved. No
# epoch is trained otherwise, but for rounding where `images` changes, though a run's
# last one is always evaluated. The records are compared by their fingerprints.
FREE = ("data_dir", "store_dir", "images", "num_epochs", "checkpoint_every")


@contextlib.contextmanager
def claimed(workdir: Path) -> Iterator[None]:
    """Makes the folder, and holds it against a second run while the block lasts.

    Raises:
      OSError: it cannot be written, or another run holds it.
    """
    lock = workdir / "lock"
    with reported(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        lock.touch()
    refusal = OSError(
        f"{workdir}: expected a folder that no one trains in, got one with a run going "
        "on; wait for it or give another --workdir"
    )
    with held(lock, refusal):
        yield


def check_config(
    workdir: Path,
    config: dict[str, Any],
    fingerprints: dict[str, str],
    imported: dict[str, Any] | None = None,
) -> list[str]:
    """Compares with the config that the run was begun with, and notes a new one.

    Args:
      workdir: of the run.
      config: all fields.
      fingerprints: of the records, by split; none where weights were imported, whose
        records no one knows.
      imported: where the first weights come from: `file` and `epoch`.

    Returns:
      The fields that differ, where another config was replaced since there is no
      checkpoint, and nothing to lose.

    Raises:
      ValueError: it was begun with another; shows the fields that differ.
      OSError: the folder cannot be written.
    """
    lines = []
    path = workdir / CONFIG_FILE
    content = {"config": config, "records": fingerprints, "imported": imported}
    if path.exists():
        begun = _load(workdir)
        lines = different(begun["config"], config)
        if begun["records"]:
            lines += different(begun["records"], fingerprints, "records of ")
        bound = _has_checkpoint(workdir)
        if bound and lines:
            raise ValueError(
                f"{workdir}: expected the config that this run was begun with, got\n"
                + "".join(f"  {line}\n" for line in lines)
                + "give another --workdir, or the values on the left"
            )
        if bound:
            content["imported"] = begun.get("imported")
    with reported(workdir):
        write_atomically(path, json.dumps(content, indent=1) + "\n")
    return lines


def load_config(workdir: str | os.PathLike) -> dict[str, Any]:
    """Returns the config of a run, as a dict.

    Raises:
      FileNotFoundError: there is no run in the folder.
      ValueError: its config file is broken.
    """
    return _load(workdir)["config"]


def load_origin(workdir: str | os.PathLike) -> dict[str, Any] | None:
    """Returns `file` and `epoch` of imported weights; None if the run made its own.

    Raises:
      FileNotFoundError, ValueError: as `load_config`.
    """
    return _load(workdir).get("imported")


def _load(workdir):
    path = Path(workdir) / CONFIG_FILE
    if not path.exists():
        raise FileNotFoundError(
            f"{workdir}: expected the folder of a run, got none with a {CONFIG_FILE}; "
            "train with --workdir there first"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: expected JSON that can be read, got {error}; copy it again"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise ValueError(
            f'{path}: expected {{"config": {{...}}, "records": {{...}}}}, as training '
            f"writes it, got {str(content)[:80]}; copy it again"
        )
    return content


def _has_checkpoint(workdir):
    """Other names in that folder are of saves that were cut off."""
    return any(path.name.isdigit() for path in (workdir / "checkpoints").glob("*"))


def different(begun: dict, now: dict, prefix: str = "") -> list[str]:
    """Lists the fields that differ: `name: before -> now`; `FREE` ones may."""
    lines = []
    for name in sorted((begun.keys() | now.keys()) - set(FREE)):
        before, after = (x.get(name, "absent") for x in (begun, now))
        if before != after:
            lines.append(f"{prefix}{name}: {before} -> {after}")
    return lines


def write_atomically(path: Path, text: str | bytes) -> None:
    """Writes a file that is there whole or not at all."""
    writing = path.with_name(path.name + ".tmp")
    data = text.encode() if isinstance(text, str) else text
    writing.write_bytes(data)
    os.replace(writing, path)


@contextlib.contextmanager
def reported(path: Path) -> Iterator[None]:
    """Says what could not be written, and what to do."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path}: expected a folder that can be written and has room, got "
            f"{error.strerror or error}; mend it and give the same command to go on",
        ) from error
