"""Measurements side by side: python -m seen_jax.benchmarks COMMAND [--help]."""

import argparse
import importlib
import sys

COMMANDS = {
    "step": "a step of training, against plain PyTorch",
    "forward": "predicting a batch, against plain PyTorch",
    "latency": "predicting one window, against plain PyTorch",
    "epochs": "a whole training and evaluation from the device's memory",
    "scale": "a step of training, by frames, batch, clips and devices",
    "runtime": "a bundle's programs and a plain network, one window at a time",
    "data": "windows per second from the store, the records and plain Pillow",
    "evaluation": "seconds of an evaluation of a run, stage by stage",
    "torch_training": "WAR after the same training in JAX and in plain PyTorch",
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
    try:
        # Each command has its own dependencies: the model's run without grain.
        command = importlib.import_module(f"seen_jax.benchmarks.{args.command}")
        return command.main(args.arguments)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "onnxruntime"):
            raise
        print(
            f"{error.name}: expected to be installed, got none; "
            "python -m pip install -r requirements-export.txt",
            file=sys.stderr,
        )
    except (OSError, ValueError) as error:
        if ": expected " not in str(error):
            raise
        print(error, file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
