"""All steps of a training and an evaluation from the device's memory, and PyTorch's.

    python -m seen_jax.benchmarks epochs --device=gpu [--setting E4_S3 E7_S1] [--json]

On drawn clips, as many and as long as those of SEE (`drawn`), so no data is needed. A
few epochs of each program in turn, then the rest of this one's training at a stretch,
with an epoch a dispatch as in `train.py`, then the evaluation's passes. What a reader
would get wrong: these are steps only, without train.py's checkpoints and evaluations
in between. PyTorch's epochs are measured a few times and not trained to the end; on a
GPU they are in full float32 like those here, and once more with its own default, TF32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import torch

from seen_jax.benchmarks import (
    arguments,
    side_by_side,
    timing,
    torch_epochs,
    torch_seen,
)
from seen_jax.benchmarks.drawn import draw_jpegs, draw_store
from seen_jax.benchmarks.side_by_side import DEVICES
from seen_jax.data.batches import Batches
from seen_jax.data.windows import Setting
from seen_jax.models.counting import count_macs
from seen_jax.models.fast.network import network
from seen_jax.models.precision import PRODUCTS
from seen_jax.protocol import NUM_PASSES, evaluate
from seen_jax.training import resident, step
from seen_jax.training import state as state_lib
from seen_jax.training.optimizer import learning_rate_by_epoch, sgd

HERE, RESIDENT, LOADING = "JAX", "PyTorch, resident", "PyTorch, loading"
RESIDENT_TF32 = f"{RESIDENT}, TF32"


class Training:
    """This project's training on one device, an epoch a call.

    Attributes:
      placed_s: seconds that the copy of the frames to the device took.
    """

    def __init__(self, batches: Batches, precision: str):
        self.batches = batches
        self.devices = jax.local_devices()[:1]
        rate = learning_rate_by_epoch(
            torch_seen.LEARNING_RATE,
            decay=torch_seen.LEARNING_RATE_DECAY,
            steps_per_epoch=len(batches),
        )
        self.optimizer = sgd(
            rate, momentum=torch_seen.MOMENTUM, weight_decay=torch_seen.WEIGHT_DECAY
        )
        self.model = network(precision, axis_name=step.AXIS)
        count = batches.setting.num_event_frames
        state = state_lib.create(self.model, self.optimizer, count, seed=0)
        self.state = step.replicate(state, self.devices)
        start = time.perf_counter()
        store = batches.provider.store
        frames = resident.place(
            store.event_frames, store.intensity_frames, self.devices
        )
        self.frames = jax.block_until_ready(frames)
        self.placed_s = time.perf_counter() - start
        self._steps = resident.make_train_steps(
            self.model, self.optimizer, len(batches), self.devices
        )
        self._epoch = 0

    def start_epoch(self) -> dict[str, jax.Array]:
        """Has the device begin the next epoch; returns the sums that it will have."""
        begin = self._epoch * len(self.batches)
        self._epoch += 1
        rows = self.batches.rows(begin, begin + len(self.batches))
        self.state, sums = self._steps(self.state, self.frames, rows)
        return sums

    def epoch(self) -> float:
        """Trains an epoch; returns its mean loss."""
        return mean_loss(self.start_epoch())

    def work(self) -> dict[str, float | None]:
        """Returns what one step does: FLOPs in products, and bytes by XLA's count.

        The bytes are None on a CPU, where a step has loops: XLA counts one round.
        """
        fn = step.train_step_fn(self.model, self.optimizer)
        compiled = step.parallel(fn, self.devices)
        rows = self.batches.rows(0, 1)
        store = self.batches.provider.store
        batch = {
            "event_frames": store.event_frames[rows["event_rows"][0]],
            "intensity_frames": store.intensity_frames[rows["intensity_rows"][0]],
            "label": rows["label"][0],
            "mask": rows["mask"][0],
        }
        given = self.state, step.shard(batch, 1)
        counted = {}
        if self.devices[0].platform != "cpu":
            counted = compiled.lower(*given).compile().cost_analysis() or {}
        return {
            "flops": 2.0 * count_macs(compiled, *given),
            "bytes": counted.get("bytes accessed"),
        }


def in_tf32(call: Callable[[], Any]) -> Callable[[], Any]:
    """Returns the call with PyTorch's own default for convolutions on GPUs."""

    def run():
        torch.backends.cudnn.allow_tf32 = True
        try:
            return call()
        finally:
            torch.backends.cudnn.allow_tf32 = False

    return run


def mean_loss(sums: dict[str, jax.Array]) -> float:
    sums = step.first(sums)
    return float(sums["loss"].sum() / sums["count"].sum())


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def train_at_a_stretch(training: Training, num_epochs: int) -> float:
    """Trains epochs, reading each one's sums while the next runs; returns seconds."""
    start = time.perf_counter()
    before = None
    for _ in range(num_epochs):
        sums = training.start_epoch()
        if before is not None:
            mean_loss(before)
        before = sums
    if before is not None:
        mean_loss(before)
    return time.perf_counter() - start


def evaluation_s(training: Training, test: Batches, num_passes: int) -> float:
    """Returns seconds of the passes, from frames on the device, once compiled."""
    store = test.provider.store
    frames = resident.place(
        store.event_frames, store.intensity_frames, training.devices
    )
    predict_rows = resident.make_predict(training.model, training.devices)

    def predict(rows):
        return predict_rows(training.state.variables, frames, rows)

    evaluate(predict, test, 1, by_rows=True)
    return seconds(lambda: evaluate(predict, test, num_passes, by_rows=True))


def ceilings(precision: str, size: int = 4096, num_bytes: int = 2**30) -> dict:
    """Measures the most that the device does: FLOP/s of a product, bytes/s of a copy.

    Args:
      precision: of the product, as of `network`.
      size: rows and columns of its operands.
      num_bytes: that are read, and written again.
    """
    product = jax.jit(
        lambda x: jax.lax.fori_loop(0, 8, lambda _, y: PRODUCTS[precision](y, x), x)
    )
    copy = jax.jit(lambda x: x + 1)
    with jax.default_matmul_precision("float32"):
        product_s = _shortest(product, jnp.full((size, size), 1 / size)) / 8
    copy_s = _shortest(copy, jnp.zeros(num_bytes // 4))
    return {
        "flops_per_s": 2 * size**3 / product_s,
        "bytes_per_s": 2 * num_bytes / copy_s,
    }


def _shortest(fn, x) -> float:
    jax.block_until_ready(fn(x))
    return min(seconds(lambda: jax.block_until_ready(fn(x))) for _ in range(5))


def measure(args: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    """Measures everything of a setting; returns seconds, and what a step does."""
    device, count = DEVICES[args.device], setting.num_event_frames
    shared = setting, args.batch_size, 0
    train = Batches(draw_store(args.train_clips, 0), *shared, "train")
    test = Batches(draw_store(args.test_clips, 1), *shared, "eval")
    began = time.perf_counter()
    training = Training(train, args.precision)
    first_s = seconds(training.epoch)
    set_up_s = time.perf_counter() - began
    jpegs = draw_jpegs(torch_epochs.NUM_FILES)
    ways = {
        HERE: training.epoch,
        RESIDENT: torch_epochs.resident_epochs(train, device),
        LOADING: torch_epochs.loading_epochs(
            jpegs, args.train_clips, count, args.batch_size, device
        ),
    }
    if args.device == "gpu":
        ways[RESIDENT_TF32] = in_tf32(torch_epochs.resident_epochs(train, device))
    for name in ways.keys() - {HERE}:
        ways[name]()  # not timed: it starts processes and chooses algorithms
    by_way: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, epoch in ways.items():
            by_way[name].append(seconds(epoch))
    rest = args.epochs - 1
    rest_s = train_at_a_stretch(training, rest)
    return {
        "placed_s": training.placed_s,
        "first_epoch_s": first_s,
        "other_epochs_s": rest_s,
        "all_s": set_up_s + rest_s,
        "epoch_s": by_way,
        "evaluation_s": evaluation_s(training, test, args.passes),
        "steps_per_s": rest * len(train) / rest_s,
        "step": training.work(),
        "ceilings": ceilings(args.precision, args.ceiling_size),
    }


def table(found: dict[str, Any], num_epochs: int, num_passes: int) -> str:
    """Formats what `measure` returned."""
    of_epoch = {name: statistics.median(x) for name, x in found["epoch_s"].items()}
    lines = [
        f"{'images to the device':36}{found['placed_s']:9.2f} s",
        f"{'first epoch, compiled':36}{found['first_epoch_s']:9.2f} s",
        f"{f'{num_epochs - 1} more epochs, steps only':36}"
        f"{found['other_epochs_s']:9.2f} s",
        f"{'all of that':36}{found['all_s']:9.2f} s",
        f"{f'{num_passes} passes of evaluation':36}{found['evaluation_s']:9.2f} s",
    ]
    for name, x in of_epoch.items():
        spread = timing.spread(tuple(found["epoch_s"][name]))
        value = f"{x:9.3f} +- {spread:.3f} s"
        lines.append(f"{f'an epoch, {name}':36}{value}, {x / of_epoch[HERE]:.1f} x")
    work, most, rate = found["step"], found["ceilings"], found["steps_per_s"]
    lines.append(_share("products", work["flops"] * rate, most["flops_per_s"], "FLOP"))
    if work["bytes"] is not None:
        lines.append(_share("memory", work["bytes"] * rate, most["bytes_per_s"], "B"))
    return "\n".join(lines)


def _share(what, rate, most, unit):
    percent = f"{100 * rate / most:.0f} % of {most / 1e12:.2f} T{unit}/s measured"
    return f"{what:36}{rate / 1e12:9.2f} T{unit}/s, {percent}"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m seen_jax.benchmarks epochs")
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument(
        "--setting", type=Setting.parse, nargs="+", default=[Setting(4, 3)]
    )
    parser.add_argument("--precision", choices=PRODUCTS, default="float32")
    parser.add_argument("--batch_size", type=arguments.at_least(1), default=32)
    parser.add_argument("--train_clips", type=arguments.at_least(1), default=1638)
    parser.add_argument("--test_clips", type=arguments.at_least(1), default=767)
    parser.add_argument("--epochs", type=arguments.at_least(2), default=180)
    parser.add_argument("--passes", type=arguments.at_least(1), default=NUM_PASSES)
    parser.add_argument(
        "--rounds", type=arguments.at_least(1), default=3, help="epochs of each in turn"
    )
    parser.add_argument(
        "--ceiling_size", type=arguments.at_least(1), default=4096, help="of a product"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    arguments.check_last_batch(args.train_clips, args.batch_size)
    side_by_side.choose_device(args.device)
    results = []
    for setting in args.setting:
        found = measure(args, setting)
        what = (
            f"{setting}, batch {args.batch_size}, {args.train_clips} clips, "
            f"{args.precision}; {side_by_side.machine(args.device)}"
        )
        results.append({"what": what, **found})
        if not args.json:
            print(f"{what}\n{table(found, args.epochs, args.passes)}\n", flush=True)
    if args.json:
        print(json.dumps(results, indent=1))
    return 0
