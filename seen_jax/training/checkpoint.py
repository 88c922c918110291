"""The state of a run -> numbered checkpoints on disk, and back; by Orbax.

    WORKDIR/checkpoints/<step>/
      variables   params and batch_stats: what evaluation and export read
      optimizer   velocities, and the step
      run         JSON: config, classes, git revision, the epoch so far, and a digest of
                  every array and of these facts

Checkpoints are written in the background and get their name when they are complete, so
a kill at any point leaves the one before. The latest two are kept, and the best where
the epoch is chosen by a metric (`rows.chosen_row`). A checkpoint holds one copy of the
state, whatever the number of devices, so it fits any other number too.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from seen_jax import files
from seen_jax.errors import UserError, refuse
from seen_jax.training.state import TrainState

FOLDER = "checkpoints"
NUM_LATEST = 2  # kept, so that a damaged one loses little
ITEMS = ("variables", "optimizer", "run")
_RUN = {"config": dict, "labels": list, "git": str, "records": dict, "epoch": int}
_RUN |= {"epoch_so_far": dict, "digests": dict}


class Checkpoints:
    """The checkpoints of a workdir; for process 0 alone."""

    def __init__(self, workdir: str | os.PathLike, *, read_only: bool = False):
        self.path = Path(workdir).resolve() / FOLDER
        if not read_only:
            with self._explained():
                self.path.mkdir(exist_ok=True)
        alone = {0} if jax.process_count() > 1 else None
        self._manager = ocp.CheckpointManager(
            self.path,
            options=ocp.CheckpointManagerOptions(
                multiprocessing_options=ocp.options.MultiprocessingOptions(
                    primary_host=0, active_processes=alone
                ),
                create=False,
                read_only=read_only,
                cleanup_tmp_directories=not read_only,  # of saves that were killed
            ),
            item_names=ITEMS,
            item_handlers={
                "variables": ocp.StandardCheckpointHandler(),
                "optimizer": ocp.StandardCheckpointHandler(),
                "run": ocp.JsonCheckpointHandler(),
            },
        )

    def steps(self) -> list[int]:
        """Returns the steps that have a checkpoint, ascending."""
        return sorted(self._manager.all_steps())

    def latest(self) -> int | None:
        return max(self.steps(), default=None)

    def save(
        self, state: TrainState, run: dict[str, Any], best: int | None = None
    ) -> None:
        """Begins to write a checkpoint of a step; one that exists stays as it is.

        Args:
          state: one copy, as NumPy arrays that nothing else writes to.
          run: config, labels, git, records, epoch and epoch_so_far, as JSON holds them.
          best: the step of a checkpoint to keep beside the latest ones.

        Raises:
          UserError: this checkpoint or the one before it could not be written.
        """
        step = int(state.step)
        self.prune(best)
        if step in self.steps():
            return
        optimizer = {"opt_state": state.opt_state, "step": np.asarray(state.step)}
        digests = _digests({"variables": state.variables, "optimizer": optimizer})
        digests["run"] = _facts_digest(run)
        with self._explained():
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    variables=ocp.args.StandardSave(state.variables),
                    optimizer=ocp.args.StandardSave(optimizer),
                    run=ocp.args.JsonSave(
                        {**run, "saved_as": step, "digests": digests}
                    ),
                ),
            )

    def prune(self, best: int | None = None) -> None:
        """Waits until all is written, then deletes all but the latest and the best."""
        self.wait()
        steps = self.steps()
        with self._explained():
            for step in set(steps[:-NUM_LATEST]) - {best}:
                self._manager.delete(step)

    def restore(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """Reads a checkpoint, like a state of the same shapes.

        Returns:
          The state, as NumPy arrays, and what `save` was given as `run`.

        Raises:
          UserError: it is damaged; names an earlier one that is not.
        """
        like = jax.tree.map(np.asarray, like)
        optimizer = {"opt_state": like.opt_state, "step": like.step}
        expected = {"variables": like.variables, "optimizer": optimizer}
        arrays, run = self._restore(
            step, {name: ocp.args.StandardRestore(x) for name, x in expected.items()}
        )
        return TrainState(**arrays["variables"], **arrays["optimizer"]), run

    def restore_variables(self, step: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reads what a model is applied to, and `run`; raises as `restore`."""
        arrays, run = self._restore(step, {"variables": ocp.args.StandardRestore()})
        return jax.tree.map(np.asarray, arrays["variables"]), run

    def _restore(self, step: int, items: dict[str, Any]):
        _ignore_late_answers()
        try:
            return self._read(step, items)
        except Exception as error:  # Orbax raises one of many kinds
            why = (str(error) or type(error).__name__).partition("\n")[0]
            remedy = "copy it again, or train in another workdir"
            if intact := self._intact_before(step, items):
                folder = shlex.quote(str(self.path / str(step)))
                remedy = (
                    f"copy it again; step {intact} before it is intact: `rm -r "
                    f"{folder}` and run the same command to continue from there, or "
                    "name it with "
                    f"--step={intact} (eval.py and export)"
                )
            refuse(self.path / str(step), "an intact checkpoint", why, remedy)

    def _intact_before(self, step: int, items: dict[str, Any]) -> int | None:
        for earlier in reversed([x for x in self.steps() if x < step]):
            with contextlib.suppress(Exception):
                self._read(earlier, items)
                return earlier
        return None

    def _read(self, step: int, items: dict[str, Any]):
        """Reads items and `run` of a step, and compares every array's digest."""
        read = self._manager.restore(
            step, args=ocp.args.Composite(**items, run=ocp.args.JsonRestore())
        )
        run = read["run"]
        for name, kind in _RUN.items():
            value = run.get(name) if isinstance(run, dict) else None
            if not isinstance(value, kind) or isinstance(value, bool):
                raise UserError(f"no {kind.__name__} as {name} in its facts")
        digests = run.pop("digests")
        if (was := run.pop("saved_as", step)) != step:
            raise UserError(f"a renamed folder, that of step {was}")
        read_digests = _digests({name: read[name] for name in items})
        read_digests["run"] = _facts_digest(run)
        for name, digest in read_digests.items():
            if digests.get(name) != digest:
                raise UserError(f"other values as {name} than were saved")
        return read, run

    def wait(self) -> None:
        """Returns when all that was saved is complete on disk; errors as `save`."""
        with self._explained():
            self._manager.wait_until_finished()

    def close(self) -> None:
        with self._explained():
            self._manager.close()

    def _explained(self) -> contextlib.AbstractContextManager:
        """Turns what writing may raise into one error that names the folder."""
        rule = "a folder that can be written and has room"
        remedy = "complete checkpoints are kept; make room and rerun to resume"
        # The array files are written by a library that raises ValueError for it.
        return files.explained(self.path, remedy, rule, (OSError, ValueError))


@functools.cache
def _ignore_late_answers() -> None:
    """Keeps what follows a failed read from being printed.

    A library reads arrays concurrently. If one of them is damaged, the others finish
    after the read has failed, each with a traceback.
    """
    before = sys.unraisablehook

    def hook(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = hook
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def weights_digest(variables: Any) -> str:
    """Returns the beginning of a SHA-256 of all arrays and their paths."""
    return _facts_digest(_digests(variables))


def _digests(trees: Any) -> dict[str, str]:
    """Returns the beginning of each array's SHA-256, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(trees)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): _digest(x)
        for path, x in leaves
    }


def _facts_digest(run: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()[:16]


def _digest(x: Any) -> str:
    array = np.ascontiguousarray(x)
    facts = f"{array.dtype} {np.shape(x)} ".encode()
    return hashlib.sha256(facts + array.tobytes()).hexdigest()[:16]
