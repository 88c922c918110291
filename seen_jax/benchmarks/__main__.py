"""Measurements side by side: python -m seen_jax.benchmarks COMMAND [--help].

A command's module has `measure(args)`, whose result is what --json prints,
`to_text(result)` and perhaps `plot(path, result)`.
"""

import argparse
import contextlib
import importlib
import json
import math
from functools import partial
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
PAIR = {  # commands of `side_by_side`; the module of others has their name
    "step": "a step of training",
    "forward": "predicting a batch",
    "latency": "predicting one window",
}
GROWTH = ["frames", "batch", "predicted", "clips", "devices"]


def add_commands(commands) -> None:
    """Adds the commands and their options to a parser's subparsers."""

    def new(name, what, **counts):
        parser = commands.add_parser(name, help=what, description=f"Measures {what}.")
        parser.add_argument("--json", action="store_true")
        if name in ("spikes", "adapt"):
            parser.add_argument("--plot", type=Path, metavar="FILE.png")
        for option, default in counts.items():
            add_option(parser, option, default)
        return partial(add_option, parser)

    def add_network(add, batch_size):
        add("device", "cpu", choices=("cpu", "gpu"))
        add("precision", "float32", "here; plain: float32", choices=PRODUCTS)
        add("batch_size", batch_size)

    def add_data(add, dataset="published"):
        add("data_dir", None, "default: simulates some clips")
        add("dataset", dataset, choices=("by_volunteer", "published"))

    for name, what in PAIR.items():
        add = new(name, f"{what}, against plain PyTorch", rounds=15)
        add_network(add, 1 if name == "latency" else 32)
        add("setting", E4_S3)
        add("workdir", None, "a run, whose weights and training clips are taken")
        add("seconds", 1.0, "per measurement")
        if name == "step":
            add("devices", 1, "of the CPU, virtual")
            add("clips", 0, "in the device's memory; 0: the batch is sent", least=0)

    what = "a whole training and evaluation from the device's memory"
    shown = {"train_clips": 1638, "test_clips": 767, "passes": NUM_PASSES}
    add = new("epochs", what, rounds=3, **shown)
    add_network(add, 32)
    add("setting", [E4_S3], type=Setting.parse, nargs="+")
    add("epochs", 180, least=2)
    add("ceiling_size", 4096, "rows of a product")

    what = "a step of training, by frames, batch, clips and devices"
    add = new("scale", what, rounds=5)
    add("seconds", 1.0, "per measurement")
    add("only", GROWTH, nargs="+", choices=GROWTH)
    add("device", "cpu", choices=("cpu", "gpu"))

    what = "a bundle's programs and a plain network, one window at a time"
    add = new("runtime", what, rounds=15)
    add("seconds", 0.5, "per measurement")
    add("bundle", required=True)
    add_data(add)
    add("backends", None, "default: all of the bundle's formats", type=str, nargs="+")
    add("seconds_at_30", 60.0, "of a replay at 30 frames/s")

    what = "a window's time by spike rate, the kernel in C beside dense programs"
    add = new("spikes", what, rounds=15)
    add("seconds", 0.25, "per measurement")
    add("bundle", required=True)
    add_data(add)

    what = "windows per second from the store, the records and plain Pillow"
    add = new("data", what, rounds=7)
    add("seconds", 1.0, "per measurement")
    add_data(add)
    add("setting", E4_S3)
    add("clips", see.NUM_CLIPS, "of the drawn store, 2 GB; 0: the data's own", least=0)

    what = "seconds of an evaluation of a run, by stage"
    add = new("evaluation", what, passes=NUM_PASSES)
    add("workdir", None, "folder of a run", required=True)
    add("split", "test")

    what = "WAR of people whom a run is adapted to, by the number of their clips"
    add = new("adapt", what, draws=2, passes=3)
    add("run", None, "folder of a run", required=True)
    add("wearers", None, "a SEE folder of new people; default: the run's test split")
    add("most", 3, "the most clips of a label that are adapted to")
    add("data_dir", None, "where RUN's records are; default: there")

    what = "accuracy after the same training in JAX and in plain PyTorch"
    add = new("torch_training", what, epochs=10, seeds=3, passes=NUM_PASSES)
    add_data(add, "by_volunteer")
    add("setting", E4_S3)
    add("batch_size", 8, "at the published 32, so few clips are too few steps")


def add_option(parser, name: str, default=None, text="", least=1, **given) -> None:
    """Adds an option, whose type follows from its default if `given` has none."""
    if default is None:
        given = {"type": Path} | given
    elif isinstance(default, int):
        given["type"] = number(int, least, f"an integer of at least {least}")
    elif isinstance(default, float):
        given["type"] = number(float, 0, "seconds, 0 or more")
    elif isinstance(default, Setting):
        given["type"] = Setting.parse
    if default is not None:
        text = "; ".join(filter(None, (text, "default: %(default)s")))
    parser.add_argument(f"--{name}", default=default, help=text, **given)


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
    add_commands(commands)
    args = parser.parse_args(argv)
    if getattr(args, "plot", None) is not None:
        check_file(args.plot, "--plot")
    logging.set_verbosity(logging.ERROR)  # Orbax warns that a run is only read
    try:  # each command has its own dependencies: the model's run without grain
        module = "side_by_side" if args.command in PAIR else args.command
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
