"""The checkpoint of a run that counts -> result files, by the published protocol.

What a reader would get wrong: which checkpoint that is was settled while training
(`config.select`); to name another one is possible and said beside its numbers.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
import optax

from seen_jax import see
from seen_jax.data.batches import Batches
from seen_jax.data.records import open_records
from seen_jax.data.windows import Setting
from seen_jax.evaluation import (
    activity,
    efficiency,
    protocol,
    provenance,
    results,
    shown,
)
from seen_jax.models import counting
from seen_jax.models.inputs import intensity_indices
from seen_jax.models.seen import SEEN
from seen_jax.training import resident, setup, state, workdir
from seen_jax.training import step as step_lib
from seen_jax.training.checkpoint import CHOICES, FOLDER, Checkpoints, git_revision
from seen_jax.training.journal import read_rows

ALL_SPLITS = ("test", "train", "validation")
NUM_LINES = 5  # of what does not fit
CURVES = ("epoch", "loss", "accuracy", "split", "war", "uar")


@dataclass(frozen=True)
class Restored:
    """A checkpoint, ready to predict, and the clips it is shown.

    Attributes:
      model, variables: the network; NumPy arrays, one copy.
      batches: of purpose "eval".
      frames: of the clips, on the devices; None where batches are made on the host.
      facts: those of `provenance.FACTS` that do not depend on the passes.
    """

    model: SEEN
    variables: dict[str, Any]
    batches: Batches
    frames: resident.Frames | None
    facts: dict[str, Any]

    def predict_fn(self) -> Callable[[step_lib.Batch], np.ndarray]:
        """Returns batch -> probabilities (B, K), computed on all devices."""
        variables = step_lib.replicate(self.variables)
        predict = step_lib.make_predict(self.model)
        return lambda batch: predict(variables, batch)

    def evaluate(self, num_passes: int) -> np.ndarray:
        """Runs the published protocol with a bar: probabilities (P, N, K)."""
        if self.frames is None:
            predict, by_rows = self.predict_fn(), False
        else:
            variables = step_lib.replicate(self.variables)
            predict_rows, by_rows = resident.make_predict(self.model), True

            def predict(rows):
                return predict_rows(variables, self.frames, rows)

        return protocol.evaluate(predict, self.batches, num_passes, True, by_rows)


def restore(
    folder: str | os.PathLike, split: str = "test", step: int | None = None
) -> Restored:
    """Reads a checkpoint of a run and opens the data it was trained with.

    Args:
      folder: the workdir of the run.
      split: one of `ALL_SPLITS`; "validation" are the volunteers that were held out.
      step: of the checkpoint; None takes the one that counts.

    Raises:
      OSError: no run, no checkpoint or no data.
      ValueError: an unknown split or step, records other than those trained on, or a
        checkpoint that does not fit the config.
    """
    if split not in ALL_SPLITS:
        raise ValueError(f"split: expected {see.one_of(ALL_SPLITS)}, got {split!r}")
    config = ml_collections.ConfigDict(workdir.load_config(folder))
    if split == "validation" and config.select != "validation":
        raise ValueError(
            "split: expected test or train, since no volunteers were held out of this "
            "training, got 'validation'"
        )
    step, choice, variables, run = _read_checkpoint(folder, config.select, step)
    _check_records(config, run["records"])
    model = setup.make_model(config)
    check_fits(Path(folder) / FOLDER / str(step), model, config, variables)
    setting = Setting(config.num_event_frames, config.skip)
    if split == "validation":
        images = setup.open_parts(config)[1]
    else:
        images = setup.open_images(config, split)
    places = intensity_indices(config.intensity, config.num_event_frames)
    shared = (setting, config.batch_size, config.seed)
    facts = {
        "source": open_records(config.data_dir, "train", config.dataset).source,
        "dataset": config.dataset,
        "split": split,
        "setting": str(setting),
        "epoch": run["epoch"],
        "step": step,
        "choice": choice + _origin_text(folder, step),
        "seed": config.seed,
        "trained_at": run["git"],
        "evaluated_at": git_revision(),
        "workdir": str(folder),
    }
    batches = Batches(images, *shared, "eval", intensity_places=places)
    placed = setup.place_frames(config, images)
    return Restored(model, variables, batches, placed and placed[0], facts)


def write_evaluation(
    restored: Restored, out: str | os.PathLike, num_passes: int, command: str
) -> np.ndarray:
    """Evaluates and writes a result file for each pass, and where they come from.

    Args:
      restored: what `restore` gave.
      out: directory, made if needed; an evaluation that is there is replaced.
      num_passes: P.
      command: that was given, for the record.

    Returns:
      (P, N, K) probabilities.

    Raises:
      ValueError: as `protocol.evaluate` and `results.write_results`.
      OSError: the directory cannot be written.
    """
    out = Path(out)
    with workdir.reported(out):
        out.mkdir(parents=True, exist_ok=True)
        results.check_room(out, num_passes)
        (out / provenance.FILE).unlink(missing_ok=True)  # not of what comes now
    found = restored.evaluate(num_passes)
    records = restored.batches.provider.records
    facts = {**restored.facts, "passes": num_passes, "command": command}
    observed = observe(restored)
    facts["efficiency"] = efficiency.to_json(estimate(restored, observed))
    facts["curves"] = [
        {name: row[name] for name in CURVES if name in row}
        for row in read_rows(restored.facts["workdir"])
    ]
    with workdir.reported(out):
        shown.save(out, to_show(restored, observed, found[0]))
        results.write_results(out, records.names, records.labels, found)
        provenance.write(out, facts)
    return found


def observe(restored: Restored) -> activity.Activity:
    """Runs the windows of the first pass once more, and keeps what the network did."""
    observe_batch = activity.make_observe(restored.model, restored.variables)
    batches = restored.batches.iterate(0, len(restored.batches))
    return activity.join([observe_batch(batch) for batch in batches])


def estimate(restored: Restored, observed: activity.Activity) -> efficiency.Efficiency:
    """Adds the size of the network to what was observed."""
    batches, size = restored.batches, see.INPUT_SIZE
    counts = batches.setting.num_event_frames, len(batches.intensity_places)
    shapes = [jax.ShapeDtypeStruct((1, n, size, size), np.float32) for n in counts]

    def apply(variables, event_frames, intensity_frames):
        return restored.model.apply(
            variables, event_frames=event_frames, intensity_frames=intensity_frames
        )

    return efficiency.estimate(
        observed,
        counting.count_parameters(restored.variables),
        counting.count_macs(apply, restored.variables, *shapes),
    )


def to_show(
    restored: Restored, observed: activity.Activity, probabilities: np.ndarray
) -> shown.Shown:
    """Takes a few windows of the first pass; probabilities (N, K)."""
    batches = restored.batches
    records, plan = batches.provider.records, batches.plan(0)
    clips = shown.choose(records.label_index, probabilities)
    drawn = plan.event_index.reshape(-1, plan.event_index.shape[-1])  # in clips' order
    event_frames, intensity_frames = batches.provider.windows(
        clips, drawn[clips], batches.intensity_places
    )
    return shown.Shown(
        np.array(records.names),
        observed.attention,
        observed.rates,
        clips,
        event_frames,
        intensity_frames,
    )


def default_directory(restored: Restored) -> Path:
    """Returns RUN/evaluation/<split>_<step>."""
    facts = restored.facts
    name = f"{facts['split']}_{facts['step']}"
    return Path(facts["workdir"]) / "evaluation" / name


def _read_checkpoint(folder, select: str, step: int | None):
    path = Path(folder) / FOLDER
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path}: expected checkpoints, found none; train first"
        )
    with contextlib.closing(Checkpoints(folder, select, read_only=True)) as saved:
        steps, counts = saved.steps(), saved.chosen()
        named = counts if step is None else step
        if named is None:
            rule = "a checkpoint" if not steps else "one of an epoch that was evaluated"
            raise FileNotFoundError(
                f"{path}: expected {rule}, found none; train on"
                + (f" or give --step, one of {steps}" if steps else "")
            )
        if named not in steps:
            raise ValueError(
                f"step: expected one of {steps}, which {path} has, got {named}"
            )
        variables, run = saved.restore_variables(named)
    choice = CHOICES[select] if named == counts else "named by --step"
    return named, choice, variables, run


def _origin_text(folder, step: int) -> str:
    """Says what must be known of weights that another program trained."""
    origin = workdir.load_origin(folder)
    if origin is None:
        return ""
    named = f"{origin['file']} (epoch {origin['epoch']})"
    if step == 0:
        return f": imported from {named}, trained and chosen elsewhere"
    return f"; fine-tuned from {named}, trained and chosen elsewhere"


def _check_records(config, trained_on: dict[str, str]) -> None:
    """Compares with the records that the run was trained and, if so, chosen on."""
    for split, fingerprint in trained_on.items():
        records = open_records(config.data_dir, split, config.dataset)
        if records.fingerprint != fingerprint:
            raise ValueError(
                f"{records.directory}: expected the {split} records that this run was "
                f"trained with, {fingerprint[:12]}, got {records.fingerprint[:12]}; "
                "build them again, or train on these"
            )


def check_fits(
    path: str | os.PathLike,
    model: SEEN,
    config: ml_collections.ConfigDict,
    variables: Mapping[str, Any],
) -> None:
    """Raises a ValueError that names the weights which are not those of the config.

    Args:
      path: where the weights come from.
      model, config: the network that is expected.
      variables: "params" and "batch_stats" of arrays.
    """
    made = jax.eval_shape(
        lambda: state.create(model, optax.identity(), config.num_event_frames, 0)
    )
    expected, got = _shapes(made.variables), _shapes(variables)
    lines = [
        f"  {name}: {expected.get(name, 'absent')}, got {got.get(name, 'absent')}"
        for name in sorted(expected.keys() | got.keys())
        if expected.get(name) != got.get(name)
    ]
    if lines:
        raise ValueError(
            f"{path}: expected the weights of the config\n"
            + "\n".join(lines[:NUM_LINES])
            + f"\n{len(lines)} do not fit; is the config that of another run?"
        )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}
