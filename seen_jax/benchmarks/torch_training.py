"""Accuracy after the same training in JAX and in plain PyTorch, over several seeds.

    python -m seen_jax.benchmarks torch_training [--data_dir DIR] [--json]

A seed decides the initial weights, the windows and their order, in float32, with the
published recipe except for the batch size. WAR, the weighted average recall, is the
share of clips that are classified correctly. Without --data_dir 220 clips of 16
volunteers are simulated.

Note: a membrane within rounding of the threshold fires in one program and not in the
other, and the weights differ from there on, so WAR is compared over seeds.
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
from seen_jax.errors import counted
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
                predicted = evaluate(answers, len(test.clips), args.passes).argmax(-1)
                war = float((predicted == test.clips.label_index).mean())
                outcomes[name] = {"losses": losses, "war": war}
            seeds.append(outcomes)
            print(_seed_text(seed, outcomes), file=sys.stderr)
    what = (
        f"{args.setting}, {len(train.clips)} {train.clips.source} clips, tested on "
        f"{len(test.clips)}, {counted(args.epochs, 'epoch')}, batch {args.batch_size}, "
        f"{counted(args.passes, 'pass')}; {timing.machine()}"
    )
    return {"what": what, "seeds": seeds}


def _seed_text(seed: int, outcomes: Mapping[str, Any]) -> str:
    each = (
        f"{name} loss {x['losses'][-1]:.4f}, WAR {100 * x['war']:.1f} %"
        for name, x in outcomes.items()
    )
    return f"seed {seed}: {'; '.join(each)}"


def to_text(result: Mapping[str, Any]) -> str:
    """Formats last loss and WAR by seed, mean and spread, and how the means differ."""
    seeds, verdict = result["seeds"], "one seed has no spread"
    wars = [[100 * outcomes[name]["war"] for outcomes in seeds] for name in TRAININGS]
    means = [*map(statistics.mean, wars)]
    cells, difference = [f"{mean:.1f}" for mean in means], means[0] - means[1]
    if len(seeds) > 1:
        spreads = [*map(statistics.stdev, wars)]
        cells = [f"{m:.1f} +- {s:.1f}" for m, s in zip(means, spreads, strict=True)]
        pooled = math.hypot(*spreads) / math.sqrt(2)
        where = "within" if abs(difference) <= pooled else "beyond"
        verdict = f"{where} the pooled standard deviation over seeds, {pooled:.1f}"
    each = (f"{name} {x} %" for name, x in zip(TRAININGS, cells, strict=True))
    lines = [result["what"], *map(_seed_text, range(len(seeds)), seeds)]
    lines.append(f"mean WAR: {'; '.join(each)}")
    return "\n".join([*lines, f"JAX - PyTorch: {difference:+.1f} points, {verdict}"])
