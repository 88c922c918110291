"""Measurements side by side: python -m seen_jax.benchmarks COMMAND [--help].

A command is a module with `add_arguments(parser)`, `measure(args)`, whose result is
what --json prints, `to_text(result)` and perhaps `plot(path, result)`.
"""

import argparse
import importlib
import json
from pathlib import Path

from absl import logging

from seen_jax.errors import UserError, run_command

COMMANDS = {  # command: what it measures
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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.benchmarks",
        description="Measures this program side by side with a plain one.",
        epilog="\n".join(f"{name:15} {what}" for name, what in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    args = parser.parse_args(argv)
    logging.set_verbosity(logging.ERROR)  # Orbax warns that a run is only read
    try:
        return run(args.command, args.arguments)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "onnxruntime"):
            raise
        remedy = "run python -m pip install -r requirements-export.txt"
        raise UserError(f"{error.name} is not installed; {remedy}") from None


def run(name: str, arguments: list[str]) -> int:
    """Measures and prints; returns 1 if a part of the measurement failed."""
    module = "side_by_side" if name in ("step", "forward", "latency") else name
    # Each command has its own dependencies: the model's run without grain.
    command = importlib.import_module(f"seen_jax.benchmarks.{module}")
    prog = f"python -m seen_jax.benchmarks {name}"
    what = f"Measures {COMMANDS[name]}."
    parser = argparse.ArgumentParser(prog=prog, description=what)
    parser.set_defaults(command=name)
    command.add_arguments(parser)
    parser.add_argument("--json", action="store_true")
    if hasattr(command, "plot"):
        parser.add_argument("--plot", type=Path, metavar="FILE.png")
    args = parser.parse_args(arguments)
    result = command.measure(args)
    if getattr(args, "plot", None) is not None:
        command.plot(args.plot, result)
    print(json.dumps(result, indent=1) if args.json else command.to_text(result))
    return int("failed" in result)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
