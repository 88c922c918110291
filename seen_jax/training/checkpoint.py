"""The state of a run -> numbered checkpoints on disk, and back; by Orbax.

    WORKDIR/checkpoints/<step>/
      variables   params and batch_stats: what evaluation and export read
      optimizer   velocities, and the step
      run         JSON: the config, the git revision, the epoch so far
      metrics     JSON, added when the epoch has been evaluated

Checkpoints are written in the background and get their name when they are complete, so
a kill at any moment leaves the one before. Kept are the latest and, where the epoch is
chosen by a metric, the best. What a reader would get wrong: a checkpoint holds one copy
of the state, whatever the number of devices, so it fits any other number too.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from seen_jax.training.state import TrainState

FOLDER = "checkpoints"
CHOICES = {  # how the epoch that counts is chosen: what is said beside its numbers
    "last": "the last epoch",
    "validation": "chosen on volunteers held out of the training part",
    "test": "chosen on the test split",
}


class Checkpoints:
    """The checkpoints of a workdir; for process 0 alone.

    Args:
      workdir: of the run.
      select: one of `CHOICES`; with all but "last", the best by WAR is kept too.
      read_only: never writes or deletes.
    """

    def __init__(
        self, workdir: str | os.PathLike, select: str, *, read_only: bool = False
    ):
        self.path = Path(workdir).resolve() / FOLDER
        self.select = select
        keep = [policies.LatestN(1)]
        if select != "last":
            keep.append(
                policies.BestN(
                    get_metric_fn=_war, n=1, keep_checkpoints_without_metrics=False
                )
            )
        if not read_only:
            with _reported(self.path):
                self.path.mkdir(exist_ok=True)
        several = jax.process_count() > 1
        alone = {0} if several else None
        self._manager = ocp.CheckpointManager(
            self.path,
            options=ocp.CheckpointManagerOptions(
                best_fn=_war,  # without it Orbax does not store the metrics
                preservation_policy=policies.AnyPreservationPolicy(keep),
                multiprocessing_options=ocp.options.MultiprocessingOptions(
                    primary_host=0, active_processes=alone
                ),
                create=False,
                read_only=read_only,
                cleanup_tmp_directories=not read_only,  # of saves that were killed
            ),
            item_names=("variables", "optimizer", "run"),
            item_handlers={
                "variables": ocp.StandardCheckpointHandler(),
                "optimizer": ocp.StandardCheckpointHandler(),
                "run": ocp.JsonCheckpointHandler(),
            },
        )

    def steps(self) -> list[int]:
        """Returns the steps there are checkpoints of, ascending."""
        return sorted(self._manager.all_steps())

    def latest(self) -> int | None:
        return max(self.steps(), default=None)

    def chosen(self) -> int | None:
        """Returns the step that counts: the latest, or the best by WAR.

        Of equals the later one, which has seen more.
        """
        if self.select == "last":
            return self.latest()
        metrics = {step: self.metrics(step) for step in self.steps()}
        evaluated = [(m["war"], step) for step, m in metrics.items() if m]
        return max(evaluated)[1] if evaluated else None

    def metrics(self, step: int) -> dict[str, Any] | None:
        """Returns the metrics of a checkpoint, None if its epoch was not evaluated."""
        return self._manager.metrics(step)

    def save(
        self,
        state: TrainState,
        run: dict[str, Any],
        metrics: dict[str, Any] | None = None,
    ) -> None:
        """Begins to write a checkpoint of a step.

        One that is there stays as it is; metrics that it lacks are added.

        Args:
          state: one copy, as NumPy arrays that nothing else writes to.
          run: what JSON can hold.
          metrics: likewise, with "war" from 0 to 1; None if there are none.

        Raises:
          OSError: this checkpoint or the one before it could not be written.
        """
        step = int(state.step)
        if step in self.steps():
            if metrics and not self.metrics(step):
                self._add_metrics(step, metrics)
            return
        optimizer = {"opt_state": state.opt_state, "step": np.asarray(state.step)}
        with _reported(self.path):
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    variables=ocp.args.StandardSave(state.variables),
                    optimizer=ocp.args.StandardSave(optimizer),
                    run=ocp.args.JsonSave(run),
                ),
                metrics=metrics,
            )

    def _add_metrics(self, step, metrics):
        """Orbax has no call for it, but takes what it finds in the folder."""
        self.wait()
        with _reported(self.path):
            writing = self.path / str(step) / "metrics.tmp"
            writing.mkdir(exist_ok=True)
            (writing / "metrics").write_text(json.dumps(metrics))
            writing.rename(writing.with_name("metrics"))
            self._manager.reload()
            for other in set(self.steps()) - {self.latest(), self.chosen()}:
                self._manager.delete(other)  # it was the best until now

    def restore(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """Reads a checkpoint.

        Args:
          step: one of `steps()`.
          like: a state of the same shapes.

        Returns:
          The state, as NumPy arrays, and what `save` was given as `run`.
        """
        like = jax.tree.map(np.asarray, like)
        optimizer = {"opt_state": like.opt_state, "step": like.step}
        found = self._manager.restore(
            step,
            args=ocp.args.Composite(
                variables=ocp.args.StandardRestore(like.variables),
                optimizer=ocp.args.StandardRestore(optimizer),
                run=ocp.args.JsonRestore(),
            ),
        )
        state = TrainState(**found["variables"], **found["optimizer"])
        return state, found["run"]

    def restore_variables(self, step: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reads what a model is applied to, as NumPy arrays, and `run`."""
        found = self._manager.restore(
            step,
            args=ocp.args.Composite(
                variables=ocp.args.StandardRestore(), run=ocp.args.JsonRestore()
            ),
        )
        return jax.tree.map(np.asarray, found["variables"]), found["run"]

    def wait(self) -> None:
        """Returns when all that was saved is complete on disk; errors as `save`."""
        with _reported(self.path):
            self._manager.wait_until_finished()

    def close(self) -> None:
        self._manager.close()


def _war(metrics: dict[str, Any]) -> float:
    return metrics["war"]


class _reported:
    """Turns what writing may raise into one error that names the folder."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind, error, trace) -> None:
        # The array files are written by a library that raises ValueError for it.
        if isinstance(error, OSError | ValueError):
            first_line = str(error).partition("\n")[0]
            raise OSError(
                f"{self._path}: expected a folder that can be written and has room, "
                f"got {first_line}; the checkpoints that are complete are kept; make "
                "room and give the same command to go on"
            ) from error


def git_revision() -> str:
    """Returns the commit of this code, `-dirty` if it was changed.

    Without git it is what SEEN_REVISION says (launch/Dockerfile), else `unknown`.
    """
    folder = Path(__file__).resolve().parent
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("SEEN_REVISION", "unknown")
    return found.stdout.strip()
