"""Measurements side by side: python -m seen_jax.benchmarks COMMAND [--help].

A command's module has `measure(args)`, whose result is what --json prints,
`to_text(result)` and perhaps `plot(path, result)`.
"""

import argparse
import contextlib
import importlib
import json
import math
from pathlib import Path

from absl import logging

from seen_jax import see
from seen_jax.data.windows import Setting
from seen_jax.errors import UserError, run_command
from seen_jax.export.torch_files import not_installed
from seen_jax.files import check_file
from seen_jax.models.precision import PRODUCTS
from seen_jax.protocol import NUM_PASSES

E4_S3 = Setting(4, 3)
NETWORK = {"device": "cpu", "precision": "float32", "setting": E4_S3, "batch_size": 32}
PAIR = NETWORK | {"workdir": None, "rounds": 15, "seconds": 1.0}
DATA = {"data_dir": None, "dataset": "published"}
GROWTH = ["frames", "batch", "predicted", "clips", "devices"]

# Command: what it measures. Its module has its name, or is `side_by_side`.
COMMANDS = {
    "step": "a step of training, against plain PyTorch",
    "forward": "predicting a batch, against plain PyTorch",
    "latency": "predicting one window, against plain PyTorch",
    "epochs": "a whole training and evaluation from the device's memory",
    "scale": "a step of training, by frames, batch, clips and devices",
    "runtime": "a bundle's programs and a plain network, one window at a time",
    "spikes": "a window's time by spike rate, the kernel in C beside dense programs",
    "data": "windows per second from the store, the records and plain Pillow",
    "evaluation": "seconds of an evaluation of a run, by stage",
    "adapt": "WAR of people whom a run is adapted to, by the number of their clips",
    "torch_training": "accuracy after the same training in JAX and in plain PyTorch",
}
OF_TWO = {  # what `side_by_side` measures: its options and their defaults
    "step": PAIR | {"devices": 1, "clips": 0},
    "forward": PAIR,
    "latency": PAIR | {"batch_size": 1},
}
OF_ONE = {
    "epochs": NETWORK
    | {"setting": [E4_S3], "train_clips": 1638, "test_clips": 767, "epochs": 180}
    | {"passes": NUM_PASSES, "rounds": 3, "ceiling_size": 4096},
    "scale": {"only": GROWTH, "device": "cpu", "rounds": 5, "seconds": 1.0},
    "runtime": {"bundle": None, **DATA, "backends": None, "rounds": 15, "seconds": 0.5}
    | {"seconds_at_30": 60.0},
    "spikes": {"bundle": None, **DATA, "rounds": 15, "seconds": 0.25},
    "data": DATA
    | {"setting": E4_S3, "clips": see.NUM_CLIPS, "rounds": 7, "seconds": 1.0},
    "evaluation": {"workdir": None, "split": "test", "passes": NUM_PASSES},
    "adapt": {"run": None, "wearers": None, "most": 3, "draws": 2, "passes": 3}
    | {"data_dir": None},
    "torch_training": {"data_dir": None, "dataset": "by_volunteer", "setting": E4_S3}
    | {"batch_size": 8, "epochs": 10, "seeds": 3, "passes": NUM_PASSES},
}
FOLDER = {"type": Path}
WEARERS = "a SEE folder of people whom the run has not seen; default: its test split"
FEW = "at the published 32, 10 epochs of so few clips are too few steps to leave chance"
OPTIONS = {  # of every command that has it, or of one
    "backends": {"nargs": "+", "help": "default: all of the bundle's formats"},
    "bundle": FOLDER | {"required": True},
    "ceiling_size": {"help": "rows of a product"},
    "data_dir": FOLDER | {"help": "default: simulates some clips"},
    "adapt data_dir": {"help": "where RUN's records are; default: there"},
    "data clips": {"least": 0, "help": "of the drawn store, 2 GB; 0: the data's own"},
    "step clips": {"least": 0, "help": "in the device's memory; 0: the batch is sent"},
    "dataset": {"choices": ("by_volunteer", "published")},
    "device": {"choices": ("cpu", "gpu")},
    "devices": {"help": "of the CPU, virtual"},
    "epochs epochs": {"least": 2},
    "most": {"help": "the most clips of a label that are adapted to"},
    "only": {"nargs": "+", "choices": GROWTH},
    "precision": {"choices": PRODUCTS, "help": "here; plain: float32"},
    "run": FOLDER | {"required": True, "help": "folder of a run"},
    "seconds": {"help": "per measurement"},
    "seconds_at_30": {"help": "of a replay at 30 frames/s"},
    "setting": {"type": Setting.parse},
    "epochs setting": {"type": Setting.parse, "nargs": "+"},
    "torch_training batch_size": {"help": FEW},
    "wearers": FOLDER | {"help": WEARERS},
    "workdir": FOLDER | {"help": "a run, whose weights and training clips are taken"},
    "evaluation workdir": FOLDER | {"required": True, "help": "folder of a run"},
}


def add_option(parser, command: str, name: str, default) -> None:
    """Adds an option: an integer, seconds, or what `OPTIONS` says."""
    given = dict(OPTIONS.get(f"{command} {name}", OPTIONS.get(name, {})))
    least = given.pop("least", 1)
    if isinstance(default, int):
        given["type"] = number(int, least, f"an integer of at least {least}")
    if isinstance(default, float):
        given["type"] = number(float, 0, "seconds, 0 or more")
    if default is not None:
        texts = given.get("help"), "default: %(default)s"
        given["help"] = "; ".join(filter(None, texts))
    parser.add_argument(f"--{name}", default=default, **given)


def number(kind: type, least: int, rule: str):
    """Returns an argument type: finite numbers from `least` up, by a rule in words."""

    def parse(text):
        with contextlib.suppress(ValueError):
            if least <= (value := kind(text)) < math.inf:
                return value
        raise argparse.ArgumentTypeError(f"expected {rule}, got {text!r}")

    return parse


def main(argv: list[str] | None = None) -> int:
    """Measures and prints; returns 1 if a part of the measurement failed."""
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.benchmarks",
        description="Measures this program side by side with a plain one.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, options in (OF_TWO | OF_ONE).items():
        what = COMMANDS[name]
        one = commands.add_parser(name, help=what, description=f"Measures {what}.")
        for option, default in options.items():
            add_option(one, name, option, default)
        one.add_argument("--json", action="store_true")
        if name in ("spikes", "adapt"):
            one.add_argument("--plot", type=Path, metavar="FILE.png")
    args = parser.parse_args(argv)
    if getattr(args, "plot", None) is not None:
        check_file(args.plot, "--plot")
    logging.set_verbosity(logging.ERROR)  # Orbax warns that a run is only read
    try:  # each command has its own dependencies: the model's run without grain
        module = "side_by_side" if args.command in OF_TWO else args.command
        command = importlib.import_module(f"seen_jax.benchmarks.{module}")
        result = command.measure(args)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "onnxruntime"):
            raise
        raise UserError(not_installed(error.name)) from None
    if getattr(args, "plot", None) is not None:
        command.plot(args.plot, result)
    print(json.dumps(result, indent=1) if args.json else command.to_text(result))
    return int("failed" in result)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
