"""Clips to measure on: drawn, or simulated where what they show matters.

Drawn clips are as long as those of SEE and have random images, for measurements that
depend on sizes alone. The images repeat after `NUM_FRAMES`, but each copy has its own
place in memory.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from seen_jax import images, see
from seen_jax.data import clips as clips_lib
from seen_jax.data.batches import Batches
from seen_jax.data.store import Store
from seen_jax.data.windows import Setting

NUM_FRAMES = 256
ROOT = Path(__file__).resolve().parents[2]


def draw_store(num_clips: int, seed: int, num_frames: int | None = None) -> Store:
    """Draws a store in memory, with SEE's lengths, means and standard deviations.

    Args:
      num_frames: that are kept, for who repeats them where they are needed; None keeps
        those of all clips, 0.9 MB per clip.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.normal(see.LENGTH_MEAN, see.LENGTH_STD, num_clips).round()
    lengths = lengths.clip(see.LENGTH_MIN, see.LENGTH_MAX).astype(int)
    labels = rng.integers(0, len(see.EMOTIONS), num_clips, np.int32)
    index = {
        "names": [f"drawn_{i}" for i in range(num_clips)],
        "segments": [(0, length) for length in lengths],
        "labels": [see.EMOTIONS[i] for i in labels],
        "num_frames": lengths,
        "metadata": {},
    }
    clips = clips_lib.from_index(index, see.EMOTIONS)
    rng, size = np.random.default_rng(seed), (see.INPUT_SIZE, see.INPUT_SIZE)

    def frames(mean, std):
        images = (255 * rng.normal(mean, std, (NUM_FRAMES, *size))).clip(0, 255)
        shape = num_frames or lengths.sum(), *size
        return np.resize(images.astype(np.uint8), shape)

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
    files = [io.BytesIO() for _ in range(count)]
    for file in files:
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12), np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG")
    return [file.getvalue() for file in files]


def decode_rgb(jpegs: Sequence[bytes]) -> np.ndarray:
    """Decodes and resizes N files as the published program does: (N, 90, 90, 3)."""
    size, decoded = (see.INPUT_SIZE, see.INPUT_SIZE), []
    for jpeg in jpegs:
        with Image.open(io.BytesIO(jpeg), formats=images.FORMATS) as image:
            rgb = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
        decoded.append(np.asarray(rgb))
    return np.stack(decoded)


@contextlib.contextmanager
def open_data(
    data_dir: Path | None, config: str, num_clips: int, num_volunteers: int = 4
) -> Iterator[Path]:
    """Gives a DATA_DIR: the one that there is, or for a while one of new clips."""
    if data_dir is not None:
        yield data_dir
        return
    with tempfile.TemporaryDirectory() as root:
        size = f"--clips={num_clips} --volunteers={num_volunteers} --difficulty=easy"
        simulate = ["-m", "seen_jax.simulator", f"--out={root}/see", *size.split()]
        build = ["datasets/see_tfds/build.py", f"{root}/see", f"{root}/data"]
        for words in (simulate, [*build, f"--config={config}"]):
            command = [sys.executable, *words]
            subprocess.run(command, check=True, stdout=sys.stderr, cwd=ROOT)
        yield Path(root, "data")
