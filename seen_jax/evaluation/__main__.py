"""Reads result files.

python -m seen_jax.evaluation report COLUMN [COLUMN ...] [--json] [--html FILE]

A COLUMN is DIR, or NAME=DIR[,DIR...] of several runs; see `summaries`.
"""

import argparse
import importlib
import json
import os
from pathlib import Path

from seen_jax.errors import refuse, run_command
from seen_jax.evaluation import examples, report, summaries
from seen_jax.files import explained


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.evaluation",
        description="Reads the result files of an evaluation.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "report",
        help="print recalls, shares by lighting, WAR and UAR",
        description="Prints the published table of result files, ours or the released "
        "ones; several side by side are compared with the first.",
    )
    command.add_argument(
        "columns",
        nargs="+",
        metavar="COLUMN",
        help="DIR, or NAME=DIR[,DIR...]: of runs that differ in their seed the mean is "
        "shown; a DIR may be a pattern, such as 'A=runs/a/seed_*/evaluation/test'",
    )
    command.add_argument("--json", action="store_true", help="print JSON, 0 to 1")
    command.add_argument("--html", metavar="FILE", help="write a page too")
    args = parser.parse_args(argv)
    if args.html is not None:
        check_file(args.html)
    read = summaries.summarise_directories(args.columns)
    if args.html is not None:
        # Not at the top: a table needs no matplotlib, which takes a while to import.
        page = importlib.import_module("seen_jax.evaluation.page")
        shown = [examples.load(s.directory) if s.facts else None for s in read]
        text = page.to_html(read, shown)
        with explained(args.html):
            Path(args.html).write_text(text, encoding="utf-8")
    if args.json:
        print(json.dumps(report.to_json(read), indent=1, allow_nan=False))
    else:
        print(report.to_text(read))
        if args.html is not None:
            print(f"\n{args.html}")


def check_file(name: str) -> None:
    """Raises a `UserError` if a page cannot be written there, before any work."""
    path = Path(name)
    if not name:
        got = "''"
    elif path.is_dir():
        got = "a directory"
    elif not path.parent.is_dir():
        got = f"one in {path.parent}, which is no directory"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        got = "one without permission to write"
    else:
        return
    remedy = "name another, such as report.html"
    refuse(name or "--html", "a file to write a page to", got, remedy)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
