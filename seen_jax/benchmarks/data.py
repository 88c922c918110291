"""Windows per second: from the store, from the records, and by plain Pillow.

    python -m seen_jax.benchmarks data [--data_dir DIR] [--json]

The plain way does for each window what the published program does: it decodes n event
frames and n intensity frames with Pillow, each as RGB, and resizes them. It gets their
bytes from memory, and neither way normalises, which favours it. The store is drawn, of
as many clips as SEE has, since a few clips would fit into the processor's cache.

Note: "read ahead" rows use a thread per processor, the others this thread alone; the
ratio is that of windows per second of processor time.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from seen_jax import see
from seen_jax.benchmarks import arguments, timing
from seen_jax.benchmarks.clips import decode_rgb, draw_store, open_data
from seen_jax.data.batches import Batches
from seen_jax.data.records import Records, open_records
from seen_jax.data.store import open_store
from seen_jax.data.windows import Setting

BATCH_SIZE = 32
PLAIN = "plain Pillow"


def plain_windows(records: Records, setting: Setting) -> Callable[[float], int]:
    """Returns a function that loads windows as the published program does."""
    clips = itertools.cycle([records[i] for i in range(min(len(records), 32))])
    numbers = np.arange(setting.num_event_frames) * setting.stride

    def load():
        record = next(clips)
        kinds = record.event_jpegs, record.frame_jpegs
        decode_rgb([jpegs[i % len(jpegs)] for jpegs in kinds for i in numbers])

    return timing.repeat(load)


def in_this_thread(batches: Batches) -> Callable[[float], int]:
    """Returns a function that loads batches without reading ahead."""
    numbers = itertools.count()
    return timing.repeat(lambda: batches.batch(next(numbers)), batches.batch_size)


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_data(parser, "24 clips")
    arguments.add_setting(parser)
    text = "of the drawn store; default: %(default)s, as SEE has (2 GB); 0: the data's"
    arguments.add_numbers(parser, least=0, text=text, clips=see.NUM_CLIPS)
    arguments.add_rounds(parser, rounds=7, seconds=1.0)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measures every way to load windows."""
    with open_data(args.data_dir, 24, config=args.dataset) as data_dir:
        records = open_records(data_dir, "train", args.dataset)
        store = draw_store(args.clips, 0) if args.clips else open_store(records)
        shared = args.setting, BATCH_SIZE, 0, "train"
        from_records = Batches(records, records.clips, *shared)
        from_store = Batches(store, store.clips, *shared)
        ways = {
            "store": in_this_thread(from_store),
            "store, read ahead": read_ahead(from_store),
            "records": in_this_thread(from_records),
            "records, read ahead": read_ahead(from_records),
            PLAIN: plain_windows(records, args.setting),
        }
        rates = timing.alternate(ways, args.rounds, args.seconds)
    return {
        "machine": timing.machine(),
        "setting": str(args.setting),
        "clips": args.clips,
        "windows": rates,
    }


def to_text(result: Mapping[str, Any]) -> str:
    """Formats both rates of every way; the ratio is of those per core."""
    columns = {"per_s": "windows per s", "per_core_s": "per core-s"}
    of = result["windows"], columns, PLAIN, "per_core_s"
    what = f"{result['setting']}, batch {BATCH_SIZE}, {result['machine']}"
    return "\n".join([what, *timing.table(*of, digits=0, as_ms=False)])
