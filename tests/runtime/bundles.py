"""Bundles, networks, clips and a clock for the tests of the program for the board."""

import functools
import json
from pathlib import Path

import numpy as np

from seen_jax import see
from seen_jax.export.convert import variables_from_torch
from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import Runtime
from tests import golden
from tests.models import reference

SOURCE = Path(seen_runtime.__file__)
KERNEL = SOURCE.with_name(seen_runtime.KERNEL)

# With these, the levels 1, 128 and 255 are -1, 0 and 1 for the network.
THREE_LEVELS = {
    f"{kind}_{name}": level / 255
    for kind in seen_runtime.KINDS
    for name, level in (("mean", 128), ("std", 127))
}


def whole_numbers(seed=0):
    """Weights with which no rounding can decide whether a neuron fires.

    All weights are -1, 0 or 1, and so are the inputs; the three scales weigh 1/3. So
    every current is a multiple of 1/3, every membrane of four steps one of 1/375 (the
    decay is 1/5, thrice), and the threshold 0.3 = 112.5/375 is 0.0013 from any.

    Returns:
      The entries of a published checkpoint, float32.
    """
    rng = np.random.default_rng(seed)
    weights = {}
    for name, x in golden.state_dict().items():
        share = 0.5 if x.ndim < 2 else min(0.5, 3 / x[0].size)
        drawn = rng.choice([-1, 0, 1], x.shape, p=[share / 2, 1 - share, share / 2])
        weights[name] = drawn.astype(np.float32 if x.dtype == np.float64 else x.dtype)
        if name.startswith("mlp") and ".4." in name:
            weights[name][:] = 0
        if name.endswith("running_var"):
            weights[name][:] = 1
    return weights


def three_levels(num_windows, size=90, seed=0):
    """Event frames and intensity frames of E4_S3 for `whole_numbers`, uint8."""
    rng = np.random.default_rng(seed)
    return [
        rng.choice(np.array([1, 128, 255], np.uint8), (num_windows, n, size, size))
        for n in (4, 2)
    ]


@functools.cache
def whole_logits():
    """Two windows through `whole_numbers`; every layer spikes, and none always.

    Returns:
      The frames of `three_levels`; logits (2, 7) by plain numpy in float64; and the
      frames as the network takes them, in float32.
    """
    frames = three_levels(2)
    inputs = [(x - 128.0) / 127 for x in frames]
    weights = variables_from_torch(whole_numbers())
    logits, rates, _ = reference.seen(weights, *inputs)
    assert all(0.01 < rate < 0.99 for rate in rates), rates
    return frames, logits, [x.astype(np.float32) for x in inputs]


def make_manifest(**changes):
    """A manifest of E4_S3 as the export writes it, for no files yet."""
    return dict(
        format=seen_runtime.FORMAT, classes=list(see.EMOTIONS), num_event_frames=4,
        frames_per_s=30, skip=3, intensity_places=[0, 3], image_size=see.INPUT_SIZE,
        event_mean=see.EVENT_MEAN, event_std=see.EVENT_STD,
        intensity_mean=see.INTENSITY_MEAN, intensity_std=see.INTENSITY_STD,
        readout="mean_membrane", decay=0.2, threshold=0.3, files={},
    ) | changes  # fmt: skip


def write_manifest(folder, **changes):
    """Writes the manifest of the files that are there, with its hash."""
    files = {}
    for path in (folder / name for name in seen_runtime.FILES):
        if path.exists():
            sha256 = seen_runtime.file_hash(path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256}
    manifest = make_manifest(**{"files": files, **changes})
    manifest["sha256"] = seen_runtime.manifest_hash(manifest)
    text = json.dumps(manifest, indent=1)
    (folder / seen_runtime.MANIFEST).write_text(text, encoding="utf-8")


def grey(level, size=90):
    """An image of one grey level, by which a window's frames are told apart."""
    return np.full((size, size), int(level) % 256, np.uint8)


def normalised(num_windows, fill=np.zeros):
    """Inputs of E4_S3 for `Runtime.logits`."""
    shapes = ((num_windows, n, 90, 90) for n in (4, 2))
    return [fill(shape).astype(np.float32) for shape in shapes]


def happiness(*inputs):
    """Stands for a network: logits of one window, for the fourth of the emotions."""
    return np.eye(7, dtype=np.float32)[None, 3]


def plain_runtime(run=happiness, **changes):
    """A runtime of a function in place of a network, with a manifest's changes."""
    return Runtime(make_manifest(**changes), "plain", "plain Python", run)


def watched_runtime(run=lambda: None, **changes):
    """A runtime without a network, and the grey levels that each window brings."""
    windows = []

    def levels(x, kind):
        mean, std = (runtime.manifest[f"{kind}_{name}"] for name in ("mean", "std"))
        images = np.rint(255 * (x * std + mean)).astype(int)
        assert (images == images[..., :1, :1]).all()
        return images[0, :, 0, 0].tolist()

    def compute(*inputs):
        windows.append(tuple(map(levels, inputs, seen_runtime.KINDS)))
        run()
        return np.eye(7, dtype=np.float32)[None, windows[-1][0][-1] % 7] * 3

    runtime = plain_runtime(compute, **changes)
    return runtime, windows


def pgm(image, comment=b""):
    height, width = image.shape
    return b"P5\n%s%d %d\n255\n" % (comment, width, height) + image.tobytes()


def write_clip(folder, count, size=60, levels=range(256)):
    """Random frames of grey levels, as PGM and as NPY: the folders for the command."""
    rng = np.random.default_rng(0)
    for kind in ("event", "frame"):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            image = rng.choice(np.array(levels, np.uint8), (size, size))
            if i % 2:
                np.save(folder / kind / f"{i:05d}.npy", image)
            else:
                (folder / kind / f"{i:05d}.pgm").write_bytes(pgm(image))
    return ["--events", str(folder / "event"), "--frames", str(folder / "frame")]


class Clock:
    """Stands for the module `time`, or its clock; sleeping takes exactly its time."""

    def __init__(self, now=0.0):
        self.now = now

    def monotonic(self):
        return self.now

    __call__ = monotonic

    def sleep(self, seconds):
        assert seconds >= 0
        self.now += seconds
