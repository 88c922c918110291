"""Windows per second: from the store, from the records, and by plain Pillow.

    python -m seen_jax.benchmarks data [--data_dir DIR] [--json] [--plot FILE.png]

The plain way does for each window what the published program does: it decodes n event
frames and n intensity frames with Pillow, each as RGB, and resizes them. It is given
their bytes in memory and no file to find, and neither way normalises, so the comparison
leans towards it. What a reader would get wrong: "read ahead" rows use a thread per
processor, the others this thread alone; the ratio is that of windows per second of
processor time.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from seen_jax import see
from seen_jax.benchmarks import arguments, timing
from seen_jax.data.batches import Batches, Stream
from seen_jax.data.records import Records, open_records
from seen_jax.data.store import Store, open_store
from seen_jax.data.windows import Setting

BATCH_SIZE = 32
PLAIN = "plain Pillow"


def repeated(store: Store, num_clips: int) -> Store:
    """Returns a store in memory of at least `num_clips` clips, by repeating its own.

    A few clips fit into the processor's cache, which those of SEE do not.
    """
    times = -(-num_clips // len(store.records))
    num_frames = len(store.event_frames)
    return Store(
        RepeatedRecords(store.records, times),
        store.path,
        np.tile(store.event_frames, (times, 1, 1)),
        np.tile(store.intensity_frames, (times, 1, 1)),
        np.concatenate(
            [store.first_rows + i * num_frames for i in range(times)], dtype=np.int32
        ),
    )


class RepeatedRecords:
    """The same records several times, as far as batches from a store ask for them."""

    def __init__(self, records: Records, times: int):
        self.segments = np.tile(records.segments, (times, 1))
        self.label_index = np.tile(records.label_index, times)

    def __len__(self) -> int:
        return len(self.segments)


def plain_windows(records: Records, setting: Setting) -> Iterator[int]:
    """Loads window after window as the published program does; yields 1 for each."""
    shape = see.INPUT_SIZE, see.INPUT_SIZE
    clips = [records[i] for i in range(min(len(records), 32))]
    for record in itertools.cycle(clips):
        numbers = range(0, setting.num_event_frames * setting.stride, setting.stride)
        images = []
        for jpegs in (record.event_jpegs, record.frame_jpegs):
            for number in numbers:
                with Image.open(io.BytesIO(jpegs[number % len(jpegs)])) as image:
                    rgb = image.convert("RGB").resize(shape, Image.Resampling.BILINEAR)
                images.append(np.asarray(rgb))
        np.stack(images)
        yield 1


def in_this_thread(batches: Batches) -> Iterator[int]:
    """Loads batch after batch without reading ahead; yields windows."""
    for number in itertools.count():
        yield batches.batch(number)["clip"].size


def read_ahead(batches: Batches) -> Callable[[float], int]:
    """Returns a function that loads batches as training does and counts windows.

    Each call loads as many batches as took the given time in the call before, and all
    of them: a batch that is still being made would take its time from the next way.
    """
    speed = 8.0  # batches per second

    def run(seconds: float) -> int:
        nonlocal speed
        stop = max(1, round(speed * seconds))
        start, units = time.perf_counter(), 0
        for batch in batches.iterate(stop=stop, num_threads=os.cpu_count() or 1):
            units += batch["clip"].size
        speed = stop / (time.perf_counter() - start)
        return units

    return run


def make_data(
    root: Path, num_clips: int, num_volunteers: int = 4, config: str = "published"
) -> Path:
    """Simulates clips and builds their records; returns their DATA_DIR."""
    repository = Path(__file__).resolve().parents[2]
    simulate = [sys.executable, "-m", "seen_jax.simulator", "--out", str(root / "see")]
    simulate += ["--clips", str(num_clips), "--volunteers", str(num_volunteers)]
    build = ["bash", "launch/build_see.sh", str(root / "see"), str(root / "data")]
    build += ["--config", config]
    env = {**os.environ, "PYTHON": sys.executable}
    for command in (simulate, build):
        subprocess.run(command, cwd=repository, env=env, check=True, stdout=sys.stderr)
    return root / "data"


def measure(
    data_dir: Path, setting: Setting, num_clips: int, num_rounds: int, seconds: float
) -> dict[str, timing.Rate]:
    """Measures every way to load windows; returns windows per second by way."""
    records = open_records(data_dir, "train")
    stores = repeated(open_store(records), num_clips)
    small, large = (
        Batches(provider, setting, BATCH_SIZE, 0, "train")
        for provider in (Stream(records), stores)
    )
    ways = {
        "store": timing.for_seconds(in_this_thread(large)),
        "store, read ahead": read_ahead(large),
        "records": timing.for_seconds(in_this_thread(small)),
        "records, read ahead": read_ahead(small),
        PLAIN: timing.for_seconds(plain_windows(records, setting)),
    }
    return timing.alternate(ways, num_rounds, seconds)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m seen_jax.benchmarks data")
    parser.add_argument("--data_dir", type=Path, help="default: simulates 24 clips")
    parser.add_argument("--setting", type=Setting.parse, default=Setting(4, 3))
    parser.add_argument(
        "--clips",
        type=arguments.at_least(0),
        default=see.NUM_CLIPS,
        help="that the store is repeated to; default: %(default)s, as SEE has (2 GB)",
    )
    parser.add_argument("--rounds", type=arguments.at_least(1), default=7)
    parser.add_argument(
        "--seconds", type=arguments.seconds, default=1.0, help="of a measurement"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        data_dir = args.data_dir or make_data(Path(temporary), 24)
        rates = measure(data_dir, args.setting, args.clips, args.rounds, args.seconds)
    if args.plot is not None:
        title = f"{args.setting}, batch {BATCH_SIZE}"
        rounds = {name: rate.per_core_s for name, rate in rates.items()}
        timing.plot(args.plot, title, "windows per second of a core", rounds, log=True)
    if args.json:
        result = {
            "machine": timing.machine(),
            "setting": str(args.setting),
            "clips": args.clips,
            "windows": {name: dataclasses.asdict(r) for name, r in rates.items()},
        }
        print(json.dumps(result, indent=1))
    else:
        print(f"{args.setting}, batch {BATCH_SIZE}, {timing.machine()}")
        print(table(rates))
    return 0


def table(rates: dict[str, timing.Rate]) -> str:
    """Formats medians, spreads and the ratio of the rates per core to the plain one."""
    plain = statistics.median(rates[PLAIN].per_core_s)
    lines = [f"{'windows':20}{'per s':>18}{'per core-s':>18}{'ratio':>8}"]
    for name, rate in rates.items():
        line = f"{name:20}"
        for rounds in (rate.per_s, rate.per_core_s):
            value = f"{statistics.median(rounds):,.0f} +- {timing.spread(rounds):,.0f}"
            line += f"{value:>18}"
        ratio = statistics.median(rate.per_core_s) / plain
        lines.append(f"{line}{ratio:8.1f}")
    return "\n".join(lines)
