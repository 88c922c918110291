"""The paper's two tables, trained again: which runs they take, and a page of them.

    python -m seen_jax.evaluation.tables runs [--seeds "1 2 3"] ... -- FOLDER FLAGS
    python -m seen_jax.evaluation.tables page FOLDER

The latter writes FOLDER/tables.md, for a README, and FOLDER/tables.html.

launch/tables.sh trains and evaluates in between. A run is in FOLDER/<dataset>/<row>/
seed_<seed>; its evaluation, which is written last, says that it is done.

Reference: published WAR and UAR: Tables 1 and 2 of the paper, of an epoch that was
chosen on the test split.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import re
import shlex
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seen_jax import files, metrics
from seen_jax.errors import counted, refuse, run_command
from seen_jax.evaluation import analysis, provenance, statistics, summaries
from seen_jax.evaluation.page import document
from seen_jax.evaluation.page.markup import Html, Part, tag
from seen_jax.evaluation.page.markup import table as html_table
from seen_jax.evaluation.page.sections import Section, bar
from seen_jax.evaluation.statistics import Interval, percent
from seen_jax.evaluation.summaries import Summary

CONFIG = "config.json"  # of `training.workdir`, which needs JAX
RECIPE = "recipe.txt"  # the flags that all runs of a folder have in common
# Fields that may change from run to run; the records are compared by their digests.
ELSEWHERE = {"data_dir", "store_dir", "images"}
DATASETS = {"published": "the published split", "by_volunteer": "by volunteer"}


@dataclass(frozen=True)
class Row:
    """A network of the paper's tables.

    Attributes:
      name: as the paper has it.
      what: in words.
      flags: of train.py.
      war, uar: published, in percent.
    """

    name: str
    what: str
    flags: str
    war: float
    uar: float


def _setting(num_event_frames: int, skip: int, war: float, uar: float) -> Row:
    name = f"E{num_event_frames}_S{skip}"
    what = f"{num_event_frames} event frames, {skip or 'none'} skipped"
    return Row(name, what, f"--config=configs/{name.lower()}.py", war, uar)


def _variant(name: str, what: str, field: str, war: float, uar: float) -> Row:
    return Row(name, what, f"--config=configs/e4_s3.py --config.{field}", war, uar)


SETTINGS = (
    _setting(4, 0, 78.6, 79.1),
    _setting(4, 1, 80.9, 81.3),
    _setting(4, 3, 83.6, 84.1),
    _setting(7, 0, 79.6, 80.1),
    _setting(7, 1, 82.4, 82.7),
    _setting(13, 0, 82.3, 82.5),
)
VARIANTS = (
    _variant("A", "S sees the first intensity frame", "intensity=first", 81.3, 81.8),
    _variant("B", "S sees the first two", "intensity=first_and_second", 81.8, 82.2),
    _variant("C", "S sees all intensity frames", "intensity=all", 82.9, 83.3),
    _variant("D", "T learns its own kernels", "kernels=own", 82.1, 82.6),
    _variant("E", "T has its own attention", "attention=own", 83.0, 83.2),
    _variant("F", "a CNN in place of the spikes", "network=cnn", 55.7, 55.6),
    _variant("G", "an LSTM", "network=lstm", 55.8, 55.7),
    _variant("H", "a Transformer", "network=transformer", 77.1, 77.3),
    _variant("I", "a 3D CNN", "network=cnn3d", 59.9, 59.9),
    _variant("J", "read out: the last potential", "readout=last_membrane", 81.1, 81.7),
    _variant("K", "read out: the last spike", "readout=last_spike", 63.2, 62.8),
    _variant("L", "read out: the mean spike", "readout=mean_spike", 69.7, 69.5),
)
PUBLISHED = next(row for row in SETTINGS if row.name == "E4_S3")
ROWS = {row.name: row for row in (PUBLISHED, *SETTINGS, *VARIANTS)}
# Fields in which rows differ.
FIELDS = {"num_event_frames", "skip"}
FIELDS |= {row.flags.split(".")[-1].split("=")[0] for row in VARIANTS}
GROUPS = {
    "Settings": SETTINGS,
    "Networks": (replace(PUBLISHED, what="as published"), *VARIANTS),
}


def runs(
    folder: Path, seeds: Sequence[int], datasets: Sequence[str], names: Sequence[str]
) -> list[str]:
    """Returns the workdir, a tab and the flags of each run that is not done."""
    return [
        f"{workdir}\t{ROWS[name].flags} --config.dataset={dataset} --config.seed={seed}"
        for seed, name, dataset in itertools.product(seeds, names, datasets)
        if not _is_done(workdir := folder / dataset / name / f"seed_{seed}")
    ]


def _is_done(workdir: Path) -> bool:
    return (evaluation_of(workdir) / provenance.FILE).exists()


def evaluation_of(workdir: Path) -> Path:
    return workdir / "evaluation" / "test"


def check_recipe(folder: Path, flags: Sequence[str]) -> None:
    """Keeps the flags that all runs have in common; refuses others once there are runs.

    Raises:
      UserError: the folder is of runs with other flags, or nothing says with which; a
        flag is one that the rows set; or the folder cannot be written.
    """
    of_rows = {x.split("=")[0] for row in ROWS.values() for x in row.flags.split()}
    recipe = []
    for flag in flags:
        name = flag.split("=")[0]
        if name in {*of_rows, "--config.dataset", "--config.seed"}:
            rule = "flags that all runs have in common"
            refuse(flag, rule, "one of a row, split or seed", "see launch/tables.sh")
        if name.removeprefix("--config.") not in ELSEWHERE:
            recipe.append(flag)
    text, path = " ".join(recipe), folder / RECIPE
    files.check_writable(folder)
    if not any(folder.glob("*/*/seed_*/checkpoints/*")):
        with files.explained(path):
            folder.mkdir(parents=True, exist_ok=True)
            files.write_whole(path, text + "\n")
    if (before := _recipe(folder)) != text:
        rule = f"the flags of its runs, {before!r}"
        refuse(folder, rule, repr(text), "name another folder")


def _recipe(folder: Path) -> str:
    return files.read_text(folder / RECIPE, "write the flags of its runs there").strip()


def check_runs(folder: Path) -> None:
    """Refuses runs on other data, or by another config, than most of a folder have.

    Raises:
      UserError: some are of real data and others are not, the records of a dataset were
        built again from other clips, or configs differ where their rows do not.
    """
    by_source, by_records, configs = defaultdict(list), {}, {}
    for dataset in DATASETS:
        runs = by_records[dataset] = defaultdict(list)
        for directory in (x for name in ROWS for x in _done(folder / dataset / name)):
            workdir = directory.parents[1]
            by_source[provenance.read(directory)["source"]].append(workdir)
            if (workdir / CONFIG).exists():
                configs[workdir], records = _read_config(workdir / CONFIG)
                parts = sorted(records.items())
                runs[", ".join(f"{x} {y[:10]}" for x, y in parts)].append(workdir)
    _check_one(folder, "data of one source in all runs", by_source)
    for dataset, runs in by_records.items():
        _check_one(folder, f"the same {dataset} records in all runs", runs)
    rule = "one config of all runs, but for their row"
    _check_one(folder, rule, _by_config(configs, FIELDS))
    for name in ROWS:
        of_row = {path: x for path, x in configs.items() if path.parent.name == name}
        _check_one(folder, f"one config of all runs of {name}", _by_config(of_row))


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the config of a run, and the digests of its records."""
    content = files.read_json(path)
    content = content if isinstance(content, dict) else {}
    parts = [content.get(x) for x in ("config", "records")]
    are_objects = all(isinstance(x, dict) for x in parts)
    if not are_objects or not all(isinstance(x, str) for x in parts[1].values()):
        rule = "the config and the records of a run, as train.py writes them"
        refuse(path, rule, "another form", files.RECOPY)
    return parts[0], parts[1]


def _by_config(
    configs: Mapping[Path, Mapping[str, Any]], but_for: Set[str] = frozenset()
) -> dict[str, list[Path]]:
    """Groups runs by the fields in which they differ; older runs have fewer fields."""
    known = set.intersection(*map(set, configs.values())) if configs else set()
    fields = sorted(known - ELSEWHERE - {"dataset", "seed"} - but_for)
    differing = [
        x for x in fields if len({repr(config[x]) for config in configs.values()}) > 1
    ]
    groups = defaultdict(list)
    for workdir, config in configs.items():
        groups[", ".join(f"{x} {config[x]}" for x in differing)].append(workdir)
    return groups


def _check_one(folder: Path, rule: str, runs: dict[str, list[Path]]) -> None:
    """Refuses all but the largest group of runs, with a command that moves them."""
    if len(runs) <= 1:
        return
    most = max(runs, key=lambda title: len(runs[title]))
    titles = [title for title in runs if title != most]
    others = [path for title in titles for path in runs[title]]
    number = next(i for i in itertools.count(2) if not Path(f"{folder}_{i}").exists())
    other, commands = Path(f"{folder}_{number}"), []
    for row in dict.fromkeys(path.parent for path in others):
        place = other / row.relative_to(folder)
        moved = [path for path in others if path.parent == row]
        commands += [["mkdir", "-p", place], ["mv", *moved, place]]
    commands.append(["cp", folder / RECIPE, other])
    command = " && ".join(shlex.join(map(str, words)) for words in commands)
    names = ", ".join(str(path.relative_to(folder)) for path in others)
    got = f"{' and '.join(titles)} in {names}"
    refuse(folder, f"{rule}, {most}", got, f"move them apart: {command}")


def read(folder: Path) -> dict[str, dict[str, Summary]]:
    """Returns the evaluations that are done: by dataset, then by row, of all seeds.

    Raises:
      UserError: there are none, or they cannot be read; as of `check_runs`.
    """
    check_runs(folder)
    tables = {
        dataset: {
            name: summaries.summarise_directories([f"{name}={','.join(dirs)}"])[0]
            for name in ROWS
            if (dirs := [*map(str, _done(folder / dataset / name))])
        }
        for dataset in DATASETS
    }
    if not any(tables.values()):
        rule, remedy = "evaluated runs", "bash launch/tables.sh makes them"
        refuse(folder, rule, "none", remedy)
    return {dataset: table for dataset, table in tables.items() if table}


def _done(folder: Path) -> list[Path]:
    workdirs = sorted(folder.glob("seed_*"), key=lambda path: (len(path.name), path))
    return [evaluation_of(path) for path in workdirs if _is_done(path)]


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
        f"Flags of all runs: `{_recipe(folder)}`; evaluated at {revisions}.",
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
        check_recipe(args.folder, args.flags)
        check_runs(args.folder)
        print("\n".join(runs(args.folder, seeds, datasets, names)))
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
