"""Accuracy after the same training in JAX and in plain PyTorch, over several seeds.

    python -m seen_jax.benchmarks torch_training [--data_dir DIR] [--json]

A seed decides the initial weights, the windows and their order. Both programs get the
same, in float32, with the published recipe except for the batch size, and are evaluated
by the published protocol; WAR, the weighted average recall, is the share of clips that
are classified correctly. Without --data_dir 220 clips of 16 volunteers are simulated.

Note: the two trainings part from each other. A membrane within rounding of the
threshold fires in one program and not in the other, and the weights differ from there
on, so WAR is compared over seeds. In float64 they stay together, which is a test.
"""

from __future__ import annotations

import math
import statistics
import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from seen_jax.benchmarks import timing
from seen_jax.benchmarks.clips import open_data
from seen_jax.benchmarks.programs import Here, Plain, check_last_batch
from seen_jax.benchmarks.torch_seen import draw_weights
from seen_jax.data.batches import Batches
from seen_jax.data.records import open_records
from seen_jax.data.store import open_store
from seen_jax.protocol import evaluate

TRAININGS = {"JAX": Here, "PyTorch": Plain}


def measure(args: Namespace) -> dict[str, Any]:
    """Trains both programs once a seed; returns losses by epoch, and WAR, 0 to 1."""
    with open_data(args.data_dir, args.dataset, 220, 16) as data_dir:
        train, test = (
            open_store(open_records(data_dir, split, args.dataset))
            for split in ("train", "test")
        )
        check_last_batch(len(train.clips), args.batch_size)
        shared, seeds = (args.setting, args.batch_size), []
        shown = Batches(test, test.clips, *shared, 0, "eval")
        for seed in range(args.seeds):
            batches = Batches(train, train.clips, *shared, seed, "train")
            weights, outcomes = draw_weights(seed), {}
            for name, program in TRAININGS.items():
                training = program(weights, batches)
                losses = [training.epoch() for _ in range(args.epochs)]
                answers = training.make_predict(shown)(args.passes)
                found = evaluate(answers, len(test.clips), args.passes).argmax(-1)
                war = float((found == test.clips.label_index).mean())
                outcomes[name] = {"losses": losses, "war": war}
            seeds.append(outcomes)
            wars = [f"{name} {100 * x['war']:.1f}" for name, x in outcomes.items()]
            print(f"seed {seed}: WAR {', '.join(wars)}", file=sys.stderr)
    clips = f"{len(train.clips)} {train.clips.source} clips"
    what = (
        f"{args.setting}, {clips}, tested on {len(test.clips)}, {args.epochs} epochs, "
        f"batch {args.batch_size}, {args.passes} passes; {timing.machine()}"
    )
    return {"what": what, "seeds": seeds}


def to_text(result: Mapping[str, Any]) -> str:
    """Formats losses and WAR by seed, mean and spread, and how the means differ."""
    seeds = result["seeds"]
    lines = [
        result["what"],
        f"{'seed':12}{'loss of the last epoch':>26}{'WAR, percent':>26}",
        " " * 12 + "".join(f"{name:>13}" for name in (*TRAININGS, *TRAININGS)),
    ]
    for seed, outcomes in enumerate(seeds):
        values = [f"{outcomes[name]['losses'][-1]:13.4f}" for name in TRAININGS]
        values += [f"{100 * outcomes[name]['war']:13.1f}" for name in TRAININGS]
        lines.append(f"{seed:<12}" + "".join(values))
    wars = [[100 * outcomes[name]["war"] for outcomes in seeds] for name in TRAININGS]
    means = [*map(statistics.mean, wars)]
    cells, verdict = [f"{mean:.1f}" for mean in means], "one seed has no spread"
    if len(seeds) > 1:
        spreads = [*map(statistics.stdev, wars)]
        cells = [f"{m:.1f} +- {s:.1f}" for m, s in zip(means, spreads, strict=True)]
        pooled = math.hypot(*spreads) / math.sqrt(2)
        where = "within" if abs(means[0] - means[1]) <= pooled else "beyond"
        verdict = f"{where} the pooled standard deviation over seeds, {pooled:.1f}"
    lines.append(f"{'mean':38}" + "".join(f"{cell:>13}" for cell in cells))
    lines.append(f"JAX - PyTorch: {means[0] - means[1]:+.1f} points, {verdict}")
    return "\n".join(lines)
