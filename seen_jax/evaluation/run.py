"""A run -> its checkpoint that counts, ready to predict by the published protocol.

What a reader would get wrong: which checkpoint that is was settled while training
(`config.select`); to name another one is possible and said beside its numbers.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
import optax

from seen_jax import protocol, see
from seen_jax.data.batches import Batches
from seen_jax.data.records import open_records
from seen_jax.data.windows import Setting, intensity_places
from seen_jax.models.seen import SEEN
from seen_jax.training import resident, setup, state, workdir
from seen_jax.training import step as step_lib
from seen_jax.training.checkpoint import CHOICES, FOLDER, Checkpoints, git_revision

ALL_SPLITS = ("test", "train", "validation")
NUM_LINES = 5  # of what does not fit
PATHS = ("data_dir", "store_dir", "validation_volunteers")  # unchecked by the setup


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
      split: one of `ALL_SPLITS`; "validation" are the volunteers that were held out of
        "train".
      step: of the checkpoint; None takes the one that counts.

    Raises:
      OSError: no run, no checkpoint or no data.
      ValueError: an unknown split or step, records other than those trained on, a
        config or a checkpoint that is not whole, or one that does not fit the other.
    """
    if split not in ALL_SPLITS:
        raise ValueError(f"split: expected {see.one_of(ALL_SPLITS)}, got {split!r}")
    config = _load_config(folder)
    if split == "validation" and config.select != "validation":
        raise ValueError(
            "split: expected test or train, since no volunteers were held out of this "
            "training, got 'validation'"
        )
    step, choice, variables, run = _read_checkpoint(folder, config, step)
    _check_records(config, run["records"])
    model = setup.make_model(config)
    check_fits(Path(folder) / FOLDER / str(step), model, config, variables)
    setting = Setting(config.num_event_frames, config.skip)
    if config.select == "validation" and split != "test":
        images = setup.open_parts(config)[split == "validation"]
    else:
        images = setup.open_images(config, split)
    places = intensity_places(config.intensity, config.num_event_frames)
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


def _load_config(folder) -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict(workdir.load_config(folder))
    path = Path(folder) / workdir.CONFIG_FILE
    for name in (*setup.OPTIONS, *setup.LEAST, *PATHS):
        if name not in config:
            raise ValueError(
                f"{path}: expected all fields of a config, got no {name}; copy it "
                "again, or train anew"
            )
    try:
        setup.check_config(config)
    except (ValueError, TypeError) as error:  # a text is not more than 0
        raise ValueError(
            f"{path}: expected a config that can be trained, got {error}; copy it again"
        ) from error
    return config


def _read_checkpoint(folder, config, step: int | None):
    select, num_epochs = config.select, config.num_epochs
    path = Path(folder) / FOLDER
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path}: expected checkpoints, found none; train first"
        )
    with contextlib.closing(Checkpoints(folder, select, read_only=True)) as saved:
        steps = saved.steps()
        with _whole(path):
            counts = saved.chosen()
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
        with _whole(path / str(named)):
            variables, run = saved.restore_variables(named)
            run = {name: run[name] for name in ("epoch", "git", "records")}
    choice = CHOICES[select] if named == counts else "named by --step"
    if choice == CHOICES["last"] and named > 0 and run["epoch"] < num_epochs:
        done = f"{run['epoch']} of {num_epochs} epochs"
        choice = f"the latest checkpoint of a run that is not done, {done}"
    return named, choice, variables, run


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Turns what reading a broken checkpoint raises, one of many, into one error."""
    try:
        yield
    except Exception as error:
        first_line = (str(error) or type(error).__name__).partition("\n")[0]
        raise ValueError(
            f"{path}: expected a whole checkpoint, got {first_line}; copy it again, or "
            "give --step if there is another"
        ) from error


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
