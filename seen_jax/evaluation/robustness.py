"""A run -> how much of what is right stays right when its input is disturbed.

    robustness.json    the baseline, and each kind of change with a point per severity
    robustness.svg     the same, drawn

The same windows are shown with each change, drawn by the run's seed as `eval.py` draws
them, so that differences are paired clip by clip. The file is written after each kind,
and a command that runs again keeps those that are of the same checkpoint, data and
passes.

Note: each interval is of one change; of some sixty, three leave 0 out by chance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from absl import logging
from tqdm import tqdm

from seen_jax import memory, metrics, protocol, see
from seen_jax.data.batches import Batches
from seen_jax.errors import check_option, refuse
from seen_jax.evaluation import (
    analysis,
    differences,
    folder,
    restored,
    robustness_report,
    summaries,
)
from seen_jax.evaluation.results import Results
from seen_jax.evaluation.robustness_kinds import KINDS, NOTHING, Kind, batches_of
from seen_jax.files import check_writable, explained, write_whole
from seen_jax.training import step as step_lib

# Shares right by lighting, in the order of `see.LIGHTINGS`, by setting. Reference:
# recomputed from the published result files.
PUBLISHED = {
    "E4_S3": (0.833, 0.856, 0.808, 0.848),
    "E7_S1": (0.824, 0.867, 0.798, 0.803),
    "E13_S0": (0.811, 0.865, 0.794, 0.818),
}
LIGHTINGS = {
    "title": "Lighting of the clips",
    "sentence": "Nothing is changed: the share that is right among the clips of each "
    "lighting, overexposed, low, and of high dynamic range (HDR) beside normal. The "
    "published shares are of the real set, its own split, and an epoch chosen on it.",
}
WORDS = ("name", "title", "sentence", "unit")  # of a kind
INCIDENTAL = ("choice", "evaluated_at")  # facts that change no number
COLUMNS = {"war": metrics.WAR, "uar": metrics.UAR}

Measure = Callable[[Kind, float], Results]


def main(
    workdir: str,
    split: str,
    num_passes: int,
    step: int | None,
    out: str | None,
    data_dir: str | None,
    kinds: Collection[str],
    command: str,
) -> None:
    """Measures a run, writes both files and prints the tables.

    Args:
      workdir, split, step, data_dir: as of `restored`.
      num_passes: each with new windows.
      out: the folder; None takes that of the evaluation.
      kinds: of `KINDS`. All that are in the file already stay there and are not
        measured again.
      command: as given but for the kinds, for the record.

    Raises:
      UserError: an unknown kind or split, no pass, no run, a folder that cannot be
        written or has an evaluation or a measurement of another checkpoint, of other
        data or passes.
    """
    for name in kinds:
        check_option("kinds", name, KINDS)
    protocol.check_passes(num_passes)
    logging.set_verbosity(logging.ERROR)
    memory.keep_freed()
    cache = Path(workdir).resolve().parent / "compilation_cache"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    run = restored.restore(workdir, step)
    out = Path(out or folder.default_folder(run.facts, split))
    check_writable(out)
    batches = restored.open_batches(run, split, data_dir)
    facts = {**run.facts, "source": batches.clips.source, "split": split}
    facts |= {"passes": num_passes, "num_clips": len(batches.clips)}
    content = robustness_report.read(out)
    robustness_report.check_beside(out, facts)
    done = _kept(content, facts, out)
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
        parts = make_measure(run, batches, num_passes), facts["setting"]
        for measured in measure(*parts, kinds, done):
            # The command that measures all kinds in the file at once.
            names = [x["name"] for x in measured["kinds"]]
            flag = "" if {*names} == {*KINDS} else f" --kinds={','.join(names)}"
            content = {**facts, "command": command + flag, **measured}
            text = json.dumps(content, indent=1, allow_nan=False) + "\n"
            write_whole(out / robustness_report.FILE, text)
        picture = robustness_report.draw(content)
        write_whole(out / robustness_report.FIGURE, picture)
    print(robustness_report.to_text(content))
    print(f"\n{out / robustness_report.FILE}\n{out / robustness_report.FIGURE}")


def _kept(
    earlier: Mapping[str, Any] | None, facts: Mapping[str, Any], out: Path
) -> dict[str, Any]:
    """Returns the kinds of an earlier file, by name.

    Raises:
      UserError: they would be measured otherwise today.
    """
    if earlier is None:
        return {}
    before, now = (
        {**x, "workdir": Path(x["workdir"]).resolve()} for x in (earlier, facts)
    )
    changed = [
        f"{name} {before[name]} (now {now[name]})"
        for name in sorted(facts.keys() & before.keys() - {*INCIDENTAL})
        if before[name] != now[name]
    ]
    grids = {name: [*kind.severities] for name, kind in KINDS.items()}
    kinds = {x["name"]: x for x in earlier["kinds"]}
    for name, kind in kinds.items():
        if [y["severity"] for y in kind["points"]] != grids.get(name):
            changed.append(f"other severities of {name}")
    if changed:
        remedy = "remove it, or give another folder with --out=DIR"
        rule = "a measurement as it would be made now"
        refuse(out / robustness_report.FILE, rule, ", ".join(changed), remedy)
    return kinds


def make_measure(run: restored.Restored, batches: Batches, num_passes: int) -> Measure:
    """Returns (kind, severity) -> the predictions of all passes."""
    predict = step_lib.make_predict(run.model)
    variables = step_lib.replicate(run.variables)
    clips = batches.clips

    def measure_one(kind: Kind, severity: float) -> Results:
        answers = (
            (batch, predict(variables, batch))
            for of_pass in range(num_passes)
            for batch in batches_of(batches, kind, severity, of_pass)
        )
        scores = protocol.evaluate(answers, len(clips), num_passes)
        truth = clips.labels, clips.names, clips.label_index.astype(int)
        return Results(None, *truth, scores.argmax(axis=-1), scores, clips.metadata)

    return measure_one


def measure(
    measure_one: Measure, setting: str, names: Collection[str], done: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yields what is known after each kind, as `robustness.json` has it.

    Args:
      measure_one: (kind, severity) -> predictions; the baseline is of `NOTHING`.
      setting: of the windows, such as "E4_S3".
      names: of kinds, in any order.
      done: kinds by name that are there already.
    """
    by_name, kinds = dict(done), [KINDS[x] for x in KINDS if x in {*names} - {*done}]
    if not kinds:
        return
    baseline = measure_one(NOTHING, 0)
    start = _start_json(baseline, setting)
    total = sum(len(kind.severities) - 1 for kind in kinds)
    with tqdm(total=total, desc="robustness", disable=None) as bar:
        for kind in kinds:
            points = []
            for severity in kind.severities:
                other = measure_one(kind, severity) if severity else baseline
                points.append({"severity": severity, **_point_json(baseline, other)})
                bar.update(severity != 0)
            words = {name: getattr(kind, name) for name in WORDS}
            by_name[kind.name] = {**words, "points": points}
            yield {**start, "kinds": [by_name[x] for x in KINDS if x in by_name]}


def _point_json(baseline: Results, other: Results) -> dict[str, Any]:
    compared = differences.compare(baseline, other)
    mean = summaries.summarise("", other).mean
    point = {}
    for name, column in COLUMNS.items():
        difference = compared[column]
        point[name] = mean[column]
        point[f"{name}_difference"] = difference.over_clips.value
        interval = difference.intervals()["volunteers"]
        point[f"{name}_interval"] = interval and [*interval]
    return point


def _start_json(results: Results, setting: str) -> dict[str, Any]:
    """Returns what does not depend on the kinds."""
    mean = summaries.summarise("", results).mean
    baseline = {name: mean[column] for name, column in COLUMNS.items()}
    for name, column in COLUMNS.items():
        baseline[f"{name}_interval"] = _over_volunteers(results, column)
    points = []
    of_setting = PUBLISHED.get(setting, [None] * len(see.LIGHTINGS))
    for x, published in zip(see.LIGHTINGS, of_setting, strict=True):
        share = mean.get(("lightings", x), math.nan)
        if not math.isnan(share):  # there are clips of it
            part = results.take(results.lightings == x)
            interval = _over_volunteers(part, metrics.WAR)
            point = {"lighting": x, "num_clips": len(part.names), "share": share}
            points.append({**point, "interval": interval, "published": published})
    return {
        "num_volunteers": results.num_volunteers,
        "baseline": baseline,
        "lightings": {**LIGHTINGS, "points": points} if points else None,
    }


def _over_volunteers(results: Results, column: metrics.Column) -> list[float] | None:
    interval = analysis.over_volunteers(results).get(column)
    return interval and [*interval]
