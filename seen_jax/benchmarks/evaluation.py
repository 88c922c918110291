"""How long an evaluation of a run takes, stage by stage.

    python -m seen_jax.benchmarks evaluation --workdir RUN [--passes 20] [--json]

The stages of eval.py: imports, restoring, passes, observing, writing, report. The files
go to a folder that is removed. What a reader would get wrong: nothing is taken from a
compilation cache, so that compiling is in the stages; a second eval.py is faster.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time

from seen_jax.benchmarks import arguments, timing


def measure(workdir: str, num_passes: int, split: str = "test") -> dict:
    """Evaluates once; returns seconds by stage, and of how many clips."""
    seconds, start = {}, time.perf_counter()

    def stage_is_done(name):
        nonlocal start
        now = time.perf_counter()
        seconds[name], start = now - start, now

    # Here, so that they are measured.
    from seen_jax.evaluation import report, run, writing

    stage_is_done("imports")
    restored = run.restore(workdir, split)
    stage_is_done("restore")
    with tempfile.TemporaryDirectory() as out:
        writing.prepare(out, num_passes)
        found = restored.evaluate(num_passes)
        stage_is_done("passes")
        observed = writing.observe_clips(restored)
        stage_is_done("observe")
        writing.write(restored, out, found, *observed, "benchmark")
        stage_is_done("write")
        report.to_text(report.summarise_directories([out]))
        stage_is_done("report")
    return {
        "machine": timing.machine(),
        "setting": restored.facts["setting"],
        "clips": found.shape[1],
        "passes": num_passes,
        "observed_clips": len(observed[0]),
        "seconds": seconds,
        "seconds_per_pass": seconds["passes"] / num_passes,
        "total_seconds": sum(seconds.values()),
    }


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m seen_jax.benchmarks evaluation")
    parser.add_argument("--workdir", required=True, help="folder of a run")
    parser.add_argument("--split", default="test")
    parser.add_argument("--passes", type=arguments.at_least(1), default=20)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    found = measure(args.workdir, args.passes, args.split)
    print(json.dumps(found, indent=1) if args.json else to_text(found))
    return 0


def to_text(found: dict) -> str:
    """Says it in a line for each stage."""
    lines = [
        f"{found['setting']}, {found['clips']} clips, {found['passes']} passes, "
        f"{found['observed_clips']} clips observed; {found['machine']}"
    ]
    lines += [f"{name:10}{value:9.1f} s" for name, value in found["seconds"].items()]
    lines.append(f"{'total':10}{found['total_seconds']:9.1f} s")
    return "\n".join([*lines, f"{found['seconds_per_pass']:.2f} s a pass"])
