"""Trainings that run in the test."""

import contextlib
import json

import jax

from seen_jax.training import loop, state, workdir
from seen_jax.training.checkpoint import Checkpoints


def train(task, folder, weights=None, origin=None):
    """Trains a task in a folder as train.py does, to its end."""
    with workdir.claimed(folder):
        workdir.check_config(folder, task.config, task.fingerprints, origin)
        assert loop.train(task, folder, weights) == 0


def saved(folder, step=None):
    """What is saved beside the arrays of a checkpoint, by default of the latest."""
    if step is None:
        with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
            step = checkpoints.latest()
    path = folder / "checkpoints" / str(step) / "run" / "metadata"
    return json.loads(path.read_text())


def digests(folder):
    """Those of all arrays of the latest checkpoint, which has optimiser and step."""
    recorded = saved(folder)["digests"]
    return {name: x for name, x in recorded.items() if name != "run"}


def run_whole(task, folder):
    """Trains a task in a folder; returns its first and its last state."""
    train(task, folder)
    key = jax.random.key(task.config["seed"])
    num_event_frames = task.config["num_event_frames"]
    begun = state.create(task.model, task.optimizer, num_event_frames, key)
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        return begun, checkpoints.restore(checkpoints.latest(), begun)[0]
