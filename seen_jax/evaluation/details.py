"""The analysis of one evaluation as text and as JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from seen_jax import see
from seen_jax.evaluation import analysis
from seen_jax.evaluation.results import Results


def to_text(results: Results) -> str:
    """Says it for a terminal, in percent."""
    parts = [
        _confusion_text(results),
        _interval_text(results),
        _group_text(results),
        _calibration_text(results),
    ]
    return "\n\n".join(parts)


def _confusion_text(results: Results) -> str:
    matrix = analysis.confusion(results)
    short = [emotion[:5] for emotion in see.EMOTIONS]
    lines = ["Clips by true (rows) and predicted emotion, mean of the passes"]
    lines.append(" " * 10 + "".join(f"{name:>7}" for name in short))
    for emotion, row in zip(see.EMOTIONS, matrix, strict=True):
        lines.append(f"{emotion:<10}" + "".join(f"{count:7.1f}" for count in row))
    return "\n".join(lines)


def _interval_text(results: Results) -> str:
    lines = [
        f"{100 * analysis.LEVEL:.0f} % intervals in percent, by {analysis.NUM_DRAWS} "
        "draws"
    ]
    people = len({name.volunteer for name in results.names})
    for count, units, found in (
        (len(results.names), "clips", analysis.over_clips(results)),
        (people, "volunteers", analysis.over_volunteers(results)),
    ):
        lines.append(f"{f'of the {count} {units}':<24}{_interval(found, count, units)}")
    return "\n".join(lines)


def _interval(found: dict[str, analysis.Interval] | None, count: int, units: str):
    if found is None:
        return f"too few {units}, fewer than {analysis.FEWEST}"
    each = "   ".join(
        f"{name} {100 * x.low:5.1f} to {100 * x.high:5.1f}" for name, x in found.items()
    )
    return each + (f"   rough: few {units}" if count < analysis.FEW else "")


def _group_text(results: Results) -> str:
    lines = [f"{'':<24}WAR %  UAR %  clips  volunteers"]
    for group in analysis.by_group(results):
        lines.append(
            f"{group.kind + ' ' + group.name:<24}{100 * group.war:5.1f}  "
            f"{100 * group.uar:5.1f}  {group.num_clips:5}  {group.num_volunteers:10}"
        )
    return "\n".join(lines)


def _calibration_text(results: Results) -> str:
    found = analysis.calibration(results)
    if found is None:
        return "Calibration: not known, the files do not list all classes."
    lines = [f"Expected calibration error {100 * found.error:.1f} percentage points"]
    lines.append("best score %  predictions  mean score %  right %")
    for i, count in enumerate(found.counts):
        if count:
            low, high = (100 * j // len(found.counts) for j in (i, i + 1))
            lines.append(
                f"{low:3} to {high:3}    {count:11}  "
                f"{100 * found.confidence[i]:12.1f}  {100 * found.accuracy[i]:7.1f}"
            )
    return "\n".join(lines)


def to_json(results: Results) -> dict[str, Any]:
    """Returns the same for programs: shares from 0 to 1, None where unknown."""
    calibration = analysis.calibration(results)
    return {
        "emotions": list(see.EMOTIONS),
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


def _plain(intervals: dict[str, analysis.Interval] | None):
    return intervals and {name: [x.low, x.high] for name, x in intervals.items()}


def _known(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(x) else x for x in values.tolist()]
