"""What a config means: its fields become data, model and optimiser.

Below this file arguments have names; the ConfigDict ends here. What a reader would get
wrong: with `select = "validation"` the test split is not opened at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import ml_collections
import optax

from seen_jax.data.batches import Batches, Stream
from seen_jax.data.holdout import Part, hold_out
from seen_jax.data.records import open_records
from seen_jax.data.store import Store, open_store
from seen_jax.data.windows import INTENSITIES, Setting, intensity_places
from seen_jax.errors import check_option
from seen_jax.models import surrogate
from seen_jax.models.fast.network import network
from seen_jax.models.lif import LIF
from seen_jax.models.precision import PRODUCTS
from seen_jax.models.seen import COPIES, READOUTS, SEEN
from seen_jax.training import hosts, resident
from seen_jax.training.checkpoint import CHOICES
from seen_jax.training.optimizer import learning_rate_by_epoch, sgd

OPTIONS = {  # field: the values it may have
    "dataset": ("published", "by_volunteer"),
    "images": ("auto", "device", "store", "records"),
    "precision": tuple(PRODUCTS),
    "intensity": INTENSITIES,
    "kernels": COPIES,
    "attention": COPIES[:2],
    "readout": tuple(READOUTS),
    "surrogate": ("rectangle", "triangle", "arctan", "fast_sigmoid"),
    "select": tuple(CHOICES),
}
LEAST = {  # field: the least value it may have
    "num_event_frames": 1,
    "skip": 0,
    "seed": 0,
    "batch_size": 1,
    "num_epochs": 1,
    "learning_rate": 0,
    "learning_rate_decay": 0,
    "momentum": 0,
    "weight_decay": 0,
    "eval_every": 1,
    "eval_passes": 1,
    "checkpoint_every": 1,
}


@dataclass(frozen=True)
class Task:
    """What is trained, and on what.

    Attributes:
      config: the fields, as a plain dict.
      setting: frames of a window.
      model: with the axis of the devices.
      optimizer, learning_rate: the latter from a step to its rate.
      train: this process's rows of the training batches.
      evaluation: all rows of the batches that epochs are evaluated on.
      frames: of the train and the evaluation clips, on the devices; None where batches
        are made by this process, and before `placed`.
      split: "test", or "validation" where volunteers are held out.
      source: "simulated" or "real".
      fingerprints: of the records, by split.
    """

    config: dict[str, Any]
    setting: Setting
    model: SEEN
    optimizer: optax.GradientTransformation
    learning_rate: Callable[[int], Any]
    train: Batches
    evaluation: Batches
    frames: tuple[resident.Frames, resident.Frames] | None
    split: str
    source: str
    fingerprints: dict[str, str]


def check_config(config: ml_collections.ConfigDict) -> None:
    """Raises a ValueError that names the first field with a value it may not have."""
    for name, known in OPTIONS.items():
        check_option(name, config[name], known)
    for name, least in LEAST.items():
        if not (config[name] >= least and config[name] < math.inf):  # nan fails too
            raise ValueError(f"{name}: expected {least} or more, got {config[name]}")
    if config.seed >= 2**63:
        raise ValueError(f"seed: expected less than 2**63, got {config.seed}")


def make_model(config: ml_collections.ConfigDict, axis_name: str | None = None) -> SEEN:
    """Returns the network that a config describes."""
    return network(
        intensity=config.intensity,
        kernels=config.kernels,
        attention=config.attention,
        readout=config.readout,
        precision=config.precision,
        neuron=LIF(surrogate=getattr(surrogate, config.surrogate)),
        axis_name=axis_name,
    )


def open_images(
    config: ml_collections.ConfigDict, split: str, progress: bool = True
) -> Store | Stream:
    """Opens `train` or `test`, decoding it first but where the config asks not to."""
    records = open_records(config.data_dir, split, config.dataset)
    if config.images == "records":
        return Stream(records)
    return open_store(records, config.store_dir or None, progress=progress)


def open_parts(
    config: ml_collections.ConfigDict,
) -> tuple[Store | Stream | Part, Store | Stream | Part]:
    """Returns the clips to train on, and those to evaluate epochs on."""
    train = open_images(config, "train")
    if config.select == "validation":
        return hold_out(train, config.validation_volunteers)
    return train, open_images(config, "test")


def place_frames(
    config: ml_collections.ConfigDict, *providers: Store | Stream | Part
) -> tuple[resident.Frames, ...] | None:
    """Copies what batches are made of to the devices, if the config wants it there.

    Every process calls this, since all decide alike.

    Returns:
      Frames for each provider (one copy if they share a store); None where batches are
      to be made on the host, because the config says so or a device has no room.
    """
    if config.images in ("store", "records"):
        return None
    stores = [x.store for x in providers]
    files = {store.path: store for store in stores}
    num_bytes = sum(2 * store.event_frames.nbytes for store in files.values())
    if config.images == "auto" and not hosts.everywhere(resident.has_room(num_bytes)):
        return None
    placed = {
        path: resident.place(store.event_frames, store.intensity_frames)
        for path, store in files.items()
    }
    return tuple(placed[store.path] for store in stores)


def placed(task: Task) -> Task:
    """Returns the task with `frames`; every process calls this, with one config."""
    providers = task.train.provider, task.evaluation.provider
    config = ml_collections.ConfigDict(task.config)
    return replace(task, frames=place_frames(config, *providers))


def prepare(config: ml_collections.ConfigDict, axis_name: str) -> Task:
    """Opens the data and makes the parts of a training.

    Args:
      config: as `configs/default.py` has it.
      axis_name: of the devices.

    Raises:
      ValueError: a field's value.
      OSError: the data.
    """
    check_config(config)
    model = make_model(config, axis_name)
    setting = Setting(config.num_event_frames, config.skip)
    kept, evaluated = open_parts(config)
    places = intensity_places(config.intensity, config.num_event_frames)
    shared = (setting, config.batch_size, config.seed)
    train = Batches(
        kept,
        *shared,
        "train",
        jax.process_index(),
        jax.process_count(),
        intensity_places=places,
    )
    learning_rate = learning_rate_by_epoch(
        config.learning_rate,
        decay=config.learning_rate_decay,
        steps_per_epoch=len(train),
    )
    whole = [open_records(config.data_dir, "train", config.dataset)]
    validation = config.select == "validation"
    whole += [] if validation else [evaluated.records]
    return Task(
        config=config.to_dict(),
        setting=setting,
        model=model,
        optimizer=sgd(
            learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
        ),
        learning_rate=learning_rate,
        train=train,
        evaluation=Batches(evaluated, *shared, "eval", intensity_places=places),
        frames=None,
        split="validation" if validation else "test",
        source=whole[0].source,
        fingerprints={records.split: records.fingerprint for records in whole},
    )
