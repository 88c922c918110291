"""The paper's two tables, trained again: a page of the runs, and what is left to run.

    python -m seen_jax.evaluation.tables runs [--seeds "1 2 3"] ... -- FOLDER FLAGS
    python -m seen_jax.evaluation.tables page FOLDER

The former prints a line for each run that is left, and launch/tables.sh trains and
evaluates it (`table_runs` has their places). The latter writes FOLDER/tables.md, for a
README, and FOLDER/tables.html.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seen_jax import files, metrics
from seen_jax.errors import counted, refuse, run_command
from seen_jax.evaluation import analysis, statistics, summaries, table_runs
from seen_jax.evaluation.page import document
from seen_jax.evaluation.page.markup import Html, Part, tag
from seen_jax.evaluation.page.markup import table as html_table
from seen_jax.evaluation.page.sections import Section, bar
from seen_jax.evaluation.statistics import Interval, percent
from seen_jax.evaluation.summaries import Summary
from seen_jax.evaluation.table_runs import DATASETS, GROUPS, RECIPE, ROWS, Row


def read(folder: Path) -> dict[str, dict[str, Summary]]:
    """Returns the evaluations that are done: by dataset, then by row, of all seeds.

    Raises:
      UserError: there are none, or they cannot be read; as of `table_runs.check_runs`.
    """
    table_runs.check_runs(folder)
    tables = {
        dataset: {
            name: summaries.summarise_directories([f"{name}={','.join(dirs)}"])[0]
            for name in ROWS
            if (dirs := [*map(str, table_runs.done(folder / dataset / name))])
        }
        for dataset in DATASETS
    }
    if not any(tables.values()):
        rule, remedy = "evaluated runs", "bash launch/tables.sh makes them"
        refuse(folder, rule, "none", remedy)
    return {dataset: table for dataset, table in tables.items() if table}


def notes(folder: Path, tables: dict[str, dict[str, Summary]]) -> tuple[str, list[str]]:
    """Returns a title, and what the numbers are and where they come from."""
    each = [run for t in tables.values() for s in t.values() for run in s.each]
    (source,) = {run.facts["source"] for run in each}
    epochs, choices, passes, revisions = (
        ", ".join(map(str, sorted({run.facts[name] for run in each})))
        for name in ("epoch", "choice", "passes", "evaluated_at")
    )
    revisions = re.sub(r"([0-9a-f]{10})[0-9a-f]{30}", r"\1", revisions)
    return f"The paper's tables on {source} data", [
        "WAR (the share of clips that are right) and UAR (the mean of the classes' "
        "recalls) in percent: mean ± standard deviation over seeds, and the 95 % "
        f"interval over other people. {_clips(tables)}. Epoch {epochs}, {choices}; "
        f"{passes} {'pass' if passes == '1' else 'passes'}. "
        "The paper's numbers are of real people and of an epoch chosen on the test "
        "split: compare the order, not the height.",
        f"Flags of all runs: `{table_runs.recipe(folder)}`; evaluated at {revisions}.",
    ]


def _clips(tables: dict[str, dict[str, Summary]]) -> str:
    """Says on how many clips of how many people each dataset is evaluated."""
    texts = []
    for dataset, table in tables.items():
        results = next(iter(table.values())).results
        text = f"{DATASETS[dataset]}: {counted(len(results.names), 'clip')}"
        if results.num_volunteers:
            text += f" of {results.num_volunteers} people"
        texts.append(text)
    return "; ".join(texts).capitalize()


def to_markdown(folder: Path, tables: dict[str, dict[str, Summary]]) -> str:
    """Formats both tables for each dataset, and how well their orders agree."""
    title, words = notes(folder, tables)
    lines = [f"# {title}"]
    for text in words:
        lines += ["", text]
    for title, rows in GROUPS.items():
        lines += ["", f"## {title}", "", *_table(rows, tables), ""]
        lines += [_order(rows, dataset, table) for dataset, table in tables.items()]
    return "\n".join(lines) + "\n"


def to_html(folder: Path, tables: dict[str, dict[str, Summary]]) -> str:
    """Returns the same as a page, with a bar for each WAR."""
    title, words = notes(folder, tables)
    said = [tag("p", x.replace("`", ""), class_="note") for x in words]
    header = tag("header", tag("div", tag("h1", title), *said))
    sections = [
        Section(
            f"{group}, {DATASETS[dataset]}",
            _order(rows, dataset, table),
            [tag("div", _bars(rows, table), class_="full")],
        )
        for group, rows in GROUPS.items()
        for dataset, table in tables.items()
    ]
    return document.whole(title, header, sections)


def _bars(rows: Sequence[Row], table: dict[str, Summary]) -> Html:
    head = ["network", "seeds", "", "WAR", "±", "95 %", "UAR", "±", "paper: WAR", "UAR"]
    lines: list[list[Part]] = []
    for row in rows:
        cells: list[Part] = [0, "", "", "", "", "", ""]
        if summary := table.get(row.name):
            (war, spread, ends), (uar, of_uar, _) = _numbers(summary)
            cells = [summary.results.num_runs, bar(war, ends), percent(war)]
            cells += [percent(spread), statistics.interval_text(ends)]
            cells += [percent(uar), percent(of_uar)]
        paper = f"{row.war:.1f}", f"{row.uar:.1f}"
        lines.append([f"{row.name}: {row.what}", *cells, *paper])
    return html_table(head, lines, "of_rows")


def _table(rows: Sequence[Row], tables: dict[str, dict[str, Summary]]) -> list[str]:
    titles = [f"{DATASETS[x]}: {y}" for x in tables for y in ("seeds", "WAR", "UAR")]
    lines = [
        f"| | network | {' | '.join(titles)} | paper: WAR/UAR |",
        f"| --- | --- |{' ---: |' * (len(titles) + 1)}",
    ]
    for row in rows:
        cells = [x for table in tables.values() for x in _cells(table.get(row.name))]
        paper = f"{row.war:.1f}/{row.uar:.1f}"
        lines.append(f"| {row.name} | {row.what} | {' | '.join(cells)} | {paper} |")
    return lines


def _cells(summary: Summary | None) -> list[str]:
    """Formats the number of seeds, WAR and UAR."""
    if summary is None:
        return ["0", "", ""]
    cells = [str(summary.results.num_runs)]
    for mean, spread, ends in _numbers(summary):
        text = percent(mean) + ("" if math.isnan(spread) else f" ± {percent(spread)}")
        cells.append(text + (f" [{', '.join(map(percent, ends))}]" if ends else ""))
    return cells


def _numbers(summary: Summary) -> list[tuple[float, float, Interval | None]]:
    """Returns mean, standard deviation over seeds and interval of WAR and of UAR."""
    between = analysis.over_volunteers(summary.results)
    # Of one run the spread is that over its passes, which is another thing.
    several = summary.results.num_runs > 1
    return [
        (
            summary.mean[column],
            summary.spread[column] if several else math.nan,
            between.get(column),
        )
        for column in (metrics.WAR, metrics.UAR)
    ]


def _order(rows: Sequence[Row], dataset: str, table: dict[str, Summary]) -> str:
    """Says how well the rows' order by WAR agrees with the published one."""
    both = [(x.war, table[x.name].mean[metrics.WAR]) for x in rows if x.name in table]
    number = counted(len(both), "row")
    start = f"Order by WAR, {DATASETS[dataset]} against the paper, {number}: "
    if len(both) < statistics.FEWEST:
        return f"{start}not computed below {statistics.FEWEST} rows."
    rho, interval = statistics.rank_correlation(*np.array(both).T)
    if math.isnan(rho):
        return f"{start}no rank correlation, since all are equal."
    text = f"{start}rank correlation (Spearman) {rho:.2f}"
    if interval:
        text += f", 95 % interval {interval.low:.2f} to {interval.high:.2f}"
    return f"{text}."


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m seen_jax.evaluation.tables")
    commands = parser.add_subparsers(dest="command", required=True)
    of_runs = commands.add_parser("runs", help="print the runs that are not done")
    of_page = commands.add_parser("page", help="write tables.md and tables.html")
    for command in (of_runs, of_page):
        command.add_argument("folder", type=Path)
    of_runs.add_argument("--seeds", default="1 2 3", help="numbers")
    of_runs.add_argument("--splits", default=" ".join(DATASETS))
    of_runs.add_argument("--rows", default=" ".join(ROWS))
    of_runs.add_argument("flags", nargs="*", help="of train.py, that all runs have")
    args = parser.parse_args(argv)
    if args.command == "runs":
        seeds = [*dict.fromkeys(map(int, _words("--seeds", args.seeds, None)))]
        datasets = _words("--splits", args.splits, DATASETS)
        names = _words("--rows", args.rows, ROWS)
        table_runs.check_recipe(args.folder, args.flags)
        table_runs.check_runs(args.folder)
        left = table_runs.not_done(args.folder, seeds, datasets, names)
        print("\n".join(left))
        return
    path = args.folder / "tables.html"
    with contextlib.ExitStack() as stack:
        if (recipe := args.folder / RECIPE).exists():
            with files.explained(recipe):
                stack.enter_context(files.held(recipe))  # two programs take turns
        tables = read(args.folder)
        text = to_markdown(args.folder, tables)
        with files.explained(path):
            files.write_whole(path, to_html(args.folder, tables))
            files.write_whole(path.with_suffix(".md"), text)
    print(f"{text}\n{path}")


def _words(flag: str, text: str, known: dict | None) -> list[str]:
    """Returns the words of a flag, each one of `known`, or a number."""
    words = text.split()
    for word in words or [text]:
        if known is None and not word.isdecimal():
            refuse(flag, "seeds from 0, such as '1 2 3'", repr(text))
        if known is not None and word not in known:
            refuse(flag, f"some of {' '.join(known)}", repr(word))
    return [*dict.fromkeys(words)]


if __name__ == "__main__":
    sys.exit(run_command(main))
