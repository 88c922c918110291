"""Runs that differ in their seed alone -> a table of mean and spread.

    python -m seen_jax.training.seeds FOLDER        reads FOLDER/seed_*, writes seeds.md

The spread is that over seeds, of each run's mean over its passes. The published spread
is over passes, and smaller.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from seen_jax import files, metrics
from seen_jax.errors import counted, refuse, run_command
from seen_jax.training.rows import CHOICES, Row, chosen_row, read_rows
from seen_jax.training.workdir import FREE, different, load_config


def final_row(workdir: Path, select: str, num_epochs: int) -> Row:
    """Returns the row of the selected epoch; a UserError if the run is not done."""
    rows = read_rows(workdir)
    done = max((row["epoch"] for row in rows if "war" in row), default=0)
    if done < num_epochs:
        rule = f"a run of {counted(num_epochs, 'epoch')}"
        refuse(workdir, rule, f"{done} evaluated", "train it to its end")
    return chosen_row(rows, select)


def table(runs: dict[int, dict[str, Any]], select: str) -> str:
    """Formats the rows of selected epochs, by seed, as Markdown, in percent."""
    means = [metrics.flatten(row["mean"]) for row in runs.values()]
    overall = (metrics.WAR, metrics.UAR)
    columns = (*overall, *(x for x in means[0] if x not in overall))
    titles = [title.replace("|", r"\|") for title in metrics.titles(columns)]
    lines = [
        f"Percent of {next(iter(runs.values()))['split']} clips; {CHOICES[select]}; "
        f"{counted(len(runs), 'seed')}; spread: standard deviation over seeds.",
        "",
        f"| seed | epoch | {' | '.join(titles)} |",
        f"| --- |{' ---: |' * (len(columns) + 1)}",
    ]
    for (seed, row), mean in zip(runs.items(), means, strict=True):
        cells = [_percent(mean.get(x)) for x in columns]
        lines.append(f"| {seed} | {row['epoch']} | {' | '.join(cells)} |")
    for name, function in (("mean", statistics.fmean), ("spread", _spread)):
        values = [[mean.get(x) for mean in means] for x in columns]
        cells = [_percent(None if None in x else function(x)) for x in values]
        lines.append(f"| {name} | | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def compare(folder: Path) -> str:
    """Returns the table of the runs in `FOLDER/seed_*`.

    Raises:
      UserError: there are none, or they differ in more than their seed.
    """
    workdirs = sorted(folder.glob("seed_*"), key=lambda path: (len(path.name), path))
    if not workdirs:
        refuse(folder, "runs in seed_*", "none", "bash launch/seeds.sh trains some")
    first, runs = load_config(workdirs[0]), {}
    for workdir in workdirs:
        config = load_config(workdir)
        free = {*FREE, "seed"} - {"num_epochs"}
        if others := different(first, config, free=free):
            rule = f"the config of {workdirs[0]} but for the seed"
            remedy = "keep such runs in folders of their own"
            refuse(workdir, rule, ", ".join(others), remedy)
        runs[config["seed"]] = final_row(
            workdir, config["select"], config["num_epochs"]
        )
    return table(runs, first["select"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m seen_jax.training.seeds")
    parser.add_argument("folder", type=Path, help="holds runs as seed_1, seed_2, ...")
    folder = parser.parse_args().folder
    text, path = compare(folder), folder / "seeds.md"
    with files.explained(path):
        files.write_whole(path, text)
    print(f"{text}\n{path}")


if __name__ == "__main__":
    sys.exit(run_command(main))
