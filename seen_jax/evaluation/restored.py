"""A run -> the weights of its selected checkpoint, and the clips to show them.

The checkpoint was selected while training (`config.select`); another one can be named,
which is then stated beside its numbers.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from seen_jax import protocol
from seen_jax.data.batches import Batches
from seen_jax.data.records import SPLITS as RECORDS
from seen_jax.data.records import Records
from seen_jax.data.windows import Setting
from seen_jax.errors import UserError, check_option, refuse
from seen_jax.files import RECOPY
from seen_jax.models import networks
from seen_jax.training import fields, setup, state, workdir
from seen_jax.training import step as step_lib
from seen_jax.training.checkpoint import FOLDER, Checkpoints, weights_digest
from seen_jax.training.feed import make_feeds
from seen_jax.training.rows import CHOICES, chosen_row, read_rows

SPLITS = ("test", "train", "validation")
NUM_LINES = 5  # of weights that do not fit


@dataclass(frozen=True)
class Restored:
    """The network of a checkpoint.

    Attributes:
      model, variables: NumPy arrays, one copy.
      config: of the run.
      records: fingerprints of the records it was trained on, by split.
      facts: those of `provenance.FACTS` that do not depend on the clips shown.
    """

    model: nn.Module
    variables: dict[str, Any]
    config: dict[str, Any]
    records: dict[str, str]
    facts: dict[str, Any]


def restore(folder: str | os.PathLike, step: int | None = None) -> Restored:
    """Reads the weights of a run; no data is opened.

    Args:
      folder: the workdir of the run.
      step: of the checkpoint; None takes the selected one.

    Raises:
      UserError: no run, no checkpoint, an unknown step, a config or a checkpoint that
        is damaged, or one that does not fit the other.
    """
    config = fields.complete(workdir.load_config(folder))
    try:
        fields.check(config)
    except UserError as error:
        rule = "a config that can be trained"
        refuse(Path(folder) / workdir.CONFIG_FILE, rule, error, RECOPY)
    step, choice, variables, run = _read_checkpoint(folder, config, step)
    model = networks.make(config, len(run["labels"]))
    check_fits(Path(folder) / FOLDER / str(step), model, config, variables)
    facts = {
        "network": networks.in_words(config),
        "dataset": config["dataset"],
        "setting": str(Setting(config["num_event_frames"], config["skip"])),
        "labels": run["labels"],
        "epoch": run["epoch"],
        "step": step,
        "choice": choice + _origin_text(folder, step),
        "seed": config["seed"],
        "weights": weights_digest(variables),
        "trained_at": run["git"],
        "evaluated_at": workdir.git_revision(),
        "workdir": str(folder),
    }
    records = {x: y for x, y in run["records"].items() if x in RECORDS}  # no wearer's
    return Restored(model, variables, config, records, facts)


def open_batches(
    restored: Restored,
    split: str = "test",
    data_dir: str | None = None,
    store_dir: str | None = None,
) -> Batches:
    """Opens a split of the records that the run was trained with.

    Args:
      restored: of the run.
      split: one of `SPLITS`; "validation" are the volunteers held out of "train".
      data_dir: where the records are now; None looks where they were, and at the same
        place as seen from the workdir.
      store_dir: where decoded frames are kept; None keeps the run's own.

    Raises:
      UserError: an unknown split, no data, other records, or other classes.
    """
    check_option("split", split, SPLITS)
    config = dict(restored.config)
    if split == "validation" and config["select"] != "validation":
        rule = "test or train, since no volunteers were held out of this training"
        refuse("split", rule, repr(split))
    config["data_dir"], records = find_data(restored, data_dir)
    if store_dir is not None:
        config["store_dir"] = store_dir
    opened = records.get("test" if split == "test" else "train")
    batches = setup.open_batches(config, split, "eval", records=opened)
    labels = list(batches.clips.labels)
    if labels != restored.facts["labels"]:
        rule = f"the classes of the run, {', '.join(restored.facts['labels'])}"
        refuse(config["data_dir"], rule, ", ".join(labels), "train on these records")
    return batches


def find_data(
    restored: Restored, data_dir: str | None = None
) -> tuple[str, dict[str, Records]]:
    """Returns the first place that has the run's records, and these, by split.

    Raises:
      UserError: no place has them; says what is at the first.
    """
    errors = []
    places = [data_dir] if data_dir else workdir.data_places(restored.facts["workdir"])
    for place in places:
        try:
            config = restored.config | {"data_dir": place}
            records = {x: setup.open_part(config, x) for x in restored.records}
            for part, fingerprint in restored.records.items():
                if (got := records[part].clips.fingerprint) != fingerprint:
                    rule = f"the {part} records that this run was trained with"
                    remedy = "say where they are with --data_dir=DIR, build them again"
                    remedy += ", or train on these"
                    refuse(place, f"{rule}, {fingerprint:.12}", f"{got:.12}", remedy)
            return place, records
        except UserError as error:
            errors.append(error)
    raise errors[0]


def evaluate(
    restored: Restored, batches: Batches, num_passes: int, progress: bool = True
) -> np.ndarray:
    """Runs the published protocol on all devices: probabilities (P, N, K)."""
    (feed,) = make_feeds(restored.config["images"], batches)
    predict = feed.make_predict(restored.model)
    answers = predict(step_lib.replicate(restored.variables), num_passes)
    return protocol.evaluate(answers, len(batches.clips), num_passes, progress)


def _read_checkpoint(folder, config: Mapping[str, Any], step: int | None):
    """Returns step, how it was chosen, variables and facts."""
    select, num_epochs = config["select"], config["num_epochs"]
    path = Path(folder) / FOLDER
    if not path.is_dir():
        refuse(path, "checkpoints", "none", "train first")
    with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
        steps = checkpoints.steps()
        selected = checkpoints.latest()
        if select != "last":
            row = chosen_row(read_rows(folder), select)
            selected = row["step"] if row and row["step"] in steps else None
        if step is None and selected is None:
            rule = "a checkpoint" if not steps else "one of an epoch that was evaluated"
            remedy = "train on" + (f" or give --step, one of {steps}" if steps else "")
            refuse(path, rule, "none", remedy)
        if step is not None and step not in steps:
            refuse("step", f"one of {steps}, which {path} has", step)
        step = selected if step is None else step
        variables, run = checkpoints.restore_variables(step)
    choice = CHOICES[select] if step == selected else "named by its step"
    within = bool(run["epoch_so_far"]) and not any(
        row["step"] == step for row in read_rows(folder)
    )
    is_done = run["epoch"] >= num_epochs and not within
    if choice == CHOICES["last"] and step > 0 and not is_done:
        done = f"{run['epoch']} of {num_epochs} epochs"
        done += " and a part of the next" if within else ""
        choice = f"the latest checkpoint of a run that is not done, {done}"
    return step, choice, variables, run


def _origin_text(folder, step: int) -> str:
    """Says what must be known of weights that another program trained."""
    origin = workdir.load_origin(folder)
    if origin is None:
        return ""
    history = origin.get("history", "trained and chosen elsewhere")
    text = f"from {origin['file']} (epoch {origin['epoch']}), {history}"
    return f"; fine-tuned {text}" if step else f": imported {text}"


def check_fits(
    path: str | os.PathLike,
    model: nn.Module,
    config: Mapping[str, Any],
    variables: Mapping[str, Any],
) -> None:
    """Raises a UserError that names the weights which are not those of the config.

    Args:
      path: where the weights come from.
      model, config: the network that is expected.
      variables: "params" and "batch_stats" of arrays.
    """
    count = config["num_event_frames"]
    expected = _shapes(state.shapes(model, count))
    got = _shapes(variables)
    lines = [
        f"\n  {name}: {expected.get(name, 'absent')}, got {got.get(name, 'absent')}"
        for name in sorted(expected.keys() | got.keys())
        if expected.get(name) != got.get(name)
    ]
    if lines:
        got = f"others{''.join(lines[:NUM_LINES])}\n{len(lines)} do not fit"
        remedy = "is the config that of another run?"
        refuse(path, "the weights of the config", got, remedy)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}
