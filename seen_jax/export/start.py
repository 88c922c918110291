"""`init_from` of a config -> the first weights of a run, and where they are from.

    RUN[:STEP]   the selected checkpoint, or the one of a step
    BUNDLE       its seen.pt, by torch
    FILE.pth     of the published program, by torch

Parameters and running statistics alone: the optimiser begins at rest, and the step is
0. The last layer, which has a place for each class, is taken over only where the
classes are the same, in names and order; else it is drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util

from seen_jax.errors import UserError, refuse
from seen_jax.evaluation.restored import check_fits, restore
from seen_jax.export import published
from seen_jax.models import networks
from seen_jax.problems import excerpt
from seen_jax.runtime import seen_runtime
from seen_jax.training import checkpoint, state, workdir
from seen_jax.training.setup import Task

ELSEWHERE = "trained and chosen elsewhere"


@dataclass(frozen=True)
class Source:
    """Weights, and what is known of them.

    Attributes:
      variables: NumPy arrays, one copy.
      network: its name and fields in words, as of `networks.in_words`.
      labels: the classes in their order; None where only their number is known.
      epoch, step: of the checkpoint; the latter None where it is not known.
      history: how the epoch was chosen, and on what it was trained.
    """

    path: str
    variables: dict[str, Any]
    network: str
    labels: list[str] | None
    epoch: int
    step: int | None
    history: str


def begin(
    task: Task, folder: Path
) -> tuple[dict[str, np.ndarray] | None, dict[str, Any] | None]:
    """Reads the weights that a run begins with, unless it has a checkpoint.

    Returns:
      Path to array, as `state.with_weights` takes them, and what is recorded of their
      origin (`workdir.check_config`); None and None where the run draws its own or
      resumes.

    Raises:
      UserError: there is no such run, checkpoint, bundle or file, it is damaged, or its
        weights are those of another network.
    """
    place = task.config["init_from"]
    if not place or workdir.has_checkpoint(folder):
        return None, None
    try:
        source = _read(place, task)
        _check_fits(source, task)
    except (UserError, *seen_runtime.ERRORS) as error:
        raise UserError(f"init_from: {error}") from error
    weights = traverse_util.flatten_dict(source.variables, sep="/")
    notes = []
    if source.network != networks.in_words(task.config):
        notes.append(f"the network there was {source.network}")
    labels = list(task.train.clips.labels)
    if source.labels is None and _num_classes(source) == len(labels):
        notes.append("its classes are taken to be those of these records, in order")
    elif source.labels != labels:
        last = _last_layer(task)
        weights = {path: x for path, x in weights.items() if path not in last}
        layer = ", ".join(sorted(path.split("/", 1)[1] for path in last))
        were = ", ".join(source.labels or [str(_num_classes(source))])
        text = f"drawn at random: {layer}, since the classes are {', '.join(labels)}"
        notes.append(f"{text} and were {were}")
    origin = {"file": source.path, "epoch": source.epoch, "step": source.step}
    origin |= {"digest": checkpoint.weights_digest(source.variables)}
    return weights, origin | {"history": source.history, "notes": notes}


def _read(place: str, task: Task) -> Source:
    path, step = place, None
    before, colon, after = place.rpartition(":")
    if colon and after.isdecimal() and not Path(place).exists():
        path, step = before, int(after)
    folder = Path(path)
    if (folder / workdir.CONFIG_FILE).is_file():
        return _read_run(path, step, task)
    is_bundle = (folder / seen_runtime.MANIFEST).is_file()
    if not is_bundle and not folder.is_file():
        got = f"a folder without {workdir.CONFIG_FILE} and {seen_runtime.MANIFEST}"
        got = got if folder.is_dir() else "none"
        refuse(path, "a run, a bundle or a .pth file", got, "give the path of one")
    if step is not None:
        refuse(place, "a step of a run", "one of a bundle or a file", f"give {path}")
    if is_bundle:
        return _read_bundle(path)
    variables, epoch = published.read_variables(path)
    return Source(path, variables, "seen", None, epoch, None, ELSEWHERE)


def _read_run(path: str, step: int | None, task: Task) -> Source:
    restored = restore(path, step)
    config, facts = restored.config, restored.facts
    same = restored.records.get("train") == task.fingerprints["train"]
    # The training clips are the same, but perhaps without those held out.
    if task.split == "validation":
        names = ("select", "validation_volunteers")
        same &= all(config[name] == task.config[name] for name in names)
    clips = "these clips" if same else "others, perhaps some that are evaluated here"
    return Source(
        path,
        restored.variables,
        facts["network"],
        facts["labels"],
        facts["epoch"],
        facts["step"],
        f"{facts['choice']}, trained on {clips}",
    )


def _read_bundle(path: str) -> Source:
    manifest = seen_runtime.read_manifest(path)
    name = "seen.pt"
    if name not in manifest["files"]:
        remedy = "give the run that it was exported from, or one of --formats=torch"
        refuse(path, f"a bundle with {name}", "folded weights alone", remedy)
    variables, _ = published.read_variables(Path(path) / name)
    facts = manifest.get("trained")
    kinds = {"epoch": int, "step": int, "choice": str, "network": str}
    if isinstance(facts, dict):
        facts.setdefault("network", "seen")  # the only one that older ones have
    if not isinstance(facts, dict) or any(
        not isinstance(facts.get(name), kind) for name, kind in kinds.items()
    ):
        rule = f"{', '.join(kinds)} of the training, as export writes them"
        refuse(Path(path) / "manifest.json", rule, excerpt(facts), "export it again")
    return Source(
        path,
        variables,
        facts["network"],
        manifest["classes"],
        facts["epoch"],
        facts["step"],
        f"{facts['choice']}, {ELSEWHERE}",
    )


def _check_fits(source: Source, task: Task) -> None:
    name = task.config["network"]
    other, _, _ = source.network.partition(",")
    if other != name:
        rule, remedy = f"weights of network {name}", f"give --config.network={other}"
        refuse(source.path, rule, f"those of {source.network}", remedy)
    model = networks.make(task.config, _num_classes(source))
    check_fits(source.path, model, task.config, source.variables)


def _num_classes(source: Source) -> int:
    if source.labels is not None:
        return len(source.labels)
    return len(source.variables["params"]["fc2"]["bias"])  # as published


def _last_layer(task: Task) -> set[str]:
    """Returns the paths of the weights whose shape follows the number of classes."""

    def shapes(num_classes):
        model = networks.make(task.config, num_classes)
        made = state.shapes(model, task.config["num_event_frames"])
        return traverse_util.flatten_dict(made, sep="/")

    num_classes = len(task.train.clips.labels)
    one, other = shapes(num_classes), shapes(num_classes + 1)
    return {path for path, x in one.items() if x.shape != other[path].shape}
