"""The analysis of one evaluation as text and as JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from seen_jax import metrics
from seen_jax.errors import printable
from seen_jax.evaluation import analysis, statistics
from seen_jax.evaluation.results import Results

WHOLE = (metrics.WAR, metrics.UAR)


def to_text(results: Results) -> str:
    """Formats the analysis for a terminal, in percent."""
    parts = (_confusion_text, _interval_text, _group_text, _calibration_text)
    return "\n\n".join(part(results) for part in parts)


def _confusion_text(results: Results) -> str:
    labels, short = results.labels, [label[:5] for label in results.labels]
    if len({*short}) < len(labels):  # "class 1" and "class 2" both begin with "class"
        short = [str(number) for number in range(1, len(labels) + 1)]
        labels = [f"{i} {label}" for i, label in zip(short, labels, strict=True)]
    width = max(10, 1 + max(map(len, labels)))
    lines = ["Clips by true (rows) and predicted class, mean of the passes"]
    lines.append(" " * width + "".join(f"{label:>7}" for label in short))
    for label, row in zip(labels, analysis.confusion(results), strict=True):
        lines.append(label.ljust(width) + "".join(f"{count:7.1f}" for count in row))
    return "\n".join(lines)


def _interval_text(results: Results) -> str:
    lines = [
        f"{100 * statistics.LEVEL:.0f} % intervals in percent, by leaving out one unit "
        "at a time"
    ]
    rows = [(len(results.names), "clips", analysis.over_clips(results))]
    if people := results.num_volunteers:
        rows.append((people, "volunteers", analysis.over_volunteers(results)))
    for count, units, intervals in rows:
        text = "   ".join(
            f"{x[1]} {statistics.interval_text(intervals[x]):>14}"
            for x in WHOLE
            if x in intervals
        )
        text = text or f"too few {units}, fewer than {statistics.FEWEST}"
        lines.append(f"{f'of the {count} {units}':<24}{text}")
    if not people:
        lines.append(
            "of volunteers           not known: clips do not name who they show"
        )
    return "\n".join(lines)


def _group_text(results: Results) -> str:
    groups = analysis.by_group(results)
    if not groups:
        return "Groups: none, since no metadata field has a few values."
    names = [printable(f"{group.kind} {group.name}") for group in groups]
    width = max(24, *(2 + len(name) for name in names))
    lines = [f"{'':<{width}}WAR %  UAR %  clips  volunteers"]
    for name, group in zip(names, groups, strict=True):
        people = "-" if group.num_volunteers is None else group.num_volunteers
        lines.append(
            f"{name:<{width}}{100 * group.war:5.1f}  "
            f"{100 * group.uar:5.1f}  {group.num_clips:5}  {people:>10}"
        )
    return "\n".join(lines)


def _calibration_text(results: Results) -> str:
    calibration = analysis.calibration(results)
    if calibration is None:
        return "Calibration: not known, the files do not list all classes."
    error = 100 * calibration.error
    lines = [f"Expected calibration error {error:.1f} percentage points"]
    lines.append("best score %  predictions  mean score %  right %")
    for i, count in enumerate(calibration.counts):
        if count:
            low, high = (100 * j // len(calibration.counts) for j in (i, i + 1))
            confidence, accuracy = calibration.confidence[i], calibration.accuracy[i]
            lines.append(
                f"{low:3} to {high:3}    {count:11}  "
                f"{100 * confidence:12.1f}  {100 * accuracy:7.1f}"
            )
    return "\n".join(lines)


def to_json(results: Results) -> dict[str, Any]:
    """Returns the analysis for programs: shares from 0 to 1, None where unknown."""
    calibration = analysis.calibration(results)
    of_calibration = calibration and {
        "error": calibration.error,
        "counts": calibration.counts.tolist(),
        "confidence": _known(calibration.confidence),
        "accuracy": _known(calibration.accuracy),
    }
    return {
        "labels": list(results.labels),
        "confusion": analysis.confusion(results).tolist(),
        "interval_over_clips": _plain(analysis.over_clips(results)),
        "interval_over_volunteers": _plain(analysis.over_volunteers(results)),
        "groups": [dataclasses.asdict(group) for group in analysis.by_group(results)],
        "calibration": of_calibration,
    }


def _plain(intervals: dict) -> dict[str, list[float]] | None:
    return {x[1]: [*intervals[x]] for x in WHOLE if x in intervals} or None


def _known(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(x) else x for x in values.tolist()]
