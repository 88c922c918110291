"""All steps of a training and an evaluation from the device's memory, and PyTorch's.

    python -m seen_jax.benchmarks epochs --device=gpu [--setting E4_S3 E7_S1] [--json]

On drawn clips, as many and as long as those of SEE (`clips`), so no data is needed. A
few epochs of each program in turn, then the rest of this one's training without a
pause, with an epoch per dispatch as in `train.py`, then the evaluation's passes.

Note: these are steps only, without train.py's checkpoints and evaluations in between.
PyTorch's epochs are measured a few times and not trained to the end; on a GPU they are
in full float32 like those here, and once more with its own default, TF32.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import torch

from seen_jax.benchmarks import arguments, here, side_by_side, timing, torch_seen
from seen_jax.benchmarks.arguments import DEVICES
from seen_jax.benchmarks.clips import draw_batches, draw_jpegs, draw_store
from seen_jax.benchmarks.torch_epochs import NUM_FILES, Files, loading_epochs
from seen_jax.benchmarks.torch_epochs import Training as PlainTraining
from seen_jax.data.batches import Batches
from seen_jax.data.windows import Setting
from seen_jax.models.counting import count_macs
from seen_jax.models.precision import PRODUCTS
from seen_jax.protocol import NUM_PASSES, evaluate
from seen_jax.training import step
from seen_jax.training.feed import place

HERE, RESIDENT, LOADING = "JAX", "PyTorch, resident", "PyTorch, loading"
RESIDENT_TF32 = f"{RESIDENT}, TF32"
COPIED_BYTES = 2**30  # that are read, and written again


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_device(parser)
    arguments.add_precision(parser)
    kind, default = Setting.parse, [Setting(4, 3)]
    parser.add_argument("--setting", type=kind, nargs="+", default=default)
    clips = {"train_clips": 1638, "test_clips": 767}
    arguments.add_numbers(parser, batch_size=32, **clips, passes=NUM_PASSES)
    arguments.add_numbers(parser, least=2, epochs=180)
    arguments.add_numbers(parser, text="epochs of each in turn", rounds=3)
    arguments.add_numbers(parser, text="rows of a product", ceiling_size=4096)


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures each setting; where there are several, stderr shows each when done."""
    arguments.check_last_batch(args.train_clips, args.batch_size)
    side_by_side.choose_device(args.device)
    results = []
    for setting in args.setting:
        results.append(measure_setting(args, setting))
        if len(args.setting) > 1:
            print(to_text(results[-1:]), file=sys.stderr, flush=True)
    return results


def measure_setting(args: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    """Measures everything of a setting; returns seconds, and what a step does."""
    device, weights = DEVICES[args.device], torch_seen.draw_weights(seed=0)
    train = draw_batches(args.train_clips, setting, args.batch_size)
    store = draw_store(args.test_clips, 1)
    test = Batches(store, store.clips, setting, args.batch_size, 0, "eval")
    devices = jax.local_devices()[:1]
    began = time.perf_counter()
    frames = jax.block_until_ready(place(train.images, devices))
    placed_s = time.perf_counter() - began
    training = here.Training(weights, train, args.precision, frames)
    first_s = seconds(training.epoch)
    set_up_s = time.perf_counter() - began
    files = Files(draw_jpegs(NUM_FILES), args.train_clips, setting.num_event_frames)
    ways = {
        HERE: training.epoch,
        RESIDENT: PlainTraining(weights, train, device).epoch,
        LOADING: loading_epochs(weights, files, args.batch_size, device),
    }
    if args.device == "gpu":
        ways[RESIDENT_TF32] = in_tf32(PlainTraining(weights, train, device).epoch)
    # The first epoch of each, which starts processes and chooses algorithms, is not
    # counted; 0 seconds are one epoch.
    once = {name: timing.repeat(epoch) for name, epoch in ways.items()}
    rates = timing.alternate(once, args.rounds, seconds=0)
    rates[LOADING]["others"] = [0.0]  # its processes that load are no others
    for rate in rates.values():
        del rate["per_core_s"]  # a device or those processes work, too
    rest = args.epochs - 1
    rest_s = seconds(lambda: train_epochs(training, rest))
    machine = side_by_side.machine(args.device)
    return {
        "what": f"{setting}, batch {args.batch_size}, {args.train_clips} clips, "
        f"{args.precision}; {machine}",
        "epochs": args.epochs,
        "passes": args.passes,
        "placed_s": placed_s,
        "first_epoch_s": first_s,
        "other_epochs_s": rest_s,
        "all_s": set_up_s + rest_s,
        "epoch_s": {name: [1 / x for x in rates[name]["per_s"]] for name in ways},
        "noisy": timing.noisy_ways(rates),
        "evaluation_s": evaluation_s(training, test, args.passes),
        "steps_per_s": rest * len(train) / rest_s,
        "step": work(training),
        "ceilings": ceilings(args.precision, args.ceiling_size),
    }


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_tf32(call: Callable[[], Any]) -> Callable[[], Any]:
    """Returns the call with PyTorch's own default for convolutions on GPUs."""

    def run():
        torch.backends.cudnn.allow_tf32 = True
        try:
            return call()
        finally:
            torch.backends.cudnn.allow_tf32 = False

    return run


def train_epochs(training: here.Training, num_epochs: int) -> None:
    """Trains epochs, reading each one's sums while the next runs."""
    size = len(training.batches)
    before = training.start(size)
    for _ in range(num_epochs - 1):
        sums = training.start(size)
        here.mean_loss(before)
        before = sums
    here.mean_loss(before)


def evaluation_s(training: here.Training, test: Batches, num_passes: int) -> float:
    """Returns seconds of the passes, from frames on the device, once compiled."""
    frames = place(test.images, training.devices)
    predict = training.make_predict(test, frames)

    def run(passes):
        evaluate(predict(training.state.variables, passes), len(test.clips), passes)

    run(1)
    return seconds(lambda: run(num_passes))


def work(training: here.Training) -> dict[str, float | None]:
    """Returns what one step does: FLOPs in products, and bytes by XLA's count.

    The bytes are None on a CPU, where a step has loops: XLA counts one round.
    """
    fn = step.train_step_fn(training.model, training.optimizer)
    compiled = step.parallel(fn, training.devices)
    inputs = training.state, step.shard(training.batches.batch(0), 1)
    costs = {}
    if training.devices[0].platform != "cpu":
        costs = compiled.lower(*inputs).compile().cost_analysis() or {}
    flops = 2.0 * count_macs(compiled, *inputs)
    return {"flops": flops, "bytes": costs.get("bytes accessed")}


def ceilings(precision: str, size: int) -> dict[str, float]:
    """Measures the device's most: FLOP/s of a product, bytes/s of a copy."""
    product = jax.jit(
        lambda x: jax.lax.fori_loop(0, 8, lambda _, y: PRODUCTS[precision](y, x), x)
    )
    copy = jax.jit(lambda x: x + 1)
    with jax.default_matmul_precision("float32"):
        product_s = _shortest(product, jnp.full((size, size), 1 / size)) / 8
    copy_s = _shortest(copy, jnp.zeros(COPIED_BYTES // 4))
    return {
        "flops_per_s": 2 * size**3 / product_s,
        "bytes_per_s": 2 * COPIED_BYTES / copy_s,
    }


def _shortest(fn, x) -> float:
    jax.block_until_ready(fn(x))
    return min(seconds(lambda: jax.block_until_ready(fn(x))) for _ in range(5))


def to_text(results: list[dict[str, Any]]) -> str:
    return "\n\n".join(map(_one_to_text, results)) + "\n"


def _one_to_text(result: Mapping[str, Any]) -> str:
    names = {
        "placed_s": "images to the device",
        "first_epoch_s": "first epoch, compiled",
        "other_epochs_s": f"{result['epochs'] - 1} more epochs, steps only",
        "all_s": "all of that",
        "evaluation_s": f"{result['passes']} passes of evaluation",
    }
    lines = [result["what"]]
    lines += [f"{what:36}{result[name]:9.2f} s" for name, what in names.items()]
    epoch_s, here_s = result["epoch_s"], result["epoch_s"][HERE]
    noisy = result["noisy"]
    for name, rounds in epoch_s.items():
        value, ratio = timing.to_text(rounds, 3), timing.ratio(rounds, here_s)
        times = timing.marked(ratio, noisy, name, HERE, digits=1)
        lines.append(f"{f'an epoch, {name}':36}{value:>26} s, {times} x")
    step_work, most = result["step"], result["ceilings"]
    for what, name, unit in (("products", "flops", "FLOP"), ("memory", "bytes", "B")):
        if step_work[name] is not None:
            rate, ceiling = step_work[name] * result["steps_per_s"], f"{name}_per_s"
            percent = f"{100 * rate / most[ceiling]:.0f} %"
            of = f"{percent} of {most[ceiling] / 1e12:.2f} T{unit}/s measured"
            lines.append(f"{what:36}{rate / 1e12:9.2f} T{unit}/s, {of}")
    return "\n".join(lines + timing.warnings(noisy))
