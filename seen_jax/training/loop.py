"""The training loop.

    for each epoch: steps -> checkpoint -> evaluation -> a row of metrics.jsonl

A run is a function of its config and records. Where it stands is one number, the step:
it names the next batch, and the sums of the epoch so far are all else that resuming
needs. An epoch is saved before it is evaluated, and it has ended when its row is
written: a run that resumes from a checkpoint at an epoch's last step, without its row,
evaluates that epoch first.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np

from seen_jax import protocol
from seen_jax.data.clips import counts_text
from seen_jax.errors import UserError, refuse
from seen_jax.training import freeze, hosts, workdir
from seen_jax.training import state as state_lib
from seen_jax.training import step as step_lib
from seen_jax.training.checkpoint import Checkpoints
from seen_jax.training.epoch import EpochSums, make_row, measure
from seen_jax.training.feed import Feed, make_feeds
from seen_jax.training.journal import Journal, scores_text
from seen_jax.training.rows import CHOICES, Row, chosen_row, read_rows
from seen_jax.training.setup import Task
from seen_jax.training.state import TrainState

NUM_IN_FLIGHT = 2  # dispatches whose sums are not read yet: devices never wait for them


def train(
    task: Task, folder: Path, weights: Mapping[str, np.ndarray] | None = None
) -> int:
    """Trains until the last epoch, or until a signal asks to stop.

    Args:
      folder: the workdir, held by this run (`workdir.claimed`); only process 0 uses it.
      weights: by path, in place of those drawn; process 0 gives them to the others.

    Returns:
      The exit code: 0 when done, else 128 + the number of the signal.

    Raises:
      UserError: a loss is not finite, or something cannot be written; the last
        checkpoint is kept.
    """
    config, epoch_size = task.config, len(task.train)
    num_epochs, num_passes = config["num_epochs"], config["eval_passes"]
    clips, checkpoints = task.evaluation.clips, None
    with contextlib.ExitStack() as stack:
        # Where the run stands.
        stop = stack.enter_context(hosts.Stop())
        feed, eval_feed = make_feeds(config["images"], task.train, task.evaluation)
        if is_main := hosts.is_main():
            checkpoints = stack.enter_context(contextlib.closing(Checkpoints(folder)))
        state, sums, program = _begin(task, folder, weights, checkpoints)
        step = begin = int(state.step)
        # A checkpoint at an epoch's last step without its row has not ended that epoch.
        num_ended = (step - (sums.count > 0)) // epoch_size
        if is_main:
            journal = Journal(
                folder,
                config["select"],
                task.train.clips.labels,
                num_epochs=num_epochs,
                num_clips=len(task.train.clips),
                epoch=num_ended,
                num_windows=int(sums.count),
            )
            stack.enter_context(contextlib.closing(journal))
            journal.say(_begin_text(task, feed, state, folder, program))
            facts = _facts(task, folder)
        state = step_lib.replicate(state)
        take_steps = feed.make_train(task.step)
        predict = eval_feed.make_predict(task.model)

        stop_signal = 0
        for epoch in range(num_ended + 1, num_epochs + 1):
            # The steps of the epoch that are left.
            began = time.perf_counter()
            taken = _take(take_steps, state, step, epoch * epoch_size, stop)
            for latest, num_steps, step_sums in taken:
                state = latest  # the one before was used up
                bad = sums.add(step_sums)
                if bad is not None:
                    loss = float(np.atleast_1d(step_sums["loss"])[bad])
                    _refuse_loss(task, step + bad + 1, loss, checkpoints)
                if is_main and step == begin:
                    journal.first_dispatch(num_steps, time.perf_counter() - began)
                if is_main:
                    journal.step(epoch, int(step_sums["count"].sum()), *sums.means())
                step += num_steps
            sums.seconds += time.perf_counter() - began
            stop_signal = stop.signal  # of this moment: another may come below

            # The checkpoint: before the evaluation, since a kill does not wait for it.
            is_evaluated = epoch % config["eval_every"] == 0 or epoch == num_epochs
            is_saved = is_evaluated or epoch % config["checkpoint_every"] == 0
            if is_main and (stop_signal or is_saved):
                copy = step_lib.first(state)
                # A loss is that before its update: the update may be what broke.
                if not all(np.isfinite(x).all() for x in jax.tree.leaves(copy)):
                    _refuse_loss(task, step, math.nan, checkpoints)
                run = {"epoch": step // epoch_size, "epoch_so_far": asdict(sums)}
                checkpoints.save(copy, facts | run, _best_step(journal.rows, config))
            if stop_signal:
                break

            # The evaluation, and the row that ends the epoch.
            rate = float(task.learning_rate(step - 1))
            row = make_row(sums, epoch=epoch, step=step, learning_rate=rate)
            if is_evaluated:
                answers = _until(stop, predict(state.variables, num_passes))
                try:
                    probabilities = protocol.evaluate(answers, len(clips), num_passes)
                except _StoppedError:
                    stop_signal = stop.signal
                    break
                row |= measure(clips, task.split, probabilities)
            if is_main:
                journal.epoch(row)
            sums = EpochSums()
        if is_main:
            checkpoints.prune(_best_step(journal.rows, config))
            journal.say(f"{_end_text(journal.rows, config, step)}\n{folder}")
        return 128 + stop_signal if stop_signal else 0


class _StoppedError(Exception):
    """The run is to stop in the middle of an evaluation, which the next one repeats."""


def _until(
    stop: hosts.Stop, answers: Iterable[protocol.Answer]
) -> Iterator[protocol.Answer]:
    for answer in answers:
        if stop.asked():
            raise _StoppedError
        yield answer


def _begin(
    task: Task,
    folder: Path,
    weights: Mapping[str, np.ndarray] | None,
    checkpoints: Checkpoints | None,
) -> tuple[TrainState, EpochSums, str]:
    """Returns the state to begin with, the epoch so far, and what computed them.

    All processes have the state of process 0; of the sums, others have the count alone.
    """
    state, sums, program = _first_state(task, weights), EpochSums(), task.program
    latest = checkpoints and checkpoints.latest()
    if latest is not None:
        state, run = checkpoints.restore(latest, state)
        labels = list(task.train.clips.labels)
        if run["labels"] != labels:
            rule = f"records with the classes of the run, {', '.join(run['labels'])}"
            place, remedy = task.config["data_dir"], "give another workdir"
            refuse(place, rule, ", ".join(labels), remedy)
        program = run.get("program", "XLA")  # the only one there was, if none is named
        if all(row["step"] != latest for row in read_rows(folder)):  # else it has ended
            sums = EpochSums(**run["epoch_so_far"])
    state, count = hosts.from_main((state, np.int32(sums.count)))
    sums.count = float(count)
    return state, sums, program


def _first_state(task: Task, weights: Mapping[str, np.ndarray] | None) -> TrainState:
    parts = task.model, task.optimizer, task.config["num_event_frames"]
    # It runs once, and in full the compilation takes twice as long.
    compiled = jax.jit(
        partial(state_lib.create, *parts),
        compiler_options={"xla_backend_optimization_level": 1},
    )
    state = jax.device_get(compiled(jax.random.key(task.config["seed"])))
    return state_lib.with_weights(state, weights or {})


def _take(
    take_steps: Callable, state: TrainState, start: int, end: int, stop: hosts.Stop
) -> Iterator[tuple[TrainState, int, dict[str, np.ndarray]]]:
    """Takes the steps start to end - 1, or fewer where the run is to stop.

    Yields the latest state, and the number and sums of earlier steps, in their order;
    when it ends, those of all steps have been read.
    """
    in_flight, step = deque(), start
    steps = take_steps(state, start, end) if start < end else ()
    for latest, num_steps, sums in steps:
        in_flight.append((num_steps, sums))
        step += num_steps
        pausing = stop.asked() or step == end
        while len(in_flight) > (0 if pausing else NUM_IN_FLIGHT):
            num_steps, sums = in_flight.popleft()
            yield latest, num_steps, step_lib.first(sums)
        if pausing:
            return


def _facts(task: Task, folder: Path) -> dict[str, Any]:
    """What every checkpoint says of its run."""
    return {
        "config": dict(task.config),
        "labels": list(task.train.clips.labels),
        "git": workdir.git_revision(),
        "program": task.program,
        "records": task.fingerprints,
        "imported": workdir.load_origin(folder),
    }


def _best_step(rows: list[Row], config) -> int | None:
    """Returns the step whose checkpoint is kept for its WAR, if the epoch is chosen."""
    best = None if config["select"] == "last" else chosen_row(rows, config["select"])
    return best and best["step"]


def _refuse_loss(
    task: Task, step: int, loss: float, checkpoints: Checkpoints | None
) -> NoReturn:
    left = "process 0 says which checkpoint is kept"
    if checkpoints is not None:
        checkpoints.wait()
        latest = checkpoints.latest()
        left = "there is no checkpoint yet"
        if latest is not None:
            left = f"the last good checkpoint is kept (step {latest})"
    epoch = (step - 1) // len(task.train) + 1
    rate = float(task.learning_rate(step - 1))
    raise UserError(
        f"loss: expected a finite number at step {step} (epoch {epoch}), got {loss}; "
        f"the learning rate was {rate:.3g}: lower learning_rate and train in another "
        f"--workdir; {left}"
    )


def _begin_text(
    task: Task, feed: Feed, state: TrainState, folder: Path, program: str
) -> str:
    text = (
        f"{task.train.setting}, {task.train.clips.source} data, "
        f"{len(task.train)} steps per epoch, "
        f"images {'on the devices' if feed.frames else 'from the host'}, "
        f"computed by {task.program}"
        f"\ntraining: {counts_text(**task.train.counts)}"
        f"\n{task.split}: {counts_text(**task.evaluation.counts)}"
    )
    if origin := workdir.load_origin(folder):
        parts = [f"{origin['file']}, epoch {origin['epoch']}", *origin.get("notes", ())]
        text += f"\nweights imported from {'; '.join(parts)}"
    if state.step:
        text += f"\nresumes after step {state.step}"
    if state.step and program != task.program:
        text += f", which {program} computed: sums are rounded otherwise from here on"
    if task.frozen:
        text += f"\n{freeze.to_text(state.params, task.frozen)}"
    return text


def _end_text(rows: list[Row], config: Mapping[str, Any], step: int) -> str:
    """Names the selected epoch and its scores, or the step where the run stopped."""
    if len(rows) < config["num_epochs"]:
        return f"stopped and saved at step {step}; run the same command to resume"
    select, row = config["select"], chosen_row(rows, config["select"])
    if row is None or (select == "last" and row is not rows[-1]):
        return (
            f"num_epochs: expected more than the {len(rows)} epochs that are done, got "
            f"{config['num_epochs']}; the last one was not evaluated: raise num_epochs "
            "to continue"
        )
    return f"epoch {row['epoch']}, {CHOICES[select]}: {scores_text(row)}"
