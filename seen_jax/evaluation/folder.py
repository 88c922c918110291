"""The folder of an evaluation of a run.

    test_<pass>.json   every clip's scores, in the published form
    examples.npz       activity by clip and example windows of the first pass
    evaluation.json    where they come from, training curves, operations and energy

Note: result files are replaced one by one, so `evaluation.json` is removed first and
written last, and never describes other files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seen_jax.evaluation import efficiency, examples, observe, provenance, results
from seen_jax.evaluation.activity import Activity
from seen_jax.evaluation.examples import Examples
from seen_jax.files import check_writable, explained
from seen_jax.models.counting import count_parameters
from seen_jax.training.rows import read_rows

PLACES = {"data_dir", "store_dir"}  # fields that are of a machine
KINDS = "volunteer", "lighting"  # of which examples show as many as they can

if TYPE_CHECKING:
    from seen_jax.data.batches import Batches
    from seen_jax.data.clips import Clips
    from seen_jax.evaluation.restored import Restored


def default_folder(facts: dict[str, Any], split: str) -> Path:
    """Returns RUN/evaluation/<split>_<step>."""
    return Path(facts["workdir"]) / "evaluation" / f"{split}_{facts['step']}"


def check(out: str | os.PathLike, num_passes: int) -> None:
    """Raises what `prepare` would, as far as it can be known beforehand."""
    check_writable(out)
    with explained(out):
        if Path(out).is_dir():
            results.check_room(Path(out), num_passes)


def prepare(out: str | os.PathLike, num_passes: int) -> None:
    """Makes the folder, or takes `evaluation.json` away from results to be replaced.

    Raises:
      UserError: it cannot be written, or holds result files of more passes.
    """
    check(out, num_passes)
    with explained(out):
        Path(out).mkdir(parents=True, exist_ok=True)
        (Path(out) / provenance.FILE).unlink(missing_ok=True)


def write(
    restored: Restored,
    split: str,
    batches: Batches,
    probabilities: np.ndarray,
    observed: tuple[np.ndarray, Activity | None],
    out: str | os.PathLike,
    command: str,
) -> None:
    """Writes the files of an evaluation into a folder that `prepare` made.

    Args:
      restored: the checkpoint.
      split: of the clips.
      batches: of the clips, with purpose "eval".
      probabilities: (P, N, K).
      observed: what `observe.observe_clips` returned.
      out: the folder.
      command: as given, for the record.

    Raises:
      UserError: the folder cannot be written.
    """
    clips, (numbers, activity) = batches.clips, observed
    model, variables = restored.model, restored.variables
    macs = observe.count_macs(model, variables, batches.setting.num_event_frames)
    num_parameters = count_parameters(variables)
    kinds = provenance.CURVES | provenance.EVALUATED
    curves = [
        {name: row[name] for name in kinds if name in row}
        for row in read_rows(restored.facts["workdir"])
    ]
    facts = {
        **restored.facts,
        "source": clips.source,
        "split": split,
        "passes": len(probabilities),
        "command": command,
        "size": {"num_parameters": num_parameters, "macs": macs},
        "config": {x: y for x, y in restored.config.items() if x not in PLACES},
        "curves": curves,
        "clips": _clips_facts(clips),
        "frames_per_s": float(clips.frames_per_s),
        "counts": batches.counts,
    }
    names, of_activity = np.array(clips.names), {}
    if activity is not None:
        facts["efficiency"] = efficiency.estimate(activity, num_parameters, macs)
        names_of_activity = ("attention", "spatial_rate", "rates")
        of_activity = {name: getattr(activity, name) for name in names_of_activity}
        of_activity["observed"] = names[numbers]
    kinds = [clips.metadata[x] for x in KINDS if x in clips.metadata]
    chosen = examples.choose(clips.label_index, probabilities[0], kinds)
    windows = *batches.first_windows(chosen), *batches.first_films(chosen)
    shown = Examples(names[chosen], *windows, **of_activity)
    examples.save(out, shown)
    results.write_results(out, clips.names, clips.labels, probabilities)
    provenance.write(out, facts)


def _clips_facts(clips: Clips) -> dict[str, Any]:
    """Returns what result files do not say of their clips; see `results`."""

    def plain(value):
        value = value.item() if isinstance(value, np.generic) else value
        return "" if value is None or value != value else value  # nan

    metadata = {field: [*map(plain, x)] for field, x in clips.metadata.items()}
    labels = [clips.labels[k] for k in clips.label_index]
    return {"names": list(clips.names), "labels": labels, "metadata": metadata}
