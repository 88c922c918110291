"""The analysis of one evaluation as text and as JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from seen_jax.evaluation import analysis
from seen_jax.evaluation.results import Results

Intervals = dict[str, analysis.Interval]


def to_text(results: Results) -> str:
    """Formats the analysis for a terminal, in percent."""
    parts = (_confusion_text, _interval_text, _group_text, _calibration_text)
    return "\n\n".join(part(results) for part in parts)


def _confusion_text(results: Results) -> str:
    width = max(10, 1 + max(map(len, results.labels)))
    short = "".join(f"{label[:5]:>7}" for label in results.labels)
    lines = ["Clips by true (rows) and predicted class, mean of the passes"]
    lines.append(" " * width + short)
    for label, row in zip(results.labels, analysis.confusion(results), strict=True):
        lines.append(label.ljust(width) + "".join(f"{count:7.1f}" for count in row))
    return "\n".join(lines)


def _interval_text(results: Results) -> str:
    lines = [
        f"{100 * analysis.LEVEL:.0f} % intervals in percent, by {analysis.NUM_DRAWS} "
        "draws"
    ]
    people = len({name.volunteer for name in results.names})
    for count, units, intervals in (
        (len(results.names), "clips", analysis.over_clips(results)),
        (people, "volunteers", analysis.over_volunteers(results)),
    ):
        text = _interval(intervals, count, units)
        lines.append(f"{f'of the {count} {units}':<24}{text}")
    return "\n".join(lines)


def _interval(intervals: Intervals | None, count: int, units: str) -> str:
    if intervals is None:
        return f"too few {units}, fewer than {analysis.FEWEST}"
    text = "   ".join(
        f"{name} {100 * x.low:5.1f} to {100 * x.high:5.1f}"
        for name, x in intervals.items()
    )
    return text + (f"   rough: few {units}" if count < analysis.FEW else "")


def _group_text(results: Results) -> str:
    lines = [f"{'':<24}WAR %  UAR %  clips  volunteers"]
    for group in analysis.by_group(results):
        lines.append(
            f"{group.kind + ' ' + group.name:<24}{100 * group.war:5.1f}  "
            f"{100 * group.uar:5.1f}  {group.num_clips:5}  {group.num_volunteers:10}"
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
    return {
        "labels": list(results.labels),
        "confusion": analysis.confusion(results).tolist(),
        "interval_over_clips": _plain(analysis.over_clips(results)),
        "interval_over_volunteers": _plain(analysis.over_volunteers(results)),
        "groups": [dataclasses.asdict(group) for group in analysis.by_group(results)],
        "calibration": None
        if calibration is None
        else {
            "error": calibration.error,
            "counts": calibration.counts.tolist(),
            "confidence": _known(calibration.confidence),
            "accuracy": _known(calibration.accuracy),
        },
    }


def _plain(intervals: Intervals | None):
    return intervals and {name: [x.low, x.high] for name, x in intervals.items()}


def _known(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(x) else x for x in values.tolist()]
