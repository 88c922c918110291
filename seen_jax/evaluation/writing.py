"""A restored run -> result files, where they come from, and what a report shows.

What a reader would get wrong: result files that are there are replaced one by one.
`evaluation.json` is removed first and written last, so that it is never of others.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from seen_jax.evaluation import efficiency, observe, provenance, results, shown
from seen_jax.evaluation.activity import Activity
from seen_jax.evaluation.run import Restored
from seen_jax.models.counting import count_parameters
from seen_jax.training import workdir
from seen_jax.training.journal import read_rows


def default_directory(restored: Restored) -> Path:
    """Returns RUN/evaluation/<split>_<step>."""
    facts = restored.facts
    name = f"{facts['split']}_{facts['step']}"
    return Path(facts["workdir"]) / "evaluation" / name


def write_evaluation(
    restored: Restored, out: str | os.PathLike, num_passes: int, command: str
) -> np.ndarray:
    """Evaluates and writes a result file for each pass, and where they come from.

    Args:
      restored: what `run.restore` gave.
      out: directory, made if needed; an evaluation that is there is replaced.
      num_passes: P.
      command: that was given, for the record.

    Returns:
      (P, N, K) probabilities.

    Raises:
      ValueError: as `protocol.evaluate` and `results.write_results`.
      OSError: the directory cannot be written.
    """
    prepare(out, num_passes)
    found = restored.evaluate(num_passes)
    write(restored, out, found, *observe_clips(restored), command)
    return found


def prepare(out: str | os.PathLike, num_passes: int) -> None:
    """Makes the directory, or takes the facts off results that are to be replaced."""
    with workdir.reported(Path(out)):
        Path(out).mkdir(parents=True, exist_ok=True)
        results.check_room(out, num_passes)
        (Path(out) / provenance.FILE).unlink(missing_ok=True)


def observe_clips(restored: Restored) -> tuple[np.ndarray, Activity]:
    """As `observe.observe_clips`."""
    return observe.observe_clips(restored.model, restored.variables, restored.batches)


def write(
    restored: Restored,
    out: str | os.PathLike,
    probabilities: np.ndarray,
    observed: np.ndarray,
    activity: Activity,
    command: str,
) -> None:
    """Writes what was found.

    Args:
      restored, out, command: as for `write_evaluation`.
      probabilities: (P, N, K).
      observed, activity: what `observe_clips` gave.
    """
    batches, variables = restored.batches, restored.variables
    records, names = batches.provider.records, np.array(batches.provider.records.names)
    clips = shown.choose(records.label_index, probabilities[0])
    counts = batches.setting.num_event_frames, len(batches.intensity_places)
    macs = observe.count_macs(restored.model, variables, *counts)
    found = efficiency.estimate(activity, count_parameters(variables), macs)
    kinds = provenance.CURVES | provenance.EVALUATED
    curves = [
        {name: row[name] for name in kinds if name in row}
        for row in read_rows(restored.facts["workdir"])
    ]
    facts = {
        **restored.facts,
        "passes": len(probabilities),
        "command": command,
        "efficiency": efficiency.to_json(found),
        "curves": curves,
    }
    picture = shown.Shown(
        names[observed],
        activity.attention,
        activity.spatial_rate,
        activity.rates,
        names[clips],
        *observe.first_windows(batches, clips),
    )
    with workdir.reported(Path(out)):
        shown.save(out, picture)
        results.write_results(out, records.names, records.labels, probabilities)
        provenance.write(out, facts)
