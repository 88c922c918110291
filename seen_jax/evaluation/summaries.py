"""Directories of result files -> the table's numbers, of a run or of several.

A column is one run, or several that differ in their seed, whose spread is that over the
runs.

Note: the spread of one run is over windows of the same clips with the same weights; it
does not cover other training seeds or other people.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seen_jax import metrics, see
from seen_jax.errors import refuse
from seen_jax.evaluation import provenance
from seen_jax.evaluation.results import Results, joined, read_results


@dataclass(frozen=True)
class Summary:
    """The table's numbers of one evaluation, shares from 0 to 1.

    Attributes:
      name: its setting, where that is known, and its directory.
      results: as read.
      mean, spread: by column, as of `metrics.measure`. The spread is the standard
        deviation over the passes, with P - 1 in the denominator; nan of one pass alone.
        Of several runs it is that over the runs.
      facts: where the results come from (`provenance`); None of the released ones, and
        of several runs.
      directory: of the results; None if they were not read, and of several runs.
      runs: of which this is the mean; empty of one.
    """

    name: str
    results: Results
    mean: metrics.Shares
    spread: metrics.Shares
    facts: dict[str, Any] | None = None
    directory: Path | None = None
    runs: tuple[Summary, ...] = ()

    @property
    def each(self) -> tuple[Summary, ...]:
        """The runs, or itself where it is of one."""
        return self.runs or (self,)

    @property
    def sources(self) -> set[str]:
        """Of the data, where that is known.

        Simulated sets name their clips alike, however hard they are.
        """
        return {run.facts["source"] for run in self.each if run.facts}


def summarise(
    name: str,
    results: Results,
    facts: dict[str, Any] | None = None,
    directory: Path | None = None,
    runs: tuple[Summary, ...] = (),
) -> Summary:
    """Measures each pass, then takes mean and spread over the passes or the runs."""
    truth, lightings = (results.labels, results.label_index), results.lightings
    each = [metrics.measure(*truth, x, lightings) for x in results.predictions]
    table = np.array([[*row.values()] for row in each])
    if results.num_runs > 1:
        table = table.reshape(results.num_runs, results.num_passes, -1).mean(axis=1)
    spread = np.std(table, axis=0, ddof=1) if len(table) > 1 else table[0] * np.nan
    mean, spread = (
        dict(zip(each[0], values.tolist(), strict=True))
        for values in (table.mean(axis=0), spread)
    )
    return Summary(name, results, mean, spread, facts, directory, runs)


def summarise_directories(arguments: Sequence[str | os.PathLike]) -> list[Summary]:
    """Reads and measures directories of result files.

    Args:
      arguments: directories, or columns of the form `NAME=DIR[,DIR...]`, of one run or
        of several that differ in their seed; a DIR may be a pattern such as
        `runs/seed_*/evaluation/test`.

    Returns:
      A summary for each column, or for each epoch of a directory that has several.

    Raises:
      OSError, UserError: as `read_results` and `provenance.read`; a directory given
        twice; facts of other passes than there are; evaluations of other classes; runs
        of a column with other clips, classes, numbers of passes or sources of data.
    """
    columns = [_parse(argument) for argument in arguments]
    directories = [path for _, paths in columns for path in paths]
    places = [path.resolve() for path in directories]
    if twice := [x for i, x in enumerate(directories) if places[i] in places[:i]]:
        refuse(twice[0], "each directory once", "it twice", "leave one out")
    nameless = [path for name, paths in columns for path in paths if name is None]
    short = dict(zip(nameless, short_names(nameless), strict=True))
    summaries = []
    for name, paths in columns:
        if len(paths) > 1:
            summaries.append(_group(name, paths))
            continue
        read = _read(paths[0], name or short[paths[0]])
        is_one = name is not None and len(read) == 1
        summaries += [replace(read[0], name=name)] if is_one else read
    first = summaries[0].results.labels
    for summary in summaries:
        if {*summary.results.labels} != {*first}:
            rule = f"the classes of {summaries[0].name}, {', '.join(first)}"
            got, remedy = ", ".join(summary.results.labels), "report them separately"
            refuse(summary.each[0].directory, rule, got, remedy)
    return summaries


def _parse(argument: str | os.PathLike) -> tuple[str | None, list[Path]]:
    """Returns the name of a column, if it has one, and its directories.

    Note: a directory that exists is one, whatever its name has in it.
    """
    name, _, patterns = os.fspath(argument).partition("=")
    if not name or not patterns or Path(argument).exists():
        return None, [Path(argument)]
    paths = []
    for pattern in patterns.split(","):
        matches = glob.glob(pattern) or [pattern]
        paths += sorted(matches, key=lambda x: (len(x), x))  # seed_9 before seed_10
    return name, [*map(Path, paths)]


def _group(name: str, paths: Sequence[Path]) -> Summary:
    """Makes a column of several runs."""
    runs = []
    for short, path in zip(short_names(paths), paths, strict=True):
        read = [replace(x, name=f"{name} {short}") for x in _read(path, short)]
        if len(read) > 1:
            rule, remedy = "one epoch of each run", "report it in a column of its own"
            refuse(path, rule, len(read), remedy)
        runs += read
    for run in runs:
        if joined([runs[0].results, run.results]) is None:
            rule = f"clips, classes and passes of {runs[0].directory}"
            remedy = "evaluate the runs of a column in the same way"
            refuse(run.directory, rule, "others", remedy)
    group = summarise(name, joined([x.results for x in runs]), runs=tuple(runs))
    if len(group.sources) > 1:
        rule, got = "the same data in a column", " and ".join(sorted(group.sources))
        refuse(name, rule, got, "give each a column of its own")
    return group


def _read(path: Path, name: str) -> list[Summary]:
    """Returns the summaries of a directory, one for each epoch."""
    facts = provenance.read(path)
    labels = facts["labels"] if facts else see.EMOTIONS
    evaluations = read_results(path, labels, (facts or {}).get("clips"))
    summaries = []
    for results in evaluations:
        title, own_facts = name, facts if results.epoch is None else None
        if own_facts:
            if facts["passes"] != (num_passes := len(results.predictions)):
                rule = "as many passes as there are result files beside it"
                file, rule = path / provenance.FILE, f"{rule}, {num_passes}"
                refuse(file, rule, facts["passes"], "evaluate again")
            title = f"{facts['setting']} {name}"
        elif len(evaluations) > 1 and results.epoch is not None:
            title = f"{name} epoch {results.epoch}"
        summaries.append(summarise(title, results, own_facts, path))
    return summaries


def short_names(paths: Sequence[Path]) -> list[str]:
    """Returns the shortest ends of paths that differ.

    Folders named `evaluation`, which every run has, are left out.
    """
    absolute = [path.resolve() for path in paths]
    parts = [
        (*(part for part in path.parts[:-1] if part != "evaluation"), path.name)
        for path in absolute
    ]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(path[-length:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
