"""Takes weights out of a run, or into one.

python -m seen_jax.export bundle --workdir=RUN --out=BUNDLE [--formats=native,torch,...]
python -m seen_jax.export torch --workdir=RUN --out=BUNDLE
python -m seen_jax.export import --checkpoint=FILE.pth --workdir=RUN
"""

import argparse
from pathlib import Path

from absl import flags, logging
from ml_collections import config_flags

from seen_jax.errors import run_command
from seen_jax.evaluation.restored import open_batches, restore
from seen_jax.export import bundle, published
from seen_jax.files import programs
from seen_jax.runtime import seen_runtime
from seen_jax.training import overrides


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.export",
        description="Takes weights out of a run, or into one.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    text = "Writes the selected checkpoint as a bundle, after comparing its programs "
    text += "with JAX on windows of the run's data."
    about = "write a bundle for a board, in the formats that are asked for"
    command = commands.add_parser("bundle", help=about, description=text)
    _add_bundle_options(command)
    command.add_argument(
        "--formats",
        type=lambda x: [name.strip() for name in x.split(",")],
        default=(),
        metavar="NAME,NAME",
        help=f"of {', '.join(seen_runtime.FORMATS)}; default: all that are installed",
    )
    about = "write one with torch, and all other installed formats"
    _add_bundle_options(commands.add_parser("torch", help=about, description=text))
    command = commands.add_parser(
        "import",
        help="make a run of a published checkpoint",
        description="Makes a run whose step 0 is a published checkpoint; evaluate it "
        "with eval.py, fine-tune it with train.py and the same config.",
        epilog="--config.FIELD=VALUE overrides a field, such as --config.data_dir.",
    )
    command.add_argument("--checkpoint", type=Path, required=True, metavar="FILE.pth")
    command.add_argument("--workdir", type=Path, required=True, metavar="RUN")
    default = programs() / "configs" / "default.py"
    command.add_argument("--config", default=default, help="default: %(default)s")
    logging.set_verbosity(logging.ERROR)
    args, rest = parser.parse_known_args()
    unknown = [x for x in rest if not x.startswith("--config.")]
    if unknown or (rest and args.command != "import"):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if args.command == "import":
        config = _read_config(args.config, rest)
        epoch = published.import_checkpoint(args.checkpoint, args.workdir, config)
        print(f"{args.checkpoint}, epoch {epoch} -> {args.workdir}, step 0")
    else:
        _write_bundle(args)


def _add_bundle_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--workdir", type=Path, required=True, metavar="RUN")
    command.add_argument("--out", type=Path, required=True, metavar="BUNDLE")
    command.add_argument("--step", type=int, help="default: the selected one")
    text = "where the records are, if they were moved"
    command.add_argument("--data_dir", metavar="DIR", help=text)
    text = "where decoded frames are kept; default: as in the training"
    command.add_argument("--store_dir", metavar="DIR", help=text)


def _write_bundle(args: argparse.Namespace) -> None:
    if args.command == "torch":
        bundle.check_ready(args.out, ["torch"])
        args.formats = ()
    formats = bundle.check_ready(args.out, args.formats)  # before the long part
    restored = restore(args.workdir, args.step)
    bundle.check_network(restored.model)
    batches = open_batches(restored, "test", args.data_dir, args.store_dir)
    manifest = bundle.write_bundle(restored, batches, args.out, formats)
    print(f"{bundle.to_text(manifest)}\n\n{args.out}")


def _read_config(file: str | Path, overriding: list[str]) -> dict:
    """Reads a file of configs/ as train.py does; overrides must be in sys.argv too."""
    argv = ["export", f"--config={file}", *overriding]
    overrides.check(argv)
    values = flags.FlagValues()
    config = config_flags.DEFINE_config_file("config", flag_values=values)
    values(argv)
    return config.value.to_dict()


if __name__ == "__main__":
    also = (*seen_runtime.ERRORS, flags.Error)
    raise SystemExit(run_command(main, also))
