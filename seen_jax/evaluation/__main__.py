"""Reads result files.

python -m seen_jax.evaluation report DIR [DIR ...] [--json] [--html FILE]
"""

import argparse
import json
import sys
from pathlib import Path

from seen_jax.evaluation import page, report, shown


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
    command.add_argument("--html", type=Path, metavar="FILE", help="write a page too")
    args = parser.parse_args(argv)
    try:
        summaries = report.summarise_directories(args.directories)
        if args.html:
            pictures = [shown.load(s.directory) if s.facts else None for s in summaries]
            args.html.write_text(page.to_html(summaries, pictures), encoding="utf-8")
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(report.to_json(summaries), indent=1, allow_nan=False))
    else:
        print(report.to_text(summaries))
        if args.html:
            print(f"\n{args.html}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
