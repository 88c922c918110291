"""What commands share: their arguments, which values these may have, and the device."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from seen_jax.data.windows import Setting
from seen_jax.errors import refuse
from seen_jax.models.precision import PRODUCTS

HERE, PLAIN = "JAX", "plain PyTorch"
DEVICES = {"cpu": "cpu", "gpu": "cuda"}  # as JAX and PyTorch call their platform


def add_numbers(
    parser: argparse.ArgumentParser,
    least: int = 1,
    text: str = "default: %(default)s",
    **defaults: int,
) -> None:
    """Adds an option --NAME for each name and default: an integer from `least` up."""
    kind = number(int, least, f"an integer of at least {least}")
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=kind, default=default, help=text)


def add_data(
    parser: argparse.ArgumentParser, text: str, dataset: str = "published"
) -> None:
    """Adds --data_dir, with a text on its default, and --dataset."""
    names = ("by_volunteer", "published")
    parser.add_argument("--data_dir", type=Path, help=f"default: simulates {text}")
    parser.add_argument(
        "--dataset", choices=names, default=dataset, help="default: %(default)s"
    )


def add_rounds(parser: argparse.ArgumentParser, rounds: int, seconds: float) -> None:
    add_numbers(parser, rounds=rounds)
    text = "per measurement"
    parser.add_argument("--seconds", type=SECONDS, default=seconds, help=text)


def add_setting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--setting", type=Setting.parse, default=Setting(4, 3))


def add_device(parser: argparse.ArgumentParser) -> None:
    text = "default: %(default)s"
    parser.add_argument("--device", choices=DEVICES, default="cpu", help=text)


def add_precision(parser: argparse.ArgumentParser) -> None:
    text = "here; plain: float32"
    parser.add_argument("--precision", choices=PRODUCTS, default="float32", help=text)


def number(kind: type, least: int, rule: str) -> Callable[[str], float]:
    """Returns an argument type: finite numbers from `least` up, by a rule in words."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"expected {rule}, got {text!r}")
        return value

    return parse


SECONDS = number(float, 0, "seconds, 0 or more")


def check_last_batch(num_clips: int, batch_size: int) -> None:
    """Raises a `UserError` if an epoch of plain PyTorch has a batch of one window."""
    if num_clips % batch_size == 1 or batch_size == 1:
        rule = "no batch of one window, which PyTorch's BatchNorm refuses"
        got = f"{num_clips} clips in batches of {batch_size}"
        refuse("batch_size", rule, got, "choose another")
