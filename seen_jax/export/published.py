"""A published checkpoint -> the folder of a run, for eval.py and for fine-tuning.

Note: such a file does not name its classes or its data, so the classes are taken to be
those of the records that the config names, in their order.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from seen_jax import files
from seen_jax.data.records import open_records
from seen_jax.errors import UserError, refuse
from seen_jax.evaluation.restored import check_fits
from seen_jax.export import torch_files
from seen_jax.export.convert import variables_from_torch
from seen_jax.models import networks
from seen_jax.training import fields, setup, state, workdir
from seen_jax.training.checkpoint import Checkpoints


def import_checkpoint(
    path: str | os.PathLike, folder: str | os.PathLike, config: Mapping[str, Any]
) -> int:
    """Makes a run whose step 0 has the weights of a published checkpoint.

    The optimiser begins at rest.

    Args:
      path: `save_<epoch>.pth`, its state_dict alone, or one of DataParallel; it need
        not be trusted.
      config: of the network that was trained and its records, and for fine-tuning it.

    Returns:
      The epoch that the file names, 0 if it names none.

    Raises:
      UserError: the file is not such a checkpoint (lists every entry that is missing,
        unknown or misshapen), the config is of another network, there are no records,
        or the folder has something in it or cannot be written.
    """
    folder = Path(folder)
    files.check_free(folder)
    config = fields.complete(config)
    fields.check(config)
    for name, value, rule in (
        ("network", "seen", "'seen', which such a file holds"),
        ("select", "last", "'last', since no epoch of these weights was evaluated"),
        ("init_from", "", "none, since weights are imported"),
    ):
        if config[name] != value:
            refuse(name, rule, repr(config[name]))
    variables, epoch = read_variables(path)
    labels = open_records(config["data_dir"], "train", config["dataset"]).clips.labels
    model = networks.make(config, len(labels))
    check_fits(path, model, config, variables)
    frozen = setup.frozen_of(config, model)
    optimizer = setup.make_optimizer(config, lambda step: 0.0, frozen)
    imported = state.TrainState(
        step=np.zeros((), np.int32),
        **variables,
        opt_state=jax.device_get(optimizer.init(variables["params"])),
    )
    facts = {"config": config, "labels": list(labels), "git": "elsewhere"}
    facts |= {"records": {}, "epoch": epoch, "epoch_so_far": {}}
    origin = {"file": Path(path).name, "epoch": epoch}
    with workdir.claimed(folder):
        workdir.check_config(folder, config, {}, imported=origin)
        with contextlib.closing(Checkpoints(folder)) as checkpoints:
            checkpoints.save(imported, facts)
            checkpoints.wait()
    return epoch


def read_variables(path: str | os.PathLike) -> tuple[dict[str, Any], int]:
    """Reads a published checkpoint: float32 variables of `SEEN`, and the epoch.

    Arguments and errors are those of `import_checkpoint` that concern the file.
    """
    state_dict, epoch = torch_files.read_checkpoint(path)
    try:
        variables = variables_from_torch(state_dict)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    floats = jax.tree.map(
        lambda x: x.astype(np.float32) if x.dtype.kind == "f" else x, variables
    )
    return floats, epoch
