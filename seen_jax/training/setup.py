"""What a config means: its fields become data, network and optimiser.

A config is a plain dict here, and everything below is given named arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import optax
from flax import linen as nn

from seen_jax.data.batches import Batches
from seen_jax.data.clips import hold_out
from seen_jax.data.records import open_records
from seen_jax.data.store import open_store
from seen_jax.data.windows import INTENSITIES, Setting
from seen_jax.errors import check_option, refuse
from seen_jax.models import surrogate
from seen_jax.models.fast.network import network, program
from seen_jax.models.lif import LIF
from seen_jax.models.precision import PRODUCTS
from seen_jax.models.seen import ATTENTIONS, KERNELS, READOUTS
from seen_jax.training.feed import IMAGES
from seen_jax.training.optimizer import learning_rate_by_epoch, sgd
from seen_jax.training.rows import CHOICES

OPTIONS = {  # field: the values it may have
    "dataset": ("published", "by_volunteer"),
    "images": IMAGES,
    "precision": tuple(PRODUCTS),
    "intensity": INTENSITIES,
    "kernels": KERNELS,
    "attention": ATTENTIONS,
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
    "learning_rate_decay": 1e-9,  # 1 keeps the rate; at 0 nothing is learned
    "momentum": 0,
    "weight_decay": 0,
    "eval_every": 1,
    "eval_passes": 1,
    "checkpoint_every": 1,
}
FRACTIONS = ("learning_rate", "learning_rate_decay", "momentum", "weight_decay")
FIELDS = (*OPTIONS, *LEAST, "data_dir", "store_dir", "validation_volunteers")


@dataclass(frozen=True)
class Task:
    """What is trained, and on what.

    Attributes:
      config: the fields.
      model: with the axis of the devices.
      optimizer, learning_rate: the latter from a step to its rate.
      train: this process's rows of the training batches.
      evaluation: all rows of the batches that epochs are evaluated on.
      split: of `evaluation`: "test", or "validation" where volunteers are held out.
    """

    config: Mapping[str, Any]
    model: nn.Module
    optimizer: optax.GradientTransformation
    learning_rate: Callable[[int], Any]
    train: Batches
    evaluation: Batches
    split: str

    @property
    def program(self) -> str:
        """What computes the network: a run is the same bit for bit by the same one."""
        return program(self.model)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the records, by split; with "validation" those of the test are unread."""
        both = (self.train.clips, self.evaluation.clips)
        return {clips.split: clips.fingerprint for clips in both}


def prepare(config: Mapping[str, Any], axis_name: str) -> Task:
    """Opens the data and makes the parts of a training.

    Args:
      config: as `configs/default.py` has it.
      axis_name: of the devices.

    Raises:
      UserError: a field's value, or the data.
    """
    check_config(config)
    split = "validation" if config["select"] == "validation" else "test"
    processes = jax.process_index(), jax.process_count()
    train = open_batches(config, "train", "train", *processes)
    evaluation = open_batches(config, split, "eval")
    learning_rate = learning_rate_by_epoch(
        config["learning_rate"],
        decay=config["learning_rate_decay"],
        steps_per_epoch=len(train),
    )
    return Task(
        config=config,
        model=make_model(config, len(train.clips.labels), axis_name),
        optimizer=make_optimizer(config, learning_rate),
        learning_rate=learning_rate,
        train=train,
        evaluation=evaluation,
        split=split,
    )


def check_config(config: Mapping[str, Any]) -> None:
    """Raises a UserError that names the first field that is missing or wrong."""
    for name in FIELDS:
        if name not in config:
            refuse(name, "a value, as in configs/default.py", "none")
    for name, known in OPTIONS.items():
        check_option(name, config[name], known)
    for name, least in LEAST.items():
        value = config[name]
        kind = (int, float) if name in FRACTIONS else int
        if isinstance(value, bool) or not isinstance(value, kind):
            rule = "a number" if name in FRACTIONS else "a whole number"
            refuse(name, rule, repr(value))
        if not least <= value < math.inf:  # nan fails too
            refuse(name, f"{least} or more", value)
    for name in ("data_dir", "store_dir"):
        if not isinstance(config[name], str):
            refuse(name, "the path of a folder", repr(config[name]))
    if type(config["validation_volunteers"]) is not int:
        value = config["validation_volunteers"]
        refuse("validation_volunteers", "a whole number", repr(value))
    if config["seed"] >= 2**63:
        refuse("seed", "less than 2**63", config["seed"])


def make_model(
    config: Mapping[str, Any], num_classes: int, axis_name: str | None = None
) -> nn.Module:
    """Returns the network that a config describes."""
    return network(
        num_classes=num_classes,
        intensity=config["intensity"],
        kernels=config["kernels"],
        attention=config["attention"],
        readout=config["readout"],
        precision=config["precision"],
        neuron=LIF(surrogate=getattr(surrogate, config["surrogate"])),
        axis_name=axis_name,
    )


def make_optimizer(
    config: Mapping[str, Any], learning_rate: float | optax.Schedule
) -> optax.GradientTransformation:
    momentum, weight_decay = config["momentum"], config["weight_decay"]
    return sgd(learning_rate, momentum=momentum, weight_decay=weight_decay)


def open_batches(
    config: Mapping[str, Any],
    split: str,
    purpose: str,
    process_index: int = 0,
    process_count: int = 1,
) -> Batches:
    """Opens the clips of a split, decoding them first unless the config says not to.

    Args:
      config: of the run.
      split: "train", "test", or "validation": where the config holds volunteers out,
        those of the training part; "train" is then the others.
      purpose, process_index, process_count: as of `Batches`.
    """
    part = "test" if split == "test" else "train"
    records = open_records(config["data_dir"], part, config["dataset"])
    built = records.directory.resolve().parent.name
    if built in OPTIONS["dataset"] and built != config["dataset"]:
        remedy = f"give --config.dataset={built}"
        refuse(records.directory, f"records of {config['dataset']}", built, remedy)
    clips, images = records.clips, records
    if config["select"] == "validation" and split != "test":
        train, validation = hold_out(clips, config["validation_volunteers"])
        clips = validation if split == "validation" else train
    if config["images"] != "records":
        images = open_store(records, config["store_dir"] or None, progress=True)
    return Batches(
        images,
        clips,
        Setting(config["num_event_frames"], config["skip"]),
        config["batch_size"],
        config["seed"],
        purpose,
        intensity=config["intensity"],
        process_index=process_index,
        process_count=process_count,
    )
