"""How long a call takes here and in plain PyTorch, measured in turn.

    python -m seen_jax.benchmarks step|forward|latency [--workdir RUN] [--json]

Both get the same weights and windows: drawn ones, or with `--workdir` those of a run,
since on a CPU time follows the spikes here. PyTorch gets images that are normalised and
RGB already, which favours it. Before that, both must agree in float64. Note: in float32
a membrane within rounding of the threshold may fire in one and not in the other.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import linen as nn

from seen_jax import images
from seen_jax.benchmarks import programs, timing, torch_seen
from seen_jax.benchmarks.clips import NUM_FRAMES, draw_batches
from seen_jax.benchmarks.programs import DEVICES, HERE, PLAIN, Weights
from seen_jax.data.batches import Batches
from seen_jax.data.store import Store
from seen_jax.errors import refuse
from seen_jax.export.convert import torch_from_variables, variables_from_torch
from seen_jax.models.fast.network import network, options_of
from seen_jax.models.seen import SEEN
from seen_jax.training import step
from seen_jax.training.feed import Frames, place

MOST_CHECKED = 32  # windows in float64
Calls = dict[str, Callable[[], np.ndarray]]  # by program; each waits for its result


def measure(args: Namespace) -> dict[str, Any]:
    """Measures a command of both programs, if they compute the same function."""
    if args.command == "step":
        programs.check_last_batch(args.batch_size, args.batch_size)
        if args.device == "cpu" and args.devices > 1:
            jax.config.update("jax_num_cpu_devices", args.devices)
    programs.choose_device(args.device)
    check_same(args)
    calls = make_calls(*start(args), args)
    for call in calls.values():
        call()
    ways = {name: timing.repeat(call) for name, call in calls.items()}
    rates = timing.alternate(ways, args.rounds, args.seconds)
    return {
        "machine": programs.machine(args.device),
        "versions": {"jax": jax.__version__, "torch": torch.__version__},
        "what": f"{args.command}, E{args.setting.num_event_frames}, "
        f"batch {args.batch_size}, {args.workdir or 'random images and weights'}",
        "batch_size": args.batch_size,
        "calls": rates,
        "ratio": timing.ratio(rates[HERE]["per_s"], rates[PLAIN]["per_s"]),
    }


def check_same(args: Namespace) -> None:
    """Raises a RuntimeError unless the first results agree in float64."""
    few = {"batch_size": min(args.batch_size, MOST_CHECKED), "precision": "float32"}
    args = Namespace(**vars(args) | few)
    weights, batches = start(args)
    floats = {k: x.astype(float) for k, x in weights.items() if x.dtype == np.float32}
    with jax.enable_x64(True):
        calls = make_calls({**weights, **floats}, batches, args)
        results = {name: np.asarray(call()) for name, call in calls.items()}
    if not np.allclose(results[HERE], results[PLAIN], rtol=1e-6, atol=1e-9):
        raise RuntimeError(
            f"{HERE} in float64 returned {results[HERE]}, {PLAIN} {results[PLAIN]}"
        )


def start(args: Namespace) -> tuple[Weights, Batches]:
    """Returns the weights and batches of a run of the plain network, or drawn ones."""
    clips = getattr(args, "clips", 0)
    if args.workdir is None:  # without --clips the frames of one batch are enough
        num_clips = max(args.batch_size, clips)
        num_frames = NUM_FRAMES if num_clips > args.batch_size else None
        drawn = draw_batches(num_clips, args.setting, args.batch_size, num_frames)
        return torch_seen.draw_weights(seed=0), drawn
    if clips:
        refuse("clips", "0 with a workdir, whose clips are taken", clips)
    from seen_jax.evaluation.restored import open_batches, restore  # grain, for data

    restored = restore(args.workdir)
    other = restored.config["network"]
    if other == "seen":
        given = options_of(restored.model) | {"axis_name": None}
        other = {k: v for k, v in given.items() if v != getattr(SEEN(), k)}
    if other:
        refuse("workdir", "a run of the published network", other, "give another one")
    config = {**restored.config, "images": "store"}
    given = open_batches(replace(restored, config=config), "train")
    batches = given.images, given.clips, args.setting, args.batch_size, 0, "train"
    return torch_from_variables(restored.variables), Batches(*batches)


def make_calls(weights: Weights, batches: Batches, args: Namespace) -> Calls:
    """Returns a step, or a prediction, in plain PyTorch and here.

    A step includes the loss, the gradient and the update of the published recipe, here
    also copying the batch, or with `--clips` gathering it from the device's memory, and
    normalising its images. Its result is its loss; that of a prediction, from images
    that are normalised, its probabilities.
    """
    plain = torch_seen.restore(weights, DEVICES[args.device])
    batch = first_batch(batches)
    both = (torch.from_numpy(batch[f"{x}_frames"]) for x in ("event", "intensity"))
    rgb = [x.contiguous() for x in torch_seen.inputs(plain, *both)]
    if args.command == "step":
        optimizer, _ = torch_seen.recipe(plain)
        labels = torch.from_numpy(batch["label"]).to(rgb[0].device)
        devices = jax.local_devices()[: args.devices]
        frames = place_tiled(batches.images, devices) if args.clips else None
        training = programs.Here(weights, batches, args.precision, frames, devices)
        take_step = step.make_train_step(training.step, devices)

        def train_step():
            if args.clips:
                return programs.mean_loss(training.start(1))
            # The first batch again and again, which waits on the host.
            training.state, sums = take_step(training.state, batch)
            return programs.mean_loss([sums])

        return {
            PLAIN: lambda: torch_seen.train_step(plain, optimizer, *rgb, labels).cpu(),
            HERE: train_step,
        }
    dtype = weights["fc1.weight"].dtype
    event = images.normalise_events(batch["event_frames"], dtype)
    intensity = images.normalise_intensity(batch["intensity_frames"], dtype)
    inputs = jax.device_put({"event_frames": event, "intensity_frames": intensity})
    variables = jax.device_put(variables_from_torch(weights))
    model = network(args.precision)
    predict = jax.jit(lambda variables, x: nn.softmax(model.apply(variables, **x)))
    return {
        PLAIN: lambda: torch_seen.predict(plain, *rgb),
        HERE: lambda: np.asarray(predict(variables, inputs)),
    }


def first_batch(batches: Batches) -> Mapping[str, np.ndarray]:
    """Returns batch 0 of drawn clips, whose few frames may stand for many."""
    store, rows = batches.images, batches.rows(0, 1)
    batch = {name: rows[name][0] for name in ("label", "mask", "clip")}
    for name in ("event", "intensity"):
        frames = getattr(store, f"{name}_frames")
        batch[f"{name}_frames"] = frames[rows[f"{name}_rows"][0] % len(frames)]
    return batch


def place_tiled(store: Store, devices: Sequence[jax.Device]) -> Frames:
    """Repeats a store's few frames on the devices until they are those of its clips."""
    times = -(-int(store.clips.num_frames.sum()) // len(store.event_frames))

    def tile(frames):
        return {name: jnp.tile(x, (times, 1, 1)) for name, x in frames.items()}

    return step.parallel(tile, devices)(place(store, devices))


def to_text(result: Mapping[str, Any]) -> str:
    """Formats the time of a call of both programs, and the ratio."""
    versions, calls = result["versions"], result["calls"]
    ratio = timing.marked(result["ratio"], timing.noisy_ways(calls), HERE, PLAIN)
    columns = {"per_s": "ms", "per_core_s": "ms of all cores"}
    lines = [f"{result['what']}, {result['machine']}"]
    lines += [f"JAX {versions['jax']}, PyTorch {versions['torch']}"]
    lines += timing.table(calls, columns, PLAIN, "per_s", digits=1)
    return "\n".join([*lines, f"{HERE} is {ratio} times faster than {PLAIN}"])
