"""Trainings that run in the test."""

import contextlib

import jax

from seen_jax.training import loop, state, workdir
from seen_jax.training.checkpoint import Checkpoints


def run_whole(task, folder):
    """Trains a task in a folder; returns its first and its last state."""
    with workdir.claimed(folder):
        workdir.check_config(folder, task.config, task.fingerprints)
        assert loop.train(task, folder) == 0
    key = jax.random.key(task.config["seed"])
    begun = state.create(
        task.model, task.optimizer, task.config["num_event_frames"], key
    )
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        return begun, checkpoints.restore(checkpoints.latest(), begun)[0]
