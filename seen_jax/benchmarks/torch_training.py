"""WAR after the same training in JAX and in plain PyTorch, over several seeds.

    python -m seen_jax.benchmarks torch_training [--data_dir DIR] [--json]

A seed decides the initial weights, the windows and their order. Both programs are given
the same, in float32, with the published recipe but for the size of the batch, and are
evaluated by the published protocol. What a reader would get wrong: the two do not stay
together. A membrane within rounding of the threshold fires in one program and not in
the other, and the weights part from there, so WAR is compared over seeds. In float64
they do stay together, which is a test.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import torch

from seen_jax import metrics
from seen_jax.benchmarks import arguments, timing, torch_seen
from seen_jax.benchmarks.data import make_data
from seen_jax.data.batches import Batches
from seen_jax.data.records import open_records
from seen_jax.data.store import Store, open_store
from seen_jax.data.windows import Setting
from seen_jax.export.convert import variables_from_torch
from seen_jax.models.fast.network import network
from seen_jax.protocol import NUM_PASSES, PredictFn, evaluate
from seen_jax.training import step
from seen_jax.training.optimizer import learning_rate_by_epoch, sgd
from seen_jax.training.state import TrainState

Weights = Mapping[str, np.ndarray]  # by published name


@dataclass(frozen=True)
class Outcome:
    """What one training came to.

    Attributes:
      losses: mean of each epoch.
      war: mean over the passes of the evaluation, 0 to 1.
    """

    losses: tuple[float, ...]
    war: float


def initial_weights(seed: int) -> Weights:
    """Draws weights as PyTorch does by default."""
    torch.manual_seed(seed)
    return {name: x.numpy() for name, x in torch_seen.SEEN().state_dict().items()}


def train_jax(
    weights: Weights, batches: Batches, num_epochs: int
) -> tuple[list[float], PredictFn]:
    """Trains by this project's own step; returns the losses by epoch and the result."""
    devices = jax.local_devices()[:1]
    rate = learning_rate_by_epoch(
        torch_seen.LEARNING_RATE,
        decay=torch_seen.LEARNING_RATE_DECAY,
        steps_per_epoch=len(batches),
    )
    optimizer = sgd(
        rate, momentum=torch_seen.MOMENTUM, weight_decay=torch_seen.WEIGHT_DECAY
    )
    model = network(axis_name=step.AXIS)
    train_step = step.make_train_step(model, optimizer, devices)
    variables = variables_from_torch(weights)
    opt_state = optimizer.init(variables["params"])
    state = TrainState(np.zeros((), np.int32), **variables, opt_state=opt_state)
    state, losses = step.replicate(state, devices), []
    for epoch in range(num_epochs):
        of_epoch = []
        for number in range(epoch * len(batches), (epoch + 1) * len(batches)):
            state, sums = train_step(state, batches.batch(number))
            of_epoch.append(sums)
        sums = [step.first(x) for x in of_epoch]
        losses.append(sum(s["loss"] for s in sums) / sum(s["count"] for s in sums))
    predict = step.make_predict(model, devices)
    return losses, lambda batch: predict(state.variables, batch)


def train_torch(
    weights: Weights, batches: Batches, num_epochs: int
) -> tuple[list[float], PredictFn]:
    """Trains the plain program on the same; returns the losses and the result."""
    network = torch_seen.load(torch_seen.SEEN(), weights)
    optimizer, schedule = torch_seen.recipe(network)
    losses = []
    for epoch in range(num_epochs):
        total = count = 0
        for number in range(epoch * len(batches), (epoch + 1) * len(batches)):
            given = torch_seen.inputs(batches.batch(number))
            num_windows = len(given[-1])
            loss = torch_seen.train_step(network, optimizer, *given)
            total, count = total + loss.item() * num_windows, count + num_windows
        losses.append(total / count)
        schedule.step()

    def predict(batch):
        every_row = {**batch, "mask": np.ones_like(batch["mask"])}
        return torch_seen.predict(network, *torch_seen.inputs(every_row)[:2])

    return losses, predict


WAYS: dict[str, Callable[..., tuple[list[float], PredictFn]]] = {
    "JAX": train_jax,
    "PyTorch": train_torch,
}


def compare(
    stores: tuple[Store, Store],
    setting: Setting,
    batch_size: int,
    num_epochs: int,
    num_passes: int,
    seed: int,
) -> dict[str, Outcome]:
    """Trains in both from one seed.

    Args:
      stores: what is trained on, what is evaluated on.
      setting, batch_size, num_epochs, num_passes, seed: of both.

    Raises:
      ValueError: a batch would be of a single window.
    """
    arguments.check_last_batch(len(stores[0].records), batch_size)
    batches = Batches(stores[0], setting, batch_size, seed, "train")
    shown = Batches(stores[1], setting, batch_size, 0, "eval")
    labels, weights, outcomes = stores[1].records.label_index, initial_weights(seed), {}
    for name, train in WAYS.items():
        losses, predict_fn = train(weights, batches, num_epochs)
        predictions = evaluate(predict_fn, shown, num_passes).argmax(axis=-1)
        num_classes = len(stores[1].records.labels)
        wars = [
            metrics.war(metrics.confusion(labels, p, num_classes)) for p in predictions
        ]
        outcomes[name] = Outcome(tuple(map(float, losses)), statistics.mean(wars))
        print(
            f"seed {seed} {name}: WAR {100 * outcomes[name].war:.1f}", file=sys.stderr
        )
    return outcomes


def table(by_seed: Mapping[int, Mapping[str, Outcome]]) -> str:
    """Formats losses and WAR by seed, mean and spread, and what to make of them."""
    lines = [f"{'seed':12}{'loss of the last epoch':>26}{'WAR, percent':>26}"]
    lines.append(" " * 12 + "".join(f"{name:>13}" for name in (*WAYS, *WAYS)))
    for seed, outcomes in by_seed.items():
        values = [f"{outcomes[name].losses[-1]:.4f}" for name in WAYS]
        values += [f"{100 * outcomes[name].war:.1f}" for name in WAYS]
        lines.append(f"{seed:<12}" + "".join(f"{value:>13}" for value in values))
    wars = {name: [100 * o[name].war for o in by_seed.values()] for name in WAYS}
    spreads = {name: spread_over_seeds(wars[name]) for name in WAYS}
    cells = [
        f"{statistics.mean(wars[name]):.1f}"
        + ("" if math.isnan(spreads[name]) else f" +- {spreads[name]:.1f}")
        for name in WAYS
    ]
    lines.append(f"{'mean':38}" + "".join(f"{cell:>13}" for cell in cells))
    difference = statistics.mean(wars["JAX"]) - statistics.mean(wars["PyTorch"])
    lines.append(
        f"JAX - PyTorch: {difference:+.1f} points, {_verdict(difference, spreads)}"
    )
    return "\n".join(lines)


def _verdict(difference: float, spreads: Mapping[str, float]) -> str:
    spread = math.hypot(*spreads.values()) / math.sqrt(2)
    if math.isnan(spread):
        return "of one seed, which has no spread to compare it with"
    where = "within" if abs(difference) <= spread else "beyond"
    return f"{where} the standard deviation over seeds, of both pooled, {spread:.1f}"


def spread_over_seeds(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m seen_jax.benchmarks torch_training"
    )
    parser.add_argument(
        "--data_dir", type=Path, help="default: simulates 220 clips of 16 volunteers"
    )
    parser.add_argument(
        "--dataset",
        choices=("by_volunteer", "published"),
        default="by_volunteer",
        help="default: %(default)s",
    )
    parser.add_argument("--setting", type=Setting.parse, default=Setting(4, 3))
    parser.add_argument(
        "--batch_size",
        type=arguments.at_least(1),
        default=8,
        help="default: 8; in 10 epochs of the published 32, so few clips are too few "
        "steps to leave chance",
    )
    parser.add_argument("--epochs", type=arguments.at_least(1), default=10)
    parser.add_argument(
        "--seeds", type=arguments.at_least(1), default=3, help="how many; default: 3"
    )
    parser.add_argument("--passes", type=arguments.at_least(1), default=NUM_PASSES)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        data_dir = args.data_dir or make_data(Path(temporary), 220, 16, args.dataset)
        splits = [open_records(data_dir, x, args.dataset) for x in ("train", "test")]
        stores = tuple(map(open_store, splits))
        sizes = args.batch_size, args.epochs, args.passes
        by_seed = {
            seed: compare(stores, args.setting, *sizes, seed)
            for seed in range(args.seeds)
        }
    if args.json:
        outcomes = [
            {name: dataclasses.asdict(o) for name, o in both.items()}
            for both in by_seed.values()
        ]
        print(json.dumps({"machine": timing.machine(), "seeds": outcomes}, indent=1))
        return 0
    clips = f"{len(splits[0])} {splits[0].source} clips, tested on {len(splits[1])}"
    how = f"{args.epochs} epochs, batch {args.batch_size}, {args.passes} passes"
    print(f"{args.setting}, {clips}, {how}")
    print(table(by_seed))
    return 0
