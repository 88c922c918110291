"""A bundle's programs against the plain PyTorch network, one window at a time.

    python -m seen_jax.benchmarks runtime --bundle BUNDLE [--seconds_at_30 60]

Of clips from --data_dir or 7 simulated, since the kernel's time follows the spikes.
Without torch, or its weights in the bundle, the plain network is left out, and ratios
are to the first program. All of it runs on one core, taken before libraries are loaded,
since that is when they count the cores.
"""

from __future__ import annotations

import contextlib
import os
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from seen_jax.benchmarks import timing
from seen_jax.benchmarks.clips import open_data
from seen_jax.data.record import KINDS, Record
from seen_jax.data.records import open_records
from seen_jax.errors import UserError, refuse
from seen_jax.export.torch_files import read_checkpoint
from seen_jax.images import decode_jpeg
from seen_jax.runtime import seen_runtime

PLAIN = "PyTorch, plain network"
NUM_CLIPS = 5  # that are shown, and windows of each

Window = tuple[np.ndarray, np.ndarray]  # float32 (1, T, 90, 90) and (1, N, 90, 90)
Clip = list[np.ndarray]  # event frames and intensity frames, uint8 (F, S, S)


def read_clips(args: Namespace) -> tuple[str, list[Clip]]:
    """Returns what clips they are, in words, and their frames."""
    with open_data(args.data_dir, args.dataset, 7) as data_dir:  # 5 are for training
        records = open_records(data_dir, "train", args.dataset)
        count = min(NUM_CLIPS, len(records))
        clips = [read_frames(records[i]) for i in range(count)]
    return f"windows of {count} {records.clips.source} clips", clips


def read_frames(record: Record) -> Clip:
    return [np.stack([*map(decode_jpeg, record.jpegs(kind))]) for kind in KINDS]


def without_network(bundle: Path) -> seen_runtime.Runtime:
    """Returns a runtime that prepares frames and predicts nothing."""
    manifest = seen_runtime.read_manifest(str(bundle))
    return seen_runtime.Runtime(manifest, "none", "none", lambda *frames: None)


def cut_windows(bundle: Path, clips: Sequence[Clip]) -> list[Window]:
    """Returns windows of every clip, from its first one to its last."""
    runtime = without_network(bundle)
    offsets = (runtime.manifest["skip"] + 1) * np.arange(runtime.lengths[0])
    places = offsets, offsets[runtime.manifest["intensity_places"]]
    span = int(offsets[-1]) + 1
    long = [clip for clip in clips if len(clip[0]) >= span]
    if not long:
        rule, got = f"a clip of {span} frames or more", "only shorter ones"
        refuse("data_dir", rule, got, "give other clips")

    def window(clip, begin):
        return tuple(
            np.stack([runtime.prepare(kind, frames[begin + i]) for i in at])[None]
            for kind, frames, at in zip(seen_runtime.KINDS, clip, places, strict=True)
        )

    return [
        window(clip, begin)
        for clip in long
        for begin in np.linspace(0, len(clip[0]) - span, NUM_CLIPS, dtype=int)
    ]


@contextlib.contextmanager
def on_one_core() -> Iterator[None]:
    """Keeps this process on one core; what a bundle or backend lacks is the user's."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    except (seen_runtime.UserError, seen_runtime.BackendError) as error:
        raise UserError(error) from None
    finally:
        os.sched_setaffinity(0, cores)


def on_all(predict: Callable, windows: Sequence[Window]) -> timing.Way:
    """Returns a way for `timing.alternate`: all windows, one after the other."""
    return timing.repeat(lambda: [predict(*x) for x in windows], len(windows))


def plain_way(bundle: Path, windows: Sequence[Window]) -> dict[str, timing.Way]:
    """Returns the plain network, on windows that are RGB already, where it can run."""
    if find_spec("torch") is None or not (bundle / "seen.pt").is_file():
        return {}
    weights, _ = read_checkpoint(bundle / "seen.pt")
    from seen_jax.benchmarks import torch_seen  # and torch, after the core is taken

    network = torch_seen.restore(weights)
    rgb = [tuple(map(torch_seen.rgb, x)) for x in windows]
    return {PLAIN: on_all(lambda *x: torch_seen.predict(network, *x), rgb)}


def backends_of(bundle: Path) -> list[str]:
    """Returns the backends of a bundle's formats, without TensorRT: it has no core."""
    formats = seen_runtime.formats_of(seen_runtime.read_manifest(str(bundle))["files"])
    known = seen_runtime.BACKENDS.items()
    return [name for name, x in known if x.format in formats and name != "tensorrt"]


def replay(bundle: Path, backend: str, seconds: float, clips: Sequence[Clip]) -> dict:
    """Plays the clips one after the other, again and again, at 30 frames per second."""
    runtime = seen_runtime.load(str(bundle), backend)
    both = (np.concatenate(frames) for frames in zip(*clips, strict=True))
    count = round(30 * seconds)
    numbered = ({i: x[i % len(x)] for i in range(count)} for x in both)
    return seen_runtime.replay(runtime, *numbered, rate=30.0)


def measure(args: Namespace) -> dict[str, Any]:
    what, clips = read_clips(args)
    with on_one_core():
        windows = cut_windows(args.bundle, clips)
        names = args.backends or backends_of(args.bundle)
        ways = plain_way(args.bundle, windows)
        for x in names:
            ways[x] = on_all(seen_runtime.load(str(args.bundle), x).logits, windows)
        rates = timing.alternate(ways, args.rounds, args.seconds)
        held = {x: replay(args.bundle, x, args.seconds_at_30, clips) for x in names}
    return {
        "machine": timing.machine(),
        "what": what,
        "windows": rates,
        "seconds_at_30": args.seconds_at_30,
        "held": held,
    }


def to_text(result: dict[str, Any]) -> str:
    """Formats the core's time per window with its ratio, and the replays' latency."""
    columns, by = {"per_core_s": "ms of the core"}, "per_core_s"
    first = next(iter(result["windows"]))
    lines = [f"{result['what']}, one at a time on one core; {result['machine']}"]
    lines += timing.table(result["windows"], columns, first, by, digits=2)
    lines.append(f"\n30 frames per second for {result['seconds_at_30']:g} s")
    for name, x in result["held"].items():
        ms = [f"{p} {y:.1f} ms" for p, y in x["latency_ms"].items() if y is not None]
        latency = ", ".join(ms) or "shorter than a window"
        counts = f"{x['predicted']} predicted, {x['missed']} missed"
        lines.append(f"{name:24} {latency}; {counts}")
    return "\n".join(lines)
