"""Bundles, clips and a clock for the tests of the program for the board."""

import json
from pathlib import Path

import numpy as np

from seen_jax import see
from seen_jax.runtime import seen_runtime

SOURCE = Path(seen_runtime.__file__)


def make_manifest(**changes):
    """A manifest of E4_S3 as the export writes it, for no files yet."""
    return {
        "format": seen_runtime.FORMAT,
        "classes": list(see.EMOTIONS),
        "num_event_frames": 4,
        "skip": 3,
        "rate_hz": 30,
        "intensity_places": [0, 3],
        "image_size": see.INPUT_SIZE,
        "event_mean": see.EVENT_MEAN,
        "event_std": see.EVENT_STD,
        "intensity_mean": see.INTENSITY_MEAN,
        "intensity_std": see.INTENSITY_STD,
        "files": {},
        **changes,
    }


def write_manifest(folder, **changes):
    """Writes the manifest of the files that are there, with its hash."""
    files = {
        name: {
            "bytes": (folder / name).stat().st_size,
            "sha256": seen_runtime.file_hash(folder / name),
        }
        for name in seen_runtime.FILES
    }
    manifest = make_manifest(**{"files": files, **changes})
    manifest["sha256"] = seen_runtime.manifest_hash(manifest)
    text = json.dumps(manifest, indent=1)
    (folder / seen_runtime.MANIFEST).write_text(text, encoding="utf-8")


def pgm(image, comment=b""):
    height, width = image.shape
    return b"P5\n%s%d %d\n255\n" % (comment, width, height) + image.tobytes()


def write_clip(folder, count):
    """Random frames of 60 x 60, as PGM and as NPY: the folders for the command."""
    rng = np.random.default_rng(0)
    for kind in ("event", "frame"):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(0, 256, (60, 60), np.uint8)
            if i % 2:
                np.save(folder / kind / f"{i:05d}.npy", image)
            else:
                (folder / kind / f"{i:05d}.pgm").write_bytes(pgm(image))
    return ["--events", str(folder / "event"), "--frames", str(folder / "frame")]


class Clock:
    """Stands for the module `time`; sleeping and computing take exactly their time."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        assert seconds >= 0
        self.now += seconds
