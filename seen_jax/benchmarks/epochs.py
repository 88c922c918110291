"""All steps of a training and an evaluation from the device's memory, and PyTorch's.

    python -m seen_jax.benchmarks epochs --device=gpu [--setting E4_S3 E7_S1] [--json]

On drawn clips, as many and as long as those of SEE: a few epochs of each program in
turn, then the rest of this one's training without a pause, an epoch per dispatch as in
`train.py`, but without its checkpoints and evaluations, then the evaluation's passes.
On a GPU PyTorch's epochs are in full float32 like those here, and once more with its
own default, TF32.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import torch

from seen_jax.benchmarks import programs, timing, torch_seen
from seen_jax.benchmarks.clips import draw_batches, draw_jpegs, draw_store
from seen_jax.benchmarks.programs import DEVICES, Here, Plain
from seen_jax.data.batches import Batches
from seen_jax.data.windows import Setting
from seen_jax.errors import counted
from seen_jax.models.counting import count_macs
from seen_jax.models.precision import PRODUCTS
from seen_jax.protocol import evaluate
from seen_jax.training import step
from seen_jax.training.feed import place

HERE, RESIDENT, LOADING = "JAX", "PyTorch, resident", "PyTorch, loading"
RESIDENT_TF32 = f"{RESIDENT}, TF32"
COPIED_BYTES = 2**30  # that are read, and written again
NUM_FILES = 256  # that windows are decoded from, again and again


def measure(args: Namespace) -> list[dict[str, Any]]:
    """Measures each setting; where there are several, stderr shows each when done."""
    programs.check_last_batch(args.train_clips, args.batch_size)
    programs.choose_device(args.device)
    results = []
    for setting in args.setting:
        results.append(measure_setting(args, setting))
        if len(args.setting) > 1:
            print(to_text(results[-1:]), file=sys.stderr, flush=True)
    return results


def measure_setting(args: Namespace, setting: Setting) -> dict[str, Any]:
    """Measures everything of a setting; returns seconds, and what a step does."""
    device, weights = DEVICES[args.device], torch_seen.draw_weights(seed=0)
    train = draw_batches(args.train_clips, setting, args.batch_size)
    store = draw_store(args.test_clips, 1)
    test = Batches(store, store.clips, setting, args.batch_size, 0, "eval")
    devices = jax.local_devices()[:1]
    began = time.perf_counter()
    frames = jax.block_until_ready(place(train.images, devices))
    placed_s = time.perf_counter() - began
    training = Here(weights, train, args.precision, frames)
    first_s = seconds(training.epoch)
    set_up_s = time.perf_counter() - began
    load = partial(
        programs.load_windows, draw_jpegs(NUM_FILES), setting.num_event_frames
    )
    ways = {
        HERE: training.epoch,
        RESIDENT: Plain(weights, train, device).epoch,
        LOADING: programs.loading_epochs(
            weights, load, args.train_clips, args.batch_size, device
        ),
    }
    if args.device == "gpu":
        tf32 = torch.backends.cudnn.flags(enabled=True, allow_tf32=True)  # its default
        ways[RESIDENT_TF32] = tf32(Plain(weights, train, device).epoch)
    # The first epoch of each, which starts processes and chooses algorithms, is not
    # counted; 0 seconds are one epoch.
    once = {name: timing.repeat(epoch) for name, epoch in ways.items()}
    rates = timing.alternate(once, args.rounds, seconds=0)
    rates[LOADING]["others"] = [0.0]  # its processes that load are no others
    for rate in rates.values():
        del rate["per_core_s"]  # a device or those processes work, too
    rest = args.epochs - 1
    rest_s = seconds(lambda: train_epochs(training, rest))
    predict = training.make_predict(test, place(store, devices))

    def show(passes):
        evaluate(predict(passes), len(store.clips), passes)

    show(1)  # compiles
    return {
        "what": f"{setting}, batch {args.batch_size}, {args.train_clips} clips, "
        f"{args.precision}; {programs.machine(args.device)}",
        "epochs": args.epochs,
        "passes": args.passes,
        "placed_s": placed_s,
        "first_epoch_s": first_s,
        "other_epochs_s": rest_s,
        "all_s": set_up_s + rest_s,
        "epoch_s": {name: [1 / x for x in rates[name]["per_s"]] for name in ways},
        "noisy": timing.noisy_ways(rates),
        "evaluation_s": seconds(lambda: show(args.passes)),
        "steps_per_s": rest * len(train) / rest_s,
        "step": work(training),
        "ceilings": ceilings(args.precision, args.ceiling_size),
    }


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def train_epochs(training: Here, num_epochs: int) -> None:
    """Trains epochs, reading each one's sums while the next runs."""
    size = len(training.batches)
    before = training.start(size)
    for _ in range(num_epochs - 1):
        now = training.start(size)
        programs.mean_loss(before)
        before = now
    programs.mean_loss(before)


def work(training: Here) -> dict[str, float | None]:
    """Returns what one step does: FLOPs in products, and bytes by XLA's count.

    The bytes are None on a CPU, where a step has loops: XLA counts one round.
    """
    compiled = step.parallel(training.step, training.devices)
    inputs = training.state, step.shard(training.batches.batch(0), 1)
    num_bytes = None
    if training.devices[0].platform != "cpu":
        costs = compiled.lower(*inputs).compile().cost_analysis() or {}
        num_bytes = costs.get("bytes accessed")
    return {"flops": 2.0 * count_macs(compiled, *inputs), "bytes": num_bytes}


def ceilings(precision: str, size: int) -> dict[str, float]:
    """Measures the device's peak: FLOP/s of a product, bytes/s of a copy."""
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
        "evaluation_s": f"{counted(result['passes'], 'pass')} of evaluation",
    }
    lines = [result["what"]]
    lines += [f"{what:36}{result[name]:9.2f} s" for name, what in names.items()]
    epoch_s, noisy = result["epoch_s"], result["noisy"]
    for name, rounds in epoch_s.items():
        value, ratio = timing.to_text(rounds, 3), timing.ratio(rounds, epoch_s[HERE])
        times = timing.marked(ratio, noisy, name, HERE, digits=1)
        lines.append(f"{f'an epoch, {name}':36}{value:>26} s, {times} x")
    for what, name, unit in (("products", "flops", "FLOP"), ("memory", "bytes", "B")):
        if (work := result["step"][name]) is not None:
            rate = work * result["steps_per_s"]
            most = result["ceilings"][f"{name}_per_s"]
            of = f"{100 * rate / most:.0f} % of {most / 1e12:.2f} T{unit}/s measured"
            lines.append(f"{what:36}{rate / 1e12:9.2f} T{unit}/s, {of}")
    return "\n".join(lines + timing.warnings(noisy))
