"""The fields of a config: what each may be, and its value before it existed.

A config is a plain dict here, as `configs/default.py` describes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seen_jax.data.windows import INTENSITIES, Setting
from seen_jax.errors import check_option, refuse
from seen_jax.models import networks, surrogate
from seen_jax.models.precision import PRODUCTS
from seen_jax.models.seen import ATTENTIONS, KERNELS, READOUTS
from seen_jax.protocol import MAX_PASSES
from seen_jax.runtime.seen_runtime import MAX_SPAN, MAX_THRESHOLD
from seen_jax.training import augment
from seen_jax.training.feed import IMAGES
from seen_jax.training.loss import CLASS_WEIGHTS
from seen_jax.training.optimizer import OPTIMIZERS, SCHEDULES
from seen_jax.training.rows import CHOICES

OPTIONS = {  # field: the values it may have
    "dataset": ("published", "by_volunteer"),
    "images": IMAGES,
    "network": networks.NETWORKS,
    "precision": tuple(PRODUCTS),
    "intensity": INTENSITIES,
    "kernels": KERNELS,
    "attention": ATTENTIONS,
    "readout": tuple(READOUTS),
    "surrogate": tuple(surrogate.SURROGATES),
    "class_weights": CLASS_WEIGHTS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "select": tuple(CHOICES),
}
MOST = 10**9  # of what is counted
MOST_REAL = 1e38  # what float32 holds
RANGES = {  # field: the least and the most it may be
    "num_event_frames": (1, MAX_SPAN),
    "skip": (0, MAX_SPAN),
    "seed": (0, 2**63 - 1),
    "validation_volunteers": (-MOST, MOST),  # the records say how many
    "batch_size": (1, MOST),
    "num_epochs": (1, MOST),
    "decay": (0, 1),
    "threshold": (0, MAX_THRESHOLD),  # below it, a neuron would fire without a current
    "surrogate_width": (0, MOST_REAL),
    "learning_rate": (0, MOST_REAL),
    "learning_rate_decay": (1e-9, MOST_REAL),  # 1 keeps it; at 0 nothing is learned
    "warmup_epochs": (0, MOST),
    "momentum": (0, 1),
    "weight_decay": (0, MOST_REAL),
    "clip_norm": (0, MOST_REAL),
    "label_smoothing": (0, 0.99),  # at 1 the labels would not matter
    "eval_every": (1, MOST),
    "eval_passes": (1, MAX_PASSES),
    "checkpoint_every": (1, MOST),
}
REALS = {
    "decay", "threshold", "surrogate_width", "learning_rate", "learning_rate_decay",
    "momentum", "weight_decay", "clip_norm", "label_smoothing",
}  # fmt: skip
TEXTS = {  # field: what it is
    "data_dir": "the path of a folder",
    "store_dir": "the path of a folder",
    "init_from": "the path of a run, a bundle or a .pth file",
    "freeze": "patterns of parameters' paths, with commas between",
    "augment": "kinds and amounts, such as 'shift=4,contrast=0.2'",
}
FIELDS = (*OPTIONS, *RANGES, *TEXTS)
# The value for runs that are older than the field.
BEFORE = {
    "init_from": "",
    "freeze": "",
    "augment": "",
    "network": "seen",
    "decay": 0.2,
    "threshold": 0.3,
    "surrogate_width": 0.0,
    "optimizer": "sgd",
    "schedule": "published",
    "warmup_epochs": 1,
    "clip_norm": 0.0,
    "label_smoothing": 0.0,
    "class_weights": "equal",
}


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a config with the fields that came later than it did."""
    return {**BEFORE, **config}


def check(config: Mapping[str, Any]) -> None:
    """Raises a UserError that names the first field that is missing or wrong."""
    for name in FIELDS:
        if name not in config:
            refuse(name, "a value, as in configs/default.py", "none")
    for name, known in OPTIONS.items():
        check_option(name, config[name], known)
    for name, limits in RANGES.items():
        _check_number(name, config[name], *limits)
    for name, rule in TEXTS.items():
        if not isinstance(config[name], str):
            refuse(name, rule, repr(config[name]))
    augment.parse(config["augment"])
    networks.check(config)
    surrogate.named(config["surrogate"], config["surrogate_width"])
    span = Setting(config["num_event_frames"], config["skip"]).span
    if span > MAX_SPAN:
        rule = f"windows of at most {MAX_SPAN} frames from first to last"
        refuse("skip", rule, span, "give a smaller one, or fewer num_event_frames")
    warmup, num_epochs = config["warmup_epochs"], config["num_epochs"]
    if config["schedule"] == "cosine" and warmup >= num_epochs:
        remedy = "give --config.warmup_epochs=0, or raise num_epochs"
        refuse("warmup_epochs", f"less than num_epochs, {num_epochs}", warmup, remedy)


def _check_number(name: str, value: Any, least: float, most: float) -> None:
    kind = (int, float) if name in REALS else int
    if isinstance(value, bool) or not isinstance(value, kind):
        rule = "a number" if name in REALS else "a whole number"
        refuse(name, rule, repr(value))
    if not least <= value <= most:  # nan fails too
        refuse(name, f"{least} to {most}", value)
