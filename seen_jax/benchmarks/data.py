"""Windows per second: from the store, from the records, and by plain Pillow.

    python -m seen_jax.benchmarks data [--data_dir DIR] [--json]

The plain way does for each window what the published program does: it decodes T event
frames and T intensity frames with Pillow, each as RGB, and resizes them; their bytes
are in memory, and nothing is normalised, which favours it. The store is drawn, of as
many clips as SEE has, since a few would fit into the processor's cache.
"""

from __future__ import annotations

import itertools
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import numpy as np

from seen_jax import memory
from seen_jax.benchmarks import timing
from seen_jax.benchmarks.clips import decode_rgb, draw_store, open_data
from seen_jax.data.batches import Batches
from seen_jax.data.records import Records, open_records
from seen_jax.data.store import Store, open_store
from seen_jax.data.windows import Setting

BATCH_SIZE = 32
PLAIN = "plain Pillow"


def plain_way(records: Records, setting: Setting) -> timing.Way:
    """Returns a way to load windows as the published program does."""
    clips = itertools.cycle([records[i] for i in range(min(len(records), 32))])
    numbers = np.arange(setting.num_event_frames) * setting.stride

    def load():
        record = next(clips)
        kinds = record.event_jpegs, record.frame_jpegs
        decode_rgb([jpegs[i % len(jpegs)] for jpegs in kinds for i in numbers])

    return timing.repeat(load)


def way(images: Store | Records, setting: Setting) -> timing.Way:
    """Returns a way to load windows as training does, without reading ahead."""
    batches = Batches(images, images.clips, setting, BATCH_SIZE, 0, "train")
    numbers = itertools.count()
    return timing.repeat(lambda: batches.batch(next(numbers)), batches.batch_size)


def measure(args: Namespace) -> dict[str, Any]:
    """Measures every way to load windows."""
    memory.keep_freed()
    with open_data(args.data_dir, args.dataset, 24) as data_dir:
        records = open_records(data_dir, "train", args.dataset)
        store = draw_store(args.clips, 0) if args.clips else open_store(records)
        ways = {
            "store": way(store, args.setting),
            "records": way(records, args.setting),
            PLAIN: plain_way(records, args.setting),
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
