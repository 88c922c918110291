"""Workdirs as train.py leaves them, without training."""

import contextlib
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from configs import default
from seen_jax.training import setup, state, workdir
from seen_jax.training.checkpoint import Checkpoints
from tests import samples

ROOT = Path(__file__).resolve().parents[1]


def build_records(root: Path, num_volunteers: int, lengths: tuple[int, ...]) -> Path:
    """Builds records of small clips of noise; returns their data_dir."""
    names = samples.clip_names(num_volunteers, lengths)
    see_dir = samples.write_see_folder(root / "see", names, size=90)
    build = [sys.executable, "datasets/see_tfds/build.py", see_dir, root / "data"]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return root / "data"


def write_run(root: Path, wars: dict[int, float], variables=None, **fields) -> Path:
    """Writes a run on records of its own, two volunteers of 5 or 8 frames a clip.

    Args:
      root: an empty folder; the run is in `run` there.
      wars: step to the WAR of its checkpoint, one for each epoch.
      variables: of all checkpoints; by default those before training.
      **fields: of the config.
    """
    config = default.get_config()
    config.data_dir = str(build_records(root, 2, (5, 8)))
    config.update(fields)
    task = setup.prepare(config, "devices")
    folder = root / "run"
    folder.mkdir()
    workdir.check_config(folder, task.config, task.fingerprints)
    made = jax.device_get(
        state.create(task.model, task.optimizer, config.num_event_frames, 0)
    )
    variables = variables or made.variables
    facts = {"config": task.config, "git": "abc", "records": task.fingerprints}
    with contextlib.closing(Checkpoints(folder, config.select)) as saved:
        for epoch, (step, war) in enumerate(wars.items(), start=1):
            now = state.TrainState(
                np.int32(step), **variables, opt_state=made.opt_state
            )
            saved.save(now, facts | {"epoch": epoch}, {"war": war})
        saved.wait()
    return folder
