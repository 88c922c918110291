"""A published checkpoint -> the folder of a run, for eval.py and for fine-tuning.

What a reader would get wrong: such a file says nothing about its data. The run that
comes of it notes where it is from, and is not known to fit any records.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import jax
import numpy as np

from seen_jax import see
from seen_jax.evaluation.restored import check_fits
from seen_jax.export import torch_files
from seen_jax.export.convert import variables_from_torch
from seen_jax.training import setup, state, workdir
from seen_jax.training.checkpoint import Checkpoints
from seen_jax.training.optimizer import learning_rate_by_epoch


def import_checkpoint(
    path: str | os.PathLike,
    folder: str | os.PathLike,
    config: dict,
) -> int:
    """Makes a run whose step 0 has the weights of a published checkpoint.

    The optimiser begins at rest.

    Args:
      path: `save_<epoch>.pth`, its state_dict alone, or one of DataParallel; it need
        not be trusted.
      folder: a workdir that does not exist or is empty.
      config: of the network that was trained, and for fine-tuning it.

    Returns:
      The epoch that the file names, 0 if it names none.

    Raises:
      ValueError: the file is no such checkpoint (lists every entry that is missing,
        unknown or misshapen), the config is of another network, or the folder has
        something in it.
      OSError: no such file, or a folder that cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = "one with something in it" if folder.is_dir() else "a file"
        raise ValueError(
            f"{folder}: expected a new or empty folder, got {found}; give another "
            "--workdir"
        )
    setup.check_config(config)
    if config["select"] != "last":
        raise ValueError(
            f"select: expected 'last', since no epoch of these weights was evaluated, "
            f"got {config['select']!r}"
        )
    state_dict, epoch = torch_files.read_checkpoint(path)
    try:
        variables = variables_from_torch(state_dict)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    variables = jax.tree.map(_as_float32, variables)
    model = setup.make_model(config, len(variables["params"]["fc2"]["bias"]))
    check_fits(path, model, config, variables)
    rate = learning_rate_by_epoch(0.0, decay=1.0, steps_per_epoch=1)
    optimizer = setup.make_optimizer(config, rate)
    made = state.TrainState(
        step=np.zeros((), np.int32),
        **variables,
        opt_state=jax.device_get(optimizer.init(variables["params"])),
    )
    origin = {"file": Path(path).name, "epoch": epoch}
    with workdir.claimed(folder):
        workdir.check_config(folder, config, {}, imported=origin)
        with contextlib.closing(Checkpoints(folder)) as saved:
            saved.save(
                made,
                {
                    "config": config,
                    "labels": list(see.EMOTIONS),
                    "git": "elsewhere",
                    "records": {},
                    "epoch": epoch,
                    "epoch_so_far": {},
                },
            )
            saved.wait()
    return epoch


def _as_float32(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) if x.dtype.kind == "f" else x
