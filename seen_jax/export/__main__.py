"""Weights out of a run, and into one.

python -m seen_jax.export torch --workdir=RUN --out=BUNDLE
python -m seen_jax.export import --checkpoint=FILE.pth --workdir=RUN
"""

import argparse
import sys
from pathlib import Path

from absl import flags, logging
from ml_collections import config_flags

from seen_jax.evaluation.restored import open_batches, restore
from seen_jax.export import bundle, published
from seen_jax.runtime import seen_runtime
from seen_jax.training import overrides


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.export",
        description="Takes weights out of a run, or into one.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "torch",
        help="write a bundle for torch and the Jetson",
        description="Writes the checkpoint that counts as a bundle, after comparing "
        "its programs with JAX on windows of the run's data.",
    )
    command.add_argument("--workdir", type=Path, required=True, metavar="RUN")
    command.add_argument("--out", type=Path, required=True, metavar="BUNDLE")
    command.add_argument("--step", type=int, help="default: the checkpoint that counts")
    command = commands.add_parser(
        "import",
        help="make a run of a published checkpoint",
        description="Makes a run whose step 0 is a published checkpoint; evaluate it "
        "with eval.py, fine-tune it with train.py and the same config.",
        epilog="--config.FIELD=VALUE overrides a field, such as --config.data_dir.",
    )
    command.add_argument("--checkpoint", type=Path, required=True, metavar="FILE.pth")
    command.add_argument("--workdir", type=Path, required=True, metavar="RUN")
    command.add_argument(
        "--config", default="configs/default.py", help="default: %(default)s"
    )
    logging.set_verbosity(logging.ERROR)
    args, rest = parser.parse_known_args()
    if rest and (args.command != "import" or not _overrides(rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if args.command == "torch":
            bundle.check_ready(args.out)  # before the long part
            restored = restore(args.workdir, args.step)
            batches = open_batches(restored)
            manifest = bundle.write_bundle(restored, batches, args.out)
            print(bundle.to_text(manifest))
            print(f"\n{args.out}")
        else:
            config = _read_config(args.config, rest).to_dict()
            epoch = published.import_checkpoint(args.checkpoint, args.workdir, config)
            print(f"{args.checkpoint}, epoch {epoch} -> {args.workdir}, step 0")
    except (*seen_runtime.ERRORS, ModuleNotFoundError, flags.Error) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _overrides(arguments: list[str]) -> bool:
    return all(argument.startswith("--config.") for argument in arguments)


def _read_config(file: str, given: list[str]):
    """Reads a file of configs/ as train.py does; overrides must be in sys.argv too."""
    argv = ["export", f"--config={file}", *given]
    overrides.check(argv)
    values = flags.FlagValues()
    config = config_flags.DEFINE_config_file("config", flag_values=values)
    values(argv)
    return config.value


if __name__ == "__main__":
    raise SystemExit(main())
