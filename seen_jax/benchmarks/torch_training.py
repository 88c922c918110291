"""Accuracy after the same training in JAX and in plain PyTorch, over several seeds.

    python -m seen_jax.benchmarks torch_training [--data_dir DIR] [--json]

A seed decides the initial weights, the windows and their order. Both programs get the
same, in float32, with the published recipe except for the batch size, and are evaluated
by the published protocol; WAR, the weighted average recall, is the share of clips that
are classified correctly.

Note: the two trainings part from each other. A membrane within rounding of the
threshold fires in one program and not in the other, and the weights differ from there
on, so WAR is compared over seeds. In float64 they stay together, which is a test.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Mapping
from typing import Any

from seen_jax import metrics
from seen_jax.benchmarks import arguments, here, timing, torch_epochs, torch_seen
from seen_jax.benchmarks.clips import open_data
from seen_jax.benchmarks.here import Weights
from seen_jax.data.batches import Batches
from seen_jax.data.records import open_records
from seen_jax.data.store import open_store
from seen_jax.protocol import NUM_PASSES, evaluate

TRAININGS: dict[str, Callable[[Weights, Batches], Any]] = {
    "JAX": here.Training,
    "PyTorch": torch_epochs.Training,
}
# What a training came to: "losses", the mean of each epoch, and "war", 0 to 1, the mean
# over the passes of the evaluation.
Outcome = Mapping[str, Any]


def compare(
    train: Batches, test: Batches, weights: Weights, num_epochs: int, num_passes: int
) -> dict[str, Outcome]:
    """Trains both programs from the same weights on the same batches."""
    clips, outcomes = test.clips, {}
    for name, make_training in TRAININGS.items():
        training = make_training(weights, train)
        losses = [training.epoch() for _ in range(num_epochs)]
        answers = training.answers(test, num_passes)
        predictions = evaluate(answers, len(clips), num_passes).argmax(axis=-1)
        wars = [
            metrics.war(metrics.confusion(clips.label_index, x, len(clips.labels)))
            for x in predictions
        ]
        outcomes[name] = {"losses": losses, "war": statistics.mean(wars)}
    return outcomes


def to_text(result: Mapping[str, Any]) -> str:
    """Formats losses and WAR by seed, mean and spread, and how the means differ."""
    names = [*TRAININGS]
    lines = [
        result["what"],
        f"{'seed':12}{'loss of the last epoch':>26}{'WAR, percent':>26}",
        " " * 12 + "".join(f"{name:>13}" for name in (*names, *names)),
    ]
    for seed, outcomes in enumerate(result["seeds"]):
        values = [f"{outcomes[name]['losses'][-1]:.4f}" for name in names]
        values += [f"{100 * outcomes[name]['war']:.1f}" for name in names]
        lines.append(f"{seed:<12}" + "".join(f"{value:>13}" for value in values))
    wars = {x: [100 * o[x]["war"] for o in result["seeds"]] for x in names}
    means = [statistics.mean(values) for values in wars.values()]
    cells, verdict = [f"{mean:.1f}" for mean in means], "one seed has no spread"
    if len(result["seeds"]) > 1:
        spreads = [statistics.stdev(values) for values in wars.values()]
        cells = [f"{m:.1f} +- {s:.1f}" for m, s in zip(means, spreads, strict=True)]
        pooled = math.hypot(*spreads) / math.sqrt(2)
        where = "within" if abs(means[0] - means[1]) <= pooled else "beyond"
        verdict = f"{where} the pooled standard deviation over seeds, {pooled:.1f}"
    lines.append(f"{'mean':38}" + "".join(f"{cell:>13}" for cell in cells))
    lines.append(f"JAX - PyTorch: {means[0] - means[1]:+.1f} points, {verdict}")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_data(parser, "220 clips of 16 volunteers", "by_volunteer")
    arguments.add_setting(parser)
    text = "default: 8; at the published 32, 10 epochs of so few clips are too few "
    text += "steps to leave chance"
    arguments.add_numbers(parser, text=text, batch_size=8)
    arguments.add_numbers(parser, epochs=10, seeds=3, passes=NUM_PASSES)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    with open_data(args.data_dir, 220, 16, args.dataset) as data_dir:
        train, test = (
            open_store(open_records(data_dir, split, args.dataset))
            for split in ("train", "test")
        )
        arguments.check_last_batch(len(train.clips), args.batch_size)
        shared, seeds = (args.setting, args.batch_size), []
        shown = Batches(test, test.clips, *shared, 0, "eval")
        for seed in range(args.seeds):
            batches = Batches(train, train.clips, *shared, seed, "train")
            weights = torch_seen.draw_weights(seed)
            outcomes = compare(batches, shown, weights, args.epochs, args.passes)
            seeds.append(outcomes)
            wars = [f"{name} {100 * x['war']:.1f}" for name, x in outcomes.items()]
            print(f"seed {seed}: WAR {', '.join(wars)}", file=sys.stderr)
    clips = f"{len(train.clips)} {train.clips.source} clips"
    what = (
        f"{args.setting}, {clips}, tested on {len(test.clips)}, {args.epochs} epochs, "
        f"batch {args.batch_size}, {args.passes} passes; {timing.machine()}"
    )
    return {"what": what, "seeds": seeds}
