"""Reads result files, and shows a run disturbed windows.

python -m seen_jax.evaluation report COLUMN [COLUMN ...] [--json] [--html FILE]
python -m seen_jax.evaluation robustness --workdir=RUN [--split=test] [--passes=5]
    [--step=N] [--out=DIR] [--data_dir=DIR] [--kinds=KIND,...]

A COLUMN is DIR, or NAME=DIR[,DIR...] of several runs; see `summaries`. A KIND is one of
`robustness_kinds`.
"""

import argparse
import importlib
import json
import shlex
import sys
from pathlib import Path

from seen_jax.errors import run_command
from seen_jax.evaluation import examples, report, robustness_report, summaries
from seen_jax.evaluation.page import document
from seen_jax.evaluation.page.sections import Shown
from seen_jax.evaluation.summaries import Summary
from seen_jax.files import check_file, explained


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.evaluation",
        description="Reads result files, and shows a run disturbed windows.",
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
    _add_robustness(commands)
    args = parser.parse_args(argv)
    if args.command == "robustness":
        _measure_robustness(args, sys.argv[1:] if argv is None else argv)
    else:
        _report(args)


def _report(args: argparse.Namespace) -> None:
    if args.html is not None:
        check_file(args.html, "--html")
    read = summaries.summarise_directories(args.columns)
    if args.html is not None:
        text = document.to_html([*map(_shown, read)])
        with explained(args.html):
            Path(args.html).write_text(text, encoding="utf-8")
    if args.json:
        print(json.dumps(report.to_json(read), indent=1, allow_nan=False))
    else:
        print(report.to_text(read))
        if args.html is not None:
            print(f"\n{args.html}")


def _add_robustness(commands) -> None:
    command = commands.add_parser(
        "robustness",
        help="measure a run on windows that a helmet, camera or cable disturbs",
        description="Measures WAR and UAR where the crop slips, light changes, frames "
        "are late and events are lost. Kinds that an earlier run measured are kept.",
    )
    flag = command.add_argument
    flag("--workdir", required=True, metavar="RUN", help="folder of the run")
    flag("--split", default="test", help="default: test")
    flag("--passes", type=int, default=5, help="each with new windows; default: 5")
    flag("--step", type=int, help="of the checkpoint; default: the selected")
    flag("--out", metavar="DIR", help="default: RUN/evaluation/SPLIT_STEP")
    flag("--data_dir", metavar="DIR", help="where the records are now")
    flag("--kinds", metavar="KIND,...", help="such as shift,late; default: all")


def _measure_robustness(args: argparse.Namespace, argv: list[str]) -> None:
    # Not at the top: a report needs no JAX.
    robustness = importlib.import_module("seen_jax.evaluation.robustness")
    of_kinds = argparse.ArgumentParser(add_help=False)
    of_kinds.add_argument("--kinds")
    others = of_kinds.parse_known_args(argv)[1]
    command = shlex.join(["python", "-m", "seen_jax.evaluation", *others])
    names = ",".join(robustness.KINDS) if args.kinds is None else args.kinds
    kinds = [x.strip() for x in names.split(",")]
    where = args.step, args.out, args.data_dir
    robustness.main(args.workdir, args.split, args.passes, *where, kinds, command)


def _shown(s: Summary) -> Shown:
    """Reads what the page shows beside the numbers."""
    first, runs = s.each[0], [run for run in s.each if run.facts is not None]
    read = {x.name: robustness_report.read_beside(x.directory, x.facts) for x in runs}
    robustness = {name: content for name, content in read.items() if content}
    of_first = None if first.facts is None else examples.load(first.directory)
    return Shown(s, of_first, robustness)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
