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
from collections.abc import Mapping
from dataclasses import asdict
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
      task: what to train.
      folder: the workdir, held by this run (`workdir.claimed`); only process 0 uses it.
      weights: by path, in place of those drawn; process 0 gives them to the others.

    Returns:
      0 when done, else the number of the signal.

    Raises:
      UserError: a loss is not finite, or something cannot be written; the last
        checkpoint is kept.
    """
    config, is_main = task.config, hosts.is_main()
    num_epochs, epoch_size = config["num_epochs"], len(task.train)
    with contextlib.ExitStack() as stack:
        # Where the run stands.
        stop = stack.enter_context(hosts.Stop())
        train_feed, eval_feed = make_feeds(
            config["images"], task.train, task.evaluation
        )
        state, sums, checkpoints = _first_state(task, weights), EpochSums(), None
        program = task.program
        if is_main:
            checkpoints = stack.enter_context(contextlib.closing(Checkpoints(folder)))
            state, sums, program = _resume(checkpoints, read_rows(folder), state, task)
        state, count = hosts.from_main((state, np.int32(sums.count)))
        count = int(count)
        if not is_main:
            sums.count = float(count)
        step = begin = int(state.step)
        epoch = (step - (count > 0)) // epoch_size  # epochs that have ended
        if is_main:
            journal = Journal(
                folder,
                config["select"],
                task.train.clips.labels,
                num_epochs=num_epochs,
                num_clips=len(task.train.clips),
                epoch=epoch,
                num_windows=count,
            )
            stack.enter_context(contextlib.closing(journal))
            journal.say(_begin_text(task, train_feed, step, folder, program))
            if task.frozen:
                journal.say(freeze.to_text(state.params, task.frozen))
            facts = _facts(task, folder)
        state = step_lib.replicate(state)
        take_steps = train_feed.make_train(task.step)
        predict = eval_feed.make_predict(task.model)

        while epoch < num_epochs:
            # The steps of the epoch that are left.
            began, in_flight = time.perf_counter(), deque()
            epoch_end = (epoch + 1) * epoch_size
            steps = take_steps(state, step, epoch_end) if step < epoch_end else ()
            for new_state, num_steps, step_sums in steps:
                state = new_state  # the one before was used up
                in_flight.append((step, num_steps, step_sums))
                step += num_steps
                pausing = stop.asked() or step == epoch_end
                while len(in_flight) > (0 if pausing else NUM_IN_FLIGHT):
                    before, num_steps, step_sums = in_flight.popleft()
                    step_sums, num_windows = step_lib.first(step_sums), sums.count
                    bad = sums.add(step_sums)
                    if bad is not None:
                        loss = float(np.atleast_1d(step_sums["loss"])[bad])
                        _refuse_loss(task, before + bad + 1, loss, checkpoints)
                    if is_main and before == begin:
                        journal.first_dispatch(num_steps, time.perf_counter() - began)
                    if is_main:
                        num_windows = int(sums.count - num_windows)
                        journal.step(epoch + 1, num_windows, *sums.means())
                if pausing:
                    sums.seconds += time.perf_counter() - began
                    break

            stop_signal = stop.signal  # of this moment: another may come below
            # The checkpoint: before the evaluation, since a kill does not wait for it.
            is_whole = step == epoch_end
            is_evaluated = (epoch + 1) % config["eval_every"] == 0
            is_evaluated |= epoch + 1 == num_epochs
            is_saved = is_evaluated or (epoch + 1) % config["checkpoint_every"] == 0
            if is_main and (stop_signal or (is_whole and is_saved)):
                copy = step_lib.first(state)
                # A loss is that before its update: the update may be what broke.
                if not all(np.isfinite(x).all() for x in jax.tree.leaves(copy)):
                    _refuse_loss(task, step, math.nan, checkpoints)
                so_far = {"epoch": step // epoch_size, "epoch_so_far": asdict(sums)}
                checkpoints.save(copy, facts | so_far, _best_step(journal.rows, config))
            if stop_signal:
                break

            # The evaluation, and the row that ends the epoch.
            probabilities = None
            if is_evaluated:
                num_passes, num_clips = (
                    config["eval_passes"],
                    len(task.evaluation.clips),
                )
                answers = predict(state.variables, num_passes)
                probabilities = protocol.evaluate(answers, num_clips, num_passes)
            epoch += 1
            if is_main:
                rate = float(task.learning_rate(step - 1))
                row = make_row(sums, epoch=epoch, step=step, learning_rate=rate)
                if probabilities is not None:
                    row |= measure(task.evaluation.clips, task.split, probabilities)
                journal.epoch(row)
            sums = EpochSums()

        is_done = epoch >= num_epochs
        if is_main:
            checkpoints.prune(_best_step(journal.rows, config))
            end_text = (
                f"stopped and saved at step {step}; run the same command to resume"
            )
            if is_done:
                end_text = _done_text(journal.rows, config)
            journal.say(f"{end_text}\n{folder}")
        return 0 if is_done else stop.signal


def _first_state(task: Task, weights: Mapping[str, np.ndarray] | None) -> TrainState:
    def create(key):
        num_event_frames = task.config["num_event_frames"]
        return state_lib.create(task.model, task.optimizer, num_event_frames, key)

    # It runs once, and in full the compilation takes twice as long.
    compiled = jax.jit(create, compiler_options={"xla_backend_optimization_level": 1})
    state = jax.device_get(compiled(jax.random.key(task.config["seed"])))
    return state_lib.with_weights(state, weights or {})


def _resume(
    checkpoints: Checkpoints, rows: list[Row], state: TrainState, task: Task
) -> tuple[TrainState, EpochSums, str]:
    """Returns the latest checkpoint, or `state`, the epoch so far, and its program."""
    latest = checkpoints.latest()
    if latest is None:
        return state, EpochSums(), task.program
    state, run = checkpoints.restore(latest, state)
    labels = list(task.train.clips.labels)
    if run["labels"] != labels:
        rule = f"records with the classes of the run, {', '.join(run['labels'])}"
        refuse(task.config["data_dir"], rule, ", ".join(labels), "give another workdir")
    program = run.get("program", "XLA")  # the only one there was, where none is named
    if any(row["step"] == latest for row in rows):  # that epoch has ended
        return state, EpochSums(), program
    return state, EpochSums(**run["epoch_so_far"]), program


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
    kept = "process 0 says which checkpoint is kept"
    if checkpoints is not None:
        checkpoints.wait()
        latest = checkpoints.latest()
        kept = "there is no checkpoint yet"
        if latest is not None:
            kept = f"the last good checkpoint is kept (step {latest})"
    epoch = (step - 1) // len(task.train) + 1
    rate = float(task.learning_rate(step - 1))
    raise UserError(
        f"loss: expected a finite number at step {step} (epoch {epoch}), got {loss}; "
        f"the learning rate was {rate:.3g}: lower learning_rate and train in another "
        f"--workdir; {kept}"
    )


def _begin_text(task: Task, feed: Feed, step: int, folder: Path, program: str) -> str:
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
    if not step:
        return text
    text += f"\nresumes after step {step}"
    if program != task.program:
        text += f", which {program} computed: sums are rounded otherwise from here on"
    return text


def _done_text(rows: list[Row], config) -> str:
    """Names the epoch that counts, how it was chosen, and its scores."""
    select, row = config["select"], chosen_row(rows, config["select"])
    if row is None or (select == "last" and row is not rows[-1]):
        return (
            f"num_epochs: expected more than the {len(rows)} epochs that are done, got "
            f"{config['num_epochs']}; the last one was not evaluated: raise num_epochs "
            "to continue"
        )
    return f"epoch {row['epoch']}, {CHOICES[select]}: {scores_text(row)}"
