"""What a config means: its fields become data, network and optimiser.

A config is a plain dict here, and everything below is given named arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from seen_jax.data.batches import Batches
from seen_jax.data.clips import Clips, hold_out
from seen_jax.data.records import Records, open_records
from seen_jax.data.store import Store, open_store
from seen_jax.data.windows import Setting
from seen_jax.errors import refuse
from seen_jax.models import networks
from seen_jax.models.fast.network import program
from seen_jax.training import augment as augment_lib
from seen_jax.training import fields, freeze, state
from seen_jax.training import loss as loss_lib
from seen_jax.training.optimizer import learning_rate_by_epoch, sgd
from seen_jax.training.step import AXIS, StepFn, train_step_fn


@dataclass(frozen=True)
class Task:
    """What is trained, and on what.

    Attributes:
      config: the fields, also those that are newer than the file it is from.
      model: with the axis of the devices.
      frozen: paths of the parameters that are not trained.
      optimizer, learning_rate: the latter from a step to its rate.
      step: of training, with the model, the optimiser, the loss and what else a
        config says of it (`step.train_step_fn`).
      train: this process's rows of the training batches.
      evaluation: all rows of the batches that epochs are evaluated on.
      split: of `evaluation`: "test", or "validation" where volunteers are held out.
      fingerprints: of the records, by split; with "validation" those of the test are
        unread.
    """

    config: Mapping[str, Any]
    model: nn.Module
    frozen: frozenset[str]
    optimizer: optax.GradientTransformation
    learning_rate: Callable[[int], Any]
    step: StepFn
    train: Batches
    evaluation: Batches
    split: str
    fingerprints: Mapping[str, str]

    @property
    def program(self) -> str:
        """What computes the network: a run is the same bit for bit by the same one."""
        return program(self.model)


def prepare(
    config: Mapping[str, Any],
    train: Batches | None = None,
    evaluation: Batches | None = None,
) -> Task:
    """Opens the data and makes the parts of a training.

    Args:
      config: as `configs/default.py` has it.
      train, evaluation: in place of those that the config says, for one process.

    Raises:
      UserError: a field's value, or the data.
    """
    config = fields.complete(config)
    fields.check(config)
    if train is None:
        share = {"process_index": jax.process_index()}
        share |= {"process_count": jax.process_count()}
        train = open_batches(config, "train", "train", **share)
    split = "validation" if config["select"] == "validation" else "test"
    if evaluation is None:
        evaluation = open_batches(config, split, "eval")
    learning_rate = make_learning_rate(config, len(train))
    model = networks.make(config, len(train.clips.labels), AXIS)
    frozen = frozen_of(config, model)
    optimizer = make_optimizer(config, learning_rate, frozen)
    return Task(
        config=config,
        model=model,
        frozen=frozen,
        optimizer=optimizer,
        learning_rate=learning_rate,
        step=train_step_fn(
            freeze.FrozenNorms(model, frozen) if frozen else model,
            optimizer,
            make_loss(config, train.clips),
            augment_lib.make_augment(
                augment_lib.parse(config["augment"]), config["seed"], len(train)
            ),
        ),
        train=train,
        evaluation=evaluation,
        split=split,
        fingerprints={x.clips.split: x.clips.fingerprint for x in (train, evaluation)},
    )


def make_learning_rate(
    config: Mapping[str, Any], steps_per_epoch: int
) -> optax.Schedule:
    """Returns step -> rate; a cosine falls to 0 after a rise from 0 in a line."""
    initial, decay = config["learning_rate"], config["learning_rate_decay"]
    if config["schedule"] != "cosine":
        by_epoch = {"decay": decay, "steps_per_epoch": steps_per_epoch}
        return learning_rate_by_epoch(initial, **by_epoch)
    epochs = config["warmup_epochs"], config["num_epochs"]
    steps = (count * steps_per_epoch for count in epochs)
    cosine = optax.warmup_cosine_decay_schedule(0.0, initial, *steps)
    return lambda step: cosine(jnp.asarray(step, float))  # as the other one


def frozen_of(config: Mapping[str, Any], model: nn.Module) -> frozenset[str]:
    """Returns the paths of the parameters that a config freezes, as `freeze.match`."""
    if not config["freeze"]:  # which spares the time to trace the network
        return frozenset()
    params = state.shapes(model, config["num_event_frames"])["params"]
    return freeze.match(freeze.sizes_of(params), config["freeze"])


def make_optimizer(
    config: Mapping[str, Any],
    learning_rate: float | optax.Schedule,
    frozen: frozenset[str] = frozenset(),
) -> optax.GradientTransformation:
    momentum, decay = config["momentum"], config["weight_decay"]
    optimizer = sgd(learning_rate, momentum=momentum, weight_decay=decay)
    if config["optimizer"] == "adamw":
        optimizer = optax.adamw(learning_rate, b1=momentum, weight_decay=decay)
    if norm := config["clip_norm"]:  # of all gradients, before the weight decay
        optimizer = optax.chain(optax.clip_by_global_norm(norm), optimizer)
    return freeze.without(optimizer, frozen)


def make_loss(config: Mapping[str, Any], clips: Clips) -> loss_lib.Loss:
    """Returns the loss; `clips` are those of the training, of all processes."""
    weights = None
    if config["class_weights"] == "balanced":
        weights = loss_lib.balanced(clips.label_index, len(clips.labels))
    return loss_lib.make_loss(config["label_smoothing"], weights)


def open_part(config: Mapping[str, Any], split: str) -> Records:
    """Opens the records that have the clips of a split (`open_batches`)."""
    part = "test" if split == "test" else "train"
    records = open_records(config["data_dir"], part, config["dataset"])
    built = records.directory.resolve().parent.name
    if built in fields.OPTIONS["dataset"] and built != config["dataset"]:
        remedy = f"give --config.dataset={built}"
        refuse(records.directory, f"records of {config['dataset']}", built, remedy)
    return records


def open_batches(
    config: Mapping[str, Any],
    split: str,
    purpose: str,
    records: Records | None = None,
    **share: int,
) -> Batches:
    """Opens the clips of a split, decoding them first unless the config says not to.

    Args:
      split: "train", "test", or "validation": where the config holds volunteers out,
        those of the training part; "train" is then the others.
      purpose, **share: as of `Batches`, the latter `process_index` and `_count`.
      records: of `open_part`, where they are open.
    """
    records = open_part(config, split) if records is None else records
    clips, images = records.clips, records
    if config["select"] == "validation" and split != "test":
        train, validation = hold_out(clips, config["validation_volunteers"])
        clips = validation if split == "validation" else train
    if config["images"] != "records":
        images = open_store(records, config["store_dir"] or None, progress=True)
    return batches_of(config, images, clips, purpose, **share)


def batches_of(
    config: Mapping[str, Any],
    images: Store | Records,
    clips: Clips,
    purpose: str,
    **share: int,
) -> Batches:
    """Returns batches of clips and their images, as a run shows them."""
    return Batches(
        images,
        clips,
        Setting(config["num_event_frames"], config["skip"]),
        config["batch_size"],
        config["seed"],
        purpose,
        intensity=config["intensity"],
        **share,
    )
