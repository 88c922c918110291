"""Clips to measure on: drawn, or simulated where what they show matters.

Drawn clips are as long as those of SEE and have random images, for measurements that
depend on sizes alone. The images repeat after `NUM_FRAMES`, but each copy has its own
place in memory.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from seen_jax import see
from seen_jax.data.batches import Batches
from seen_jax.data.clips import Clips
from seen_jax.data.record import KINDS, Record
from seen_jax.data.store import Store
from seen_jax.data.windows import Setting
from seen_jax.images import decode_jpeg

NUM_FRAMES = 256


def draw_clips(num_clips: int, seed: int) -> Clips:
    """Draws a table of clips: lengths, and a class for each."""
    rng = np.random.default_rng(seed)
    lengths = rng.normal(see.LENGTH_MEAN, see.LENGTH_STD, num_clips).round()
    lengths = lengths.clip(see.LENGTH_MIN, see.LENGTH_MAX).astype(np.int32)
    return Clips(
        names=tuple(f"drawn_{i}" for i in range(num_clips)),
        labels=see.EMOTIONS,
        label_index=rng.integers(0, len(see.EMOTIONS), num_clips, np.int32),
        segments=np.stack([np.zeros_like(lengths), lengths], axis=1),
        metadata={},
        numbers=np.arange(num_clips, dtype=np.int32),
        num_frames=lengths,
        first_rows=np.cumsum(lengths, dtype=np.int32) - lengths,
    )


def draw_store(num_clips: int, seed: int, num_frames: int | None = None) -> Store:
    """Draws a store in memory, of SEE's mean and spread.

    Args:
      num_clips: of its table.
      seed: of all that is drawn.
      num_frames: that are kept, for who repeats them where they are needed; None keeps
        those of all clips, 0.9 MB per clip.
    """
    clips = draw_clips(num_clips, seed)
    num_frames = num_frames or int(clips.num_frames.sum())
    rng = np.random.default_rng(seed)
    size = see.INPUT_SIZE, see.INPUT_SIZE

    def frames(mean, std):
        images = 255 * rng.normal(mean, std, (NUM_FRAMES, *size))
        images = images.clip(0, 255).astype(np.uint8)
        return np.resize(images, (num_frames, *size))

    events = frames(see.EVENT_MEAN, see.EVENT_STD)
    intensities = frames(see.INTENSITY_MEAN, see.INTENSITY_STD)
    return Store(clips, Path("drawn"), events, intensities)


def draw_batches(
    num_clips: int, setting: Setting, batch_size: int, num_frames: int | None = None
) -> Batches:
    """Returns batches for training on the clips of `draw_store`."""
    store = draw_store(num_clips, 0, num_frames)
    return Batches(store, store.clips, setting, batch_size, 0, "train")


def draw_jpegs(count: int) -> list[bytes]:
    """Draws smooth grey images of SEE's size, as JPEG files."""
    rng, size = np.random.default_rng(0), (see.IMAGE_SIZE, see.IMAGE_SIZE)
    files = []
    for coarse in rng.integers(0, 256, (count, 12, 12), np.uint8):
        stream = io.BytesIO()
        image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        image.save(stream, "JPEG")
        files.append(stream.getvalue())
    return files


def decode_rgb(jpegs: list[bytes]) -> np.ndarray:
    """Decodes and resizes N files as the published program does: (N, 90, 90, 3)."""
    size, decoded = (see.INPUT_SIZE, see.INPUT_SIZE), []
    for jpeg in jpegs:
        with Image.open(io.BytesIO(jpeg)) as image:
            rgb = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
        decoded.append(np.asarray(rgb))
    return np.stack(decoded)


@contextlib.contextmanager
def open_data(
    data_dir: Path | None,
    num_clips: int,
    num_volunteers: int = 4,
    config: str = "published",
) -> Iterator[Path]:
    """Gives a DATA_DIR: the one that there is, or for a while one of new clips."""
    if data_dir is not None:
        yield data_dir
        return
    with tempfile.TemporaryDirectory() as root:
        simulate = [sys.executable, "-m", "seen_jax.simulator", f"--out={root}/see"]
        simulate += [f"--clips={num_clips}", f"--volunteers={num_volunteers}"]
        simulate += ["--difficulty=easy"]  # as when the tables were measured
        build = ["bash", "launch/build_see.sh", f"{root}/see", f"{root}/data"]
        build += [f"--config={config}"]
        env = {**os.environ, "PYTHON": sys.executable}
        where = {"cwd": Path(__file__).resolve().parents[2], "env": env}
        for command in (simulate, build):
            subprocess.run(command, check=True, stdout=sys.stderr, **where)
        yield Path(root, "data")


def read_frames(record: Record) -> list[np.ndarray]:
    """Decodes a clip's event frames and intensity frames, each uint8 (N, S, S)."""
    return [np.stack([*map(decode_jpeg, record.jpegs(kind))]) for kind in KINDS]
