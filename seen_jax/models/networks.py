"""The name of a network in a config -> the function that makes it.

`README.md` beside this file says what a network is called with and what it returns.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from flax import linen as nn

from seen_jax.errors import refuse
from seen_jax.models import surrogate as surrogates
from seen_jax.models.baselines import CNN, CNN3D, LSTM, Transformer
from seen_jax.models.fast.network import fastest, network
from seen_jax.models.lif import LIF

# Of a network's parameters, those that are not fields of a config.
GIVEN = ("num_classes", "axis_name", "stem", "parent", "name")


def seen(
    *,
    num_classes: int,
    axis_name: str | None = None,
    intensity: str = "first_and_last",
    kernels: str = "copied",
    attention: str = "copied",
    readout: str = "mean_membrane",
    decay: float = LIF.decay,
    threshold: float = LIF.threshold,
    surrogate: str = "rectangle",
    surrogate_width: float = 0.0,
    precision: str = "float32",
) -> nn.Module:
    """Returns SEEN, by the fastest way there is for these fields; see `seen.SEEN`."""
    derivative = surrogates.named(surrogate, surrogate_width)
    return network(
        precision,
        num_classes=num_classes,
        axis_name=axis_name,
        intensity=intensity,
        kernels=kernels,
        attention=attention,
        readout=readout,
        neuron=LIF(decay, threshold, derivative),
    )


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "seen": seen,
    "cnn": CNN,
    "lstm": LSTM,
    "transformer": Transformer,
    "cnn3d": CNN3D,
}


def fields_of(name: str) -> dict[str, Any]:
    """Returns the config's fields that a network reads, with their defaults.

    They are its parameters, except those of `GIVEN`.
    """
    parameters = inspect.signature(NETWORKS[name]).parameters
    return {x: y.default for x, y in parameters.items() if x not in GIVEN}


def make(
    config: Mapping[str, Any], num_classes: int, axis_name: str | None = None
) -> nn.Module:
    """Returns the network that a config names, with the fields that it reads."""
    fields = {name: config[name] for name in fields_of(config["network"])}
    make_one = NETWORKS[config["network"]]
    if "stem" in inspect.signature(make_one).parameters:
        fields["stem"] = fastest()
    return make_one(num_classes=num_classes, axis_name=axis_name, **fields)


def check(config: Mapping[str, Any]) -> None:
    """Raises a UserError if a field is missing, or set where the network has none."""
    name = config["network"]
    reads = fields_of(name)
    for field in reads.keys() - config.keys():
        rule, remedy = f"a value, which network {name} reads", "add it to the config"
        refuse(field, rule, "none", remedy)
    for field, default in fields_of("seen").items():
        if field not in reads and config[field] != default:
            rule = f"{default!r}, since network {name} has no such field"
            refuse(field, rule, repr(config[field]), f"leave out --config.{field}")


def captures(model: nn.Module) -> bool:
    """Whether a network shows its attention and spikes, by a `capture.Capture`."""
    return "capture" in inspect.signature(type(model).__call__).parameters


def in_words(config: Mapping[str, Any]) -> str:
    """Names the network of a config, and its fields that differ from the default."""
    name = config["network"]
    changed = [
        f"{field} {config[field]}"
        for field, default in fields_of(name).items()
        if config[field] != default
    ]
    return ", ".join([name, *changed])
