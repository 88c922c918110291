"""Runs that differ in their seed alone -> a table of mean and spread.

    python -m seen_jax.training.seeds FOLDER        reads FOLDER/seed_*, writes seeds.md

What a reader would get wrong: the spread is that over seeds, of each run's mean over
its passes; the spread over passes, which was published, is another and smaller thing.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

from seen_jax import see
from seen_jax.training.checkpoint import CHOICES
from seen_jax.training.journal import read_rows
from seen_jax.training.workdir import different, load_config, write_atomically


def chosen_row(workdir: Path, select: str, num_epochs: int) -> dict[str, Any]:
    """Returns the epoch that counts: the last, or the best by WAR, of equals the later.

    Raises:
      ValueError: the run is not done.
    """
    evaluated = [row for row in read_rows(workdir) if "war" in row]
    done = evaluated[-1]["epoch"] if evaluated else 0
    if done < num_epochs:
        raise ValueError(
            f"{workdir}: expected a run of {num_epochs} epochs, got {done} evaluated; "
            "train it to its end"
        )
    if select == "last":
        return evaluated[-1]
    return max(evaluated, key=lambda row: (row["war"], row["epoch"]))


def table(runs: dict[int, dict[str, Any]], select: str) -> str:
    """Formats runs by seed as Markdown, in percent.

    Args:
      runs: seed to the row of its epoch that counts.
      select: how that epoch was chosen.
    """
    columns = ("WAR", "UAR", *see.EMOTIONS, *see.LIGHTINGS)
    lines = [
        f"Percent of {next(iter(runs.values()))['split']} clips; {CHOICES[select]}; "
        f"{len(runs)} seeds; spread: standard deviation over seeds.",
        "",
        f"| seed | epoch | {' | '.join(columns)} |",
        f"| --- |{' ---: |' * (len(columns) + 1)}",
    ]
    for seed, row in runs.items():
        cells = [_percent(row["mean"][name]) for name in columns]
        lines.append(f"| {seed} | {row['epoch']} | {' | '.join(cells)} |")
    for name, function in (("mean", statistics.fmean), ("spread", _spread)):
        values = [[row["mean"][x] for row in runs.values()] for x in columns]
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
      ValueError: there are none, or they differ in more than their seed.
    """
    workdirs = sorted(folder.glob("seed_*"), key=lambda path: (len(path.name), path))
    if not workdirs:
        raise ValueError(f"{folder}: expected runs in seed_*, got none; train some")
    first, runs = load_config(workdirs[0]), {}
    for workdir in workdirs:
        config = load_config(workdir)
        others = different({**first, "seed": config["seed"]}, config)
        lengths = first["num_epochs"], config["num_epochs"]
        if lengths[0] != lengths[1]:
            others.append("num_epochs: {} -> {}".format(*lengths))
        if others:
            raise ValueError(
                f"{workdir}: expected the config of {workdirs[0]} but for the seed, "
                f"got {', '.join(others)}; keep such runs in folders of their own"
            )
        runs[config["seed"]] = chosen_row(
            workdir, config["select"], config["num_epochs"]
        )
    return table(runs, first["select"])


def main(argv: list[str]) -> int | str:
    if len(argv) != 1:
        return "usage: python -m seen_jax.training.seeds FOLDER"
    folder = Path(argv[0])
    try:
        text = compare(folder)
    except (ValueError, FileNotFoundError) as error:
        return str(error)
    write_atomically(folder / "seeds.md", text)
    print(f"{text}\n{folder / 'seeds.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
