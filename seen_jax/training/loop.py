"""The training loop: steps, epochs, checkpoints, evaluations, in this order.

    batch -> step -> sums -> [epoch ends] -> checkpoint -> evaluation
          -> metrics.jsonl -> the checkpoint's metrics

A run is a function of its config and records. Where it stands is one number, the step:
it names the next batch, and with the sums of the epoch so far nothing else is needed to
go on. What a reader would get wrong: the sums of a step are read two steps later, so
that the devices never wait for Python, and all of them before anything is saved. An
epoch is saved before it is evaluated, since a killer does not wait: a run that finds
the sums of a whole epoch in its checkpoint, and no metrics, ends that epoch first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections import deque
from pathlib import Path
from typing import Any

import jax
import numpy as np

from seen_jax import protocol
from seen_jax.training import hosts, resident, workdir
from seen_jax.training import state as state_lib
from seen_jax.training import step as step_lib
from seen_jax.training.checkpoint import CHOICES, Checkpoints, git_revision
from seen_jax.training.epoch import EpochSums, checkpoint_metrics, make_row
from seen_jax.training.journal import Journal, read_rows, scores_text
from seen_jax.training.setup import Task, placed

NUM_IN_FLIGHT = 2  # steps whose sums are not read yet


def train(task: Task, folder: Path) -> int:
    """Trains until the last epoch, or until a signal asks to stop.

    Args:
      task: what to train.
      folder: the workdir, held by this run (`workdir.claimed`); only process 0 uses it.

    Returns:
      0 when done, else the number of the signal.

    Raises:
      FloatingPointError: a loss is not finite; the last checkpoint is kept.
      OSError: something cannot be written.
    """
    with contextlib.ExitStack() as stack:
        return _train(placed(task), folder, stack)


def _train(task: Task, folder: Path, stack: contextlib.ExitStack) -> int:
    stop = stack.enter_context(hosts.Stop())
    config, main = task.config, hosts.is_main()
    num_epochs, steps_per_epoch = config["num_epochs"], len(task.train)
    state = jax.device_get(
        state_lib.create(
            task.model, task.optimizer, config["num_event_frames"], config["seed"]
        )
    )
    sums = EpochSums()
    if main:
        checkpoints = Checkpoints(folder, config["select"])
        stack.enter_context(contextlib.closing(checkpoints))
        if (latest := checkpoints.latest()) is not None:
            state, run = checkpoints.restore(latest, state)
            if checkpoints.metrics(latest) is None:  # else that epoch has ended
                sums = EpochSums(**run["epoch_so_far"])
    state, num_windows = hosts.from_main((state, np.int32(sums.count)))
    step = int(state.step)
    epoch = (step - (num_windows > 0)) // steps_per_epoch  # those that have ended
    if main:
        journal = Journal(
            folder,
            config["select"],
            num_epochs=num_epochs,
            num_clips=len(task.train.provider.records),
            epoch=epoch,
            num_windows=int(num_windows),
        )
        stack.enter_context(contextlib.closing(journal))
        journal.say(_begin_text(task, step, workdir.load_origin(folder)))
        facts = {"config": config, "git": git_revision(), "records": task.fingerprints}
    begin = step
    state = step_lib.replicate(state)
    take = _streamed if task.frames is None else _resident
    predict = _predict_streamed if task.frames is None else _predict_resident
    predict = predict(task)

    def diverged(number, loss):
        kept = "process 0 says which checkpoint is kept"
        if main:
            checkpoints.wait()
            latest = checkpoints.latest()
            kept = "there is no checkpoint yet"
            if latest is not None:
                kept = f"the last good checkpoint is kept (step {latest})"
        raise FloatingPointError(_diverged_text(task, number, loss, kept))

    def settle(number, num_steps, found):
        found = step_lib.first(found)
        before = sums.count
        if main and number - num_steps == begin:
            seconds = time.perf_counter() - began
            first = "step" if num_steps == 1 else f"{num_steps} steps"  # a dispatch
            journal.say(f"first {first} after {seconds:.1f} s, compilation included")
        for i in range(num_steps):
            one = {name: float(np.atleast_1d(x)[i]) for name, x in found.items()}
            if not math.isfinite(one["loss"]):
                diverged(number - num_steps + 1 + i, one["loss"] / one["count"])
            sums.add(**one)
        if main:
            journal.step(epoch + 1, int(sums.count - before), *sums.means())

    def save(metrics=None):
        if main:
            copy = step_lib.first(state)
            # A step's loss is that before its update: the update may be what broke.
            if not all(np.isfinite(x).all() for x in jax.tree.leaves(copy)):
                diverged(step, math.nan)
            where = {"epoch": step // steps_per_epoch}
            where["epoch_so_far"] = dataclasses.asdict(sums)
            checkpoints.save(copy, facts | where, metrics)

    def is_evaluated(epoch):
        return epoch % config["eval_every"] == 0 or epoch == num_epochs

    def end_epoch():
        nonlocal epoch, sums
        epoch += 1
        found = predict(state.variables) if is_evaluated(epoch) else None
        if main:
            row = make_row(task, step, sums, found)
            journal.epoch(row)
            if found is not None:
                save(checkpoint_metrics(row))
        sums = EpochSums()

    if num_windows and step % steps_per_epoch == 0:
        end_epoch()
    in_flight = deque()
    end = max(step, num_epochs * steps_per_epoch)
    began = time.perf_counter()
    for after, num_steps, found in take(task, state, step, end):
        state = after
        step += num_steps
        in_flight.append((step, num_steps, found))
        epoch_ends, stopping = step % steps_per_epoch == 0, stop.asked()
        pausing = epoch_ends or stopping
        while len(in_flight) > (0 if pausing else NUM_IN_FLIGHT):
            settle(*in_flight.popleft())
        if pausing:
            sums.seconds += time.perf_counter() - began
            is_saved = (epoch + 1) % config["checkpoint_every"] == 0
            if stopping or is_saved or is_evaluated(epoch + 1):
                save()
            if stopping:
                break
            end_epoch()
            began = time.perf_counter()
    done = epoch >= num_epochs
    if main:
        checkpoints.wait()
        end_text = _done_text(task, folder, checkpoints) if done else _stop_text(step)
        journal.say(f"{end_text}\n{folder}")
    return 0 if done else stop.signal


def _streamed(task: Task, state, start: int, stop: int):
    """Takes step after step on batches that this process makes.

    Yields:
      The state, the number of steps since the last time, and their sums.
    """
    train_step = step_lib.make_train_step(task.model, task.optimizer)
    for batch in task.train.iterate(start, stop):
        state, sums = train_step(state, batch)
        yield state, 1, sums


def _resident(task: Task, state, start: int, stop: int):
    """Takes an epoch's steps at a time on frames in the devices; yields likewise."""
    size = len(task.train)
    train_steps = resident.make_train_steps(task.model, task.optimizer, size)
    while start < stop:
        end = min(stop, start - start % size + size)
        state, sums = train_steps(state, task.frames[0], task.train.rows(start, end))
        yield state, end - start, sums
        start = end


def _predict_streamed(task: Task):
    """Returns variables -> probabilities (P, N, K) of the evaluation passes."""
    predict = step_lib.make_predict(task.model)
    num_passes = task.config["eval_passes"]
    return lambda variables: protocol.evaluate(
        lambda batch: predict(variables, batch), task.evaluation, num_passes
    )


def _predict_resident(task: Task):
    """As `_predict_streamed`, on frames in the devices."""
    predict = resident.make_predict(task.model)
    num_passes = task.config["eval_passes"]
    return lambda variables: protocol.evaluate(
        lambda rows: predict(variables, task.frames[1], rows),
        task.evaluation,
        num_passes,
        by_rows=True,
    )


def _diverged_text(task: Task, step: int, loss: float, kept: str) -> str:
    epoch = (step - 1) // len(task.train) + 1
    rate = float(task.learning_rate(step - 1))
    return (
        f"loss: expected a finite number at step {step} (epoch {epoch}), "
        f"got {loss}; the learning rate was {rate:.3g}: lower learning_rate and train "
        f"in another --workdir; {kept}"
    )


def _begin_text(task: Task, step: int, origin: dict[str, Any] | None) -> str:
    train, evaluated = (x.provider.records for x in (task.train, task.evaluation))
    text = (
        f"{task.setting}, {task.source} data, {len(train)} training clips, "
        f"{len(evaluated)} {task.split} clips, {len(task.train)} steps per epoch; "
        f"images {'on the devices' if task.frames else 'from the host'}"
    )
    if origin:
        text += f"; weights imported from {origin['file']}, epoch {origin['epoch']}"
    return text + (f"; goes on after step {step}" if step else "")


def _stop_text(step: int) -> str:
    return f"stopped and saved at step {step}; the same command goes on"


def _done_text(task: Task, folder: Path, checkpoints: Checkpoints) -> str:
    """Names the epoch that counts, how it was chosen, and its scores."""
    chosen, select = checkpoints.chosen(), task.config["select"]
    row = next((row for row in read_rows(folder) if row["step"] == chosen), {})
    if "war" not in row:  # num_epochs was lowered to less than what is done
        return (
            f"num_epochs: expected more than is done, got {task.config['num_epochs']}; "
            f"the checkpoint that counts, step {chosen}, is of an epoch that was not "
            "evaluated: raise num_epochs to go on"
        )
    return f"epoch {row['epoch']}, {CHOICES[select]}: {scores_text(row)}"
