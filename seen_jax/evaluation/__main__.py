"""Reads result files: python -m seen_jax.evaluation report DIR [DIR ...] [--json]."""

import argparse
import json
import sys
from pathlib import Path

from seen_jax.evaluation import report


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.evaluation",
        description="Reads the result files of an evaluation.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "report",
        help="print per emotion, per lighting, WAR and UAR",
        description="Prints the published table of result files, ours or the released "
        "ones; several directories side by side.",
    )
    command.add_argument("directories", type=Path, nargs="+", metavar="DIR")
    command.add_argument("--json", action="store_true", help="print JSON, 0 to 1")
    args = parser.parse_args(argv)
    try:
        summaries = report.summarise_directories(args.directories)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(report.to_json(summaries), indent=1, allow_nan=False))
    else:
        print(report.to_text(summaries))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
