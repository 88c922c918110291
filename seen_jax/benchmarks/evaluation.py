"""How long an evaluation of a run takes, stage by stage.

    python -m seen_jax.benchmarks evaluation --workdir RUN [--passes 20] [--json]

The stages of eval.py: imports, restoring, passes, observing, writing, report. The files
go to a folder that is removed. Nothing is taken from a compilation cache, so the stages
include compiling; a second eval.py is faster.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from seen_jax.benchmarks import timing
from seen_jax.errors import counted


def measure(args: Namespace) -> dict[str, Any]:
    """Evaluates once; returns seconds by stage."""
    seconds, start = {}, time.perf_counter()

    def stage_is_done(name):
        seconds[name] = time.perf_counter() - start - sum(seconds.values())

    # Here, so that they are measured.
    from seen_jax.evaluation import folder, observe, report, restored, summaries

    stage_is_done("imports")
    run = restored.restore(args.workdir)
    batches = restored.open_batches(run, args.split)
    stage_is_done("restore")
    with tempfile.TemporaryDirectory() as out:
        folder.prepare(out, args.passes)
        shares = restored.evaluate(run, batches, args.passes)
        stage_is_done("passes")
        observed = observe.observe_clips(run.model, run.variables, batches)
        stage_is_done("observe")
        folder.write(run, args.split, batches, shares, observed, out, "benchmark")
        stage_is_done("write")
        report.to_text(summaries.summarise_directories([out]))
        stage_is_done("report")
    return {
        "machine": timing.machine(),
        "setting": run.facts["setting"],
        "clips": len(batches.clips),
        "passes": args.passes,
        "observed_clips": len(observed[0]),
        "seconds": seconds,
        "seconds_per_pass": seconds["passes"] / args.passes,
        "total_seconds": sum(seconds.values()),
    }


def to_text(result: Mapping[str, Any]) -> str:
    """Formats a line for each stage."""
    stages = result["seconds"] | {"total": result["total_seconds"]}
    first = (
        f"{result['setting']}, {result['clips']} clips, "
        f"{counted(result['passes'], 'pass')}, "
        f"{result['observed_clips']} clips observed; {result['machine']}"
    )
    lines = [f"{name:10}{value:9.1f} s" for name, value in stages.items()]
    return "\n".join([first, *lines, f"{result['seconds_per_pass']:.2f} s a pass"])
