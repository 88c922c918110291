"""SEEN where it is worn: a bundle, a camera's frames -> an emotion for every frame.

One file for Python 3.6 to 3.13, with numpy and one of torch (1.8 or newer), onnxruntime
and TensorRT (8.2 or newer). Pillow reads JPEG and PNG where it is installed.

    python seen_runtime.py --bundle BUNDLE --events DIR --frames DIR [--rate 30]
        [--backend auto|torch|torchscript|onnxruntime|tensorrt] [--json]

    runtime = load("BUNDLE")
    stream = Stream(runtime)
    stream.push_event(number, event_frame)            # uint8, square, as they come
    stream.push_intensity(number, intensity_frame)
    prediction = stream.predict()                     # over the latest window, or None

The network here does only the work that reaches the output (`fold`, `make_network`); it
is the same function as the published one. What a reader would get wrong: a frame's
number is its place in time at 30 Hz. A number that is left out is a dropped frame; the
frames after it keep their places, and a window that needs it is not predicted.
"""

import argparse
import ctypes
import ctypes.util
import functools
import hashlib
import importlib
import itertools
import json
import math
import numbers
import os
import re
import sys
import time
from typing import Callable, NamedTuple, Optional

import numpy as np

try:
    from PIL import Image
except ImportError:  # may be absent on the board: then only .npy and .pgm are read
    Image = None

FORMAT = 1
MANIFEST, ENGINE = "manifest.json", "seen.engine"
FILES = ("seen.pt", "seen.ts", "seen.onnx", "seen_dynamic.onnx", "seen_runtime.py")
INPUTS = ("event_frames", "intensity_frames")
ENDINGS = (".jpg", ".jpeg", ".png", ".pgm", ".npy")
BACKENDS = {  # the package that each needs, in the order in which auto tries them
    "tensorrt": "tensorrt",
    "onnxruntime": "onnxruntime",
    "torch": "torch",
    "torchscript": "torch",
}


class BundleError(ValueError):
    """A bundle is not complete, not as it was written, or not for this runtime."""


def _error(what, expected, got, remedy, kind=ValueError):
    return kind(f"{what}: expected {expected}, got {got}; {remedy}")


# ---------------------------------------------------------------------- the network
#
# Positions that nothing reads are never computed. Row r of conv3_f2's 6 rows reads the
# rows 4 r - 1 to 4 r + 1 of conv2_f2, and so the rows 8 r - 3 to 8 r + 3 of the first
# stage: blocks of 7 x 7 that do not overlap. Negative rows are padding. conv1_f2,
# conv1_f3, conv1_f4 and conv1_cat have no activation between them, so they are one
# 7 x 7 kernel, which depends on the attention alone; likewise conv2_f2 and conv3_f2 of
# the spatial branch. All images are (positions, channels), all layers matrix products.

SIZE = 90  # rows and columns of an image
FIRST, BLOCKS, TAPS = 45, 6, 7  # rows of the first stage and of conv3_f2; of a kernel
AREA = TAPS * TAPS
CHANNELS = 64  # of the first stage
DECAY, THRESHOLD = 0.2, 0.3  # of the neurons
EPSILON = 1e-5  # of BatchNorm
SCALES = (("conv1_f2", "mlp_f1"), ("conv1_f3", "mlp_f2"), ("conv1_f4", "mlp_f3"))


def _squares(lines, side):
    """Numbers the places in squares of an image; `side ** 2` stands for its padding.

    Args:
      lines: int (A, B), the rows (and columns) that each of A squares has.
      side: rows of the image.

    Returns:
      int (A * A, B * B), row * side + column.
    """
    rows, columns = lines[:, None, :, None], lines[None, :, None, :]
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    places = np.where(inside, rows * side + columns, side**2)
    return places.reshape(len(lines) ** 2, -1)


_LINES = 8 * np.arange(BLOCKS)[:, None] - 3 + np.arange(TAPS)  # (6, 7), -3 to 43
_KEPT = _LINES[_LINES >= 0]  # 39 of the first stage's 45 rows
_NUMBER = np.where(_LINES >= 0, np.searchsorted(_KEPT, _LINES), -1)  # among those kept
_THREE = 2 * np.arange(3)[:, None] + np.arange(3)  # what a row of conv2_f2 reads

# What each position of the first stage reads of an image: (1522, 49). The last position
# reads nothing but padding, and is the padding of the next stage.
PATCHES = np.concatenate(
    [_squares(2 * _KEPT[:, None] - 3 + np.arange(TAPS), SIZE), np.full((1, AREA), 8100)]
)
# What each block reads of the first stage: (36, 49), and each output of conv2_f2 in a
# block: (36 * 9, 9).
READS = _squares(_NUMBER, len(_KEPT))
CONV2_READS = READS[:, _squares(_THREE, TAPS)].reshape(-1, 9)


def fold(state_dict: dict, dtype: type = np.float32) -> dict:
    """Turns the entries of a published checkpoint into those of the network here.

    Args:
      state_dict: published name to array, for images of 90 x 90 and N intensity frames.
      dtype: of the result; the work is done in float64.

    Returns:
      Name to array, in the shapes that are noted below.
    """
    s = {name: np.asarray(x, np.float64) for name, x in state_dict.items()}
    conv2, conv3 = s["conv2_f2.weight"], s["conv3_f2.weight"]
    deep = np.zeros((TAPS, TAPS, CHANNELS, len(conv3)))  # one kernel of both
    for a, b, c, d in itertools.product(range(3), repeat=4):
        deep[2 * a + c, 2 * b + d] += (conv3[:, :, a, b] @ conv2[:, :, c, d]).T
    deep = deep.reshape(-1, len(conv3))

    # What the biases of conv2_f2 and conv3_f2 come to at each block: (36, 512). The
    # first row and column of conv2_f2 that is read is padding, which has no bias.
    inside = np.ones((3, BLOCKS))
    inside[0, 0] = 0
    taps = np.einsum("oiab,i->oab", conv3, s["conv2_f2.bias"])
    late = np.einsum("oab,ar,bc->rco", taps, inside, inside) + s["conv3_f2.bias"]
    late = late.reshape(BLOCKS**2, -1)

    # An image's mean over all positions of the first stage, by row of the kernel: what
    # the attention sees is linear in these.
    rows = 2 * np.arange(FIRST)[:, None] - 3 + np.arange(TAPS)
    moments = (rows[:, :, None] == np.arange(SIZE)).sum(0).T / float(FIRST)  # (90, 7)
    means = np.outer(moments.sum(0), moments.sum(0)).ravel()  # of an image of ones

    # Three equal channels are one: (3, N). conv0's bias ends where padding begins.
    grey = s["conv0.weight"][:, :, 0, 0].reshape(3, -1, 3).sum(-1)
    pixel = (PATCHES < SIZE**2).astype(np.float64)  # (1522, 49)
    cat = s["conv1_cat.weight"][:, :, 0, 0].reshape(CHANNELS, 3, CHANNELS)
    event, intensity, constant, hidden, hidden_bias = [], [], [], [], []
    scores = np.zeros((3, 8, 3))
    for i, (conv, mlp) in enumerate(SCALES):
        margin = [(TAPS - s[conv + ".weight"].shape[-1]) // 2] * 2
        kernel = np.pad(s[conv + ".weight"], [(0, 0)] * 2 + [margin] * 2, "constant")
        kernel = kernel.reshape(CHANNELS, 3, AREA)
        frames = np.einsum("crt,rn->cnt", kernel, grey)  # (64, N, 49)
        bias = np.einsum("crt,r->ct", kernel, s["conv0.bias"])  # (64, 49)
        event.append(np.einsum("dc,crt->td", cat[:, i], kernel))
        intensity.append(np.einsum("dc,cnt->ntd", cat[:, i], frames))

        # The three weights sum to 1: what does not depend on them may stand in each.
        early = (pixel @ bias.T + s[conv + ".bias"]) @ cat[:, i].T + s["conv1_cat.bias"]
        early[-1] = 0  # padding
        constant.append(early[READS].reshape(BLOCKS**2, -1) @ deep + late)

        scale = s[mlp + ".2.weight"] / np.sqrt(s[mlp + ".2.running_var"] + EPSILON)
        reduce = scale[:, None] * s[mlp + ".1.weight"][:, :, 0, 0]  # (8, 64)
        shift = scale * (s[mlp + ".1.bias"] - s[mlp + ".2.running_mean"])
        hidden.append(np.einsum("hc,cnt->nth", reduce, frames))
        mean = bias @ means + s[conv + ".bias"]
        hidden_bias.append(reduce @ mean + shift + s[mlp + ".2.bias"])
        scores[i, :, i] = s[mlp + ".4.weight"][0, :, 0, 0]

    fc1 = s["fc1.weight"].reshape(256, len(conv3), -1)  # channel, position
    folded = {
        "moments": moments,  # (90, 7)
        "hidden": np.concatenate(hidden, -1).reshape(-1, 24),  # (N * 49, 24)
        "hidden_bias": np.concatenate(hidden_bias),  # (24,)
        "scores": scores.reshape(24, 3),
        "scores_bias": np.concatenate([s[mlp + ".4.bias"] for _, mlp in SCALES]),
        "event": np.stack(event).reshape(3, -1),  # (3, 49 * 64)
        "intensity": np.stack(intensity).reshape(3, -1),  # (3, N * 49 * 64)
        "deep": deep,  # (49 * 64, 512)
        "deep_bias": np.stack(constant).reshape(3, -1),  # (3, 36 * 512)
        "conv2": conv2.transpose(2, 3, 1, 0).reshape(-1, len(conv2)),  # (9 * 64, 256)
        "conv3": conv3.transpose(2, 3, 1, 0).reshape(-1, len(conv3)),  # (9 * 256, 512)
        "fc1": fc1.transpose(2, 1, 0).reshape(-1, 256),  # (36 * 512, 256)
        "fc1_bias": s["fc1.bias"],
        "fc2": s["fc2.weight"].T,  # (256, K)
        "fc2_bias": s["fc2.bias"],
    }
    return {name: np.ascontiguousarray(x, dtype) for name, x in folded.items()}


def num_intensity_frames(folded: dict) -> int:
    """Returns N, how many intensity frames the network was trained with."""
    return len(folded["hidden"]) // AREA


def make_network(folded: dict, num_event_frames: int, exported: bool = False):
    """Makes the network as a torch module, of float32 or float64 as the arrays are.

    It takes normalised event frames (B, T, 90, 90) and intensity frames
    (B, N, 90, 90), and returns logits (B, K).

    Args:
      folded: as of `fold`.
      num_event_frames: T.
      exported: use no operation that ONNX or TensorRT 8.2 lack.
    """
    import torch

    num_intensities = num_intensity_frames(folded)
    num_places = len(PATCHES)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            images = (SIZE**2 + 1) * np.arange(num_intensities)[:, None]
            indices = {
                "event_patches": PATCHES,
                "intensity_patches": PATCHES[:, None] + images,
                "reads": READS,
                "conv2_reads": CONV2_READS,
            }
            for name, index in indices.items():
                index = torch.from_numpy(index.ravel().astype(np.int64))
                self.register_buffer(name, index)
            for name, array in folded.items():
                self.register_buffer(name, torch.from_numpy(array.copy()))

        def forward(self, event_frames, intensity_frames):
            attention = self.attend(intensity_frames)  # (B, 3)
            spatial = self.look(intensity_frames, attention)  # (B, 1, 36 * 512)
            kernel = (attention @ self.event).reshape(-1, 1, AREA, CHANNELS)
            x = pixels(event_frames, num_event_frames)
            x = gather(x, self.event_patches, (num_event_frames, num_places, AREA))
            x = lif(x @ kernel)  # (B, T, 1522, 64)
            shape = num_event_frames, BLOCKS**2 * 9, 9 * CHANNELS
            x = lif(self.product(gather(x, self.conv2_reads, shape), "conv2"))
            x = x.reshape(-1, num_event_frames, BLOCKS**2, 9 * 256)
            x = lif(self.product(x, "conv3")).flatten(2)  # (B, T, 36 * 512)
            x = lif(self.product(x + spatial, "fc1") + self.fc1_bias)
            currents = x @ self.fc2 + self.fc2_bias
            return torch.stack(integrate(currents)[0], 1).mean(1)

        def attend(self, images):
            """Weighs the three scales, by the means of what they see: (B, 3)."""
            means = self.moments.t() @ images @ self.moments  # (B, N, 7, 7)
            x = means.flatten(1) @ self.hidden + self.hidden_bias
            x = torch.relu(x) @ self.scores + self.scores_bias
            return torch.softmax(x, dim=1)

        def look(self, images, attention):
            """The spikes J_s of the intensity frames: (B, 1, 36 * 512)."""
            num_taps = num_intensities * AREA
            kernel = (attention @ self.intensity).reshape(-1, 1, num_taps, CHANNELS)
            x = pixels(images, num_intensities).reshape(
                -1, 1, num_intensities * (SIZE**2 + 1), 1
            )
            x = gather(x, self.intensity_patches, (1, num_places, num_taps)) @ kernel
            x = gather(x, self.reads, (1, BLOCKS**2, AREA * CHANNELS))
            current = self.product(x, "deep").flatten(2)
            current = current + (attention @ self.deep_bias).unsqueeze(1)
            return (current > THRESHOLD).to(current.dtype)

        def product(self, x, name):
            return x @ getattr(self, name)

    def pixels(images, count):
        """(B, count, 90, 90) to (B, count, 8101, 1), the last one padding's zero."""
        x = images.reshape(-1, count, SIZE**2, 1)
        return torch.cat([x, 0 * x[:, :, :1]], 2)

    def gather(x, index, shape):
        """Takes rows of (B, T, P, C) by their number, several a row of `shape`."""
        if exported:
            return x.index_select(2, index).reshape((-1, *shape))
        # One copy out of all images' rows: many times faster in torch
        images = torch.ones_like(x[:, :, 0, 0], dtype=torch.int64).reshape(-1, 1)
        index = (images.cumsum(0) - 1) * x.shape[2] + index
        rows = x.flatten(0, 2).index_select(0, index.reshape(-1))
        return rows.reshape((-1, *shape))

    def lif(currents):
        """Spikes of neurons that begin at rest: (B, T, ...) to the same."""
        return torch.stack(integrate(currents)[1], 1)

    def integrate(currents):
        """Membranes and spikes at every time step: twice T of (B, ...)."""
        membranes, spikes = [], []
        for t in range(num_event_frames):
            membrane = currents[:, t]
            if t:
                kept = membranes[-1] * (1 - spikes[-1])
                membrane = torch.add(membrane, kept, alpha=DECAY)
            membranes.append(membrane)
            spikes.append((membrane > THRESHOLD).to(membrane.dtype))
        return membranes, spikes

    return Network().eval()


# ---------------------------------------------------------------------- the images

SAME_SQUARE = "cut the same square from every frame"


def resize(image: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Resizes a square grey image as Pillow does, bilinear with antialiasing.

    Args:
      image: uint8 (S, S).
      size: pixels of a side.

    Returns:
      uint8 (size, size).
    """
    if Image is None:
        return resize_by_numpy(image, size)
    return np.asarray(Image.fromarray(image).resize((size, size), Image.BILINEAR))


def resize_by_numpy(image: np.ndarray, size: int = SIZE) -> np.ndarray:
    """As `resize`, bit by bit, without Pillow."""
    weights = _resize_weights(len(image), size)
    for _ in range(2):  # columns, then rows, each rounded to 8 bits
        # Whole numbers below 2**31: exact in float64, whose product is fast.
        total = (image.astype(np.float64) @ weights).astype(np.int64)
        image = np.clip((total + (1 << 21)) >> 22, 0, 255).astype(np.uint8).T
    return np.ascontiguousarray(image)


@functools.lru_cache(maxsize=None)
def _resize_weights(num_pixels, size):
    """Weights of a triangle filter in units of 2**-22: float64 (num_pixels, size)."""
    scale = num_pixels / float(size)
    support = max(scale, 1.0)
    weights = np.zeros((num_pixels, size))
    for i in range(size):
        centre = (i + 0.5) * scale
        first = max(int(centre - support + 0.5), 0)
        last = min(int(centre + support + 0.5), num_pixels)
        distance = (np.arange(first, last) - centre + 0.5) * (1 / support)
        column = np.maximum(1 - np.abs(distance), 0)
        # One after the other, which neither numpy's sum nor every Python's does.
        weights[first:last, i] = column / np.cumsum(column)[-1]
    return np.floor(weights * (1 << 22) + 0.5)


def normalise(image: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Scales uint8 grey levels to the network's input, float32."""
    return (image.astype(np.float32) / 255 - mean) / std


def check_image(image: np.ndarray, name: str) -> np.ndarray:
    """Raises ValueError unless it is uint8 (S, S); returns it."""
    image = np.asarray(image)
    square = image.ndim == 2 and image.shape[0] == image.shape[1] > 0
    if image.dtype != np.uint8 or not square:
        rule, found = "uint8 (S, S), grey levels", f"{image.dtype} {image.shape}"
        raise _error(name, rule, found, SAME_SQUARE)
    return image


def read_image(path: str) -> np.ndarray:
    """Reads a square grey image, uint8 (S, S): .npy, .pgm, by Pillow .jpg and .png.

    Raises:
      ValueError: names the file, and what is wrong with it.
    """
    ending = os.path.splitext(path)[1].lower()
    if Image is None and ending not in (".npy", ".pgm"):
        remedy = "install it (python3-pil), or convert the images to .pgm elsewhere"
        raise _error(path, f"Pillow, which reads {ending}", "none", remedy)
    try:
        if ending == ".npy":
            image = np.load(path, allow_pickle=False)
        elif ending == ".pgm":
            image = _read_pgm(path)
        else:
            with Image.open(path) as opened:
                if opened.mode != "L":
                    raise ValueError(f"an image of mode {opened.mode}")
                image = np.asarray(opened)
    except Exception as error:  # readers of images raise all kinds
        remedy = "write it again, without colours"
        raise _error(path, "a grey 8-bit image", error, remedy) from error
    return check_image(image, path)


def _read_pgm(path):
    with open(path, "rb") as file:
        data = file.read()
    header = re.match(rb"P5\s+(\d+)\s+(\d+)\s+255\s", data)
    if not header:
        raise ValueError("no binary PGM (P5) of 255 levels without comments")
    width, height = map(int, header.groups())
    if len(data) - header.end() != width * height:
        raise ValueError(f"{len(data) - header.end()} bytes for {width} x {height}")
    return np.frombuffer(data, np.uint8, offset=header.end()).reshape(height, width)


def list_frames(folder: str) -> dict:
    """Finds the numbered images of a folder: number to path, ascending.

    Raises:
      ValueError: there are none, a name is no number, or two are the same.
    """
    rule = f"images 00000.jpg, 00001.jpg, ... ({', '.join(ENDINGS)})"
    names = os.listdir(folder) if os.path.isdir(folder) else []
    frames = {}
    for name in sorted(names):
        stem, ending = os.path.splitext(name)
        if ending.lower() not in ENDINGS:
            continue
        if not re.fullmatch("[0-9]+", stem):
            raise _error(os.path.join(folder, name), rule, repr(stem), "rename it")
        if int(stem) in frames:
            found = f"two of {int(stem)}"
            raise _error(folder, "each number once", found, "remove one of them")
        frames[int(stem)] = os.path.join(folder, name)
    if not frames:
        raise _error(folder, rule, "none", "check the path")
    return dict(sorted(frames.items()))


def read_frames(folder: str) -> dict:
    """Reads all of them: number to uint8 (S, S)."""
    return {number: read_image(path) for number, path in list_frames(folder).items()}


# ---------------------------------------------------------------------- the bundle

COPY_AGAIN = "copy or export the bundle again"


def _is_whole(x, least):
    return isinstance(x, numbers.Integral) and not isinstance(x, bool) and x >= least


def _is_number(x):
    return type(x) in (int, float) and abs(x) < 1e9  # nor NaN


def _are_names(x):
    return isinstance(x, list) and x and all(isinstance(n, str) for n in x)


def _are_places(x, length):
    return isinstance(x, list) and x and all(_is_whole(p, 0) and p < length for p in x)


def _are_files(x):
    facts = x.values() if isinstance(x, dict) and set(x) == set(FILES) else [None]
    return all(isinstance(f, dict) and {"bytes", "sha256"} <= set(f) for f in facts)


MEAN = "a number", lambda x, m: _is_number(x)
STD = "a number above 0", lambda x, m: _is_number(x) and x > 0
FIELDS = {  # what the runtime reads of a manifest m: the rule, and if x follows it
    "format": (f"{FORMAT}, of this {FILES[-1]}", lambda x, m: x == FORMAT),
    "sha256": ("the hash of the rest", lambda x, m: x == manifest_hash(m)),
    "classes": ("names", lambda x, m: _are_names(x)),
    "num_event_frames": ("a whole number from 1", lambda x, m: _is_whole(x, 1)),
    "skip": ("a whole number from 0", lambda x, m: _is_whole(x, 0)),
    "intensity_places": (
        "places in a window",
        lambda x, m: _are_places(x, m["num_event_frames"]),
    ),
    "rate_hz": STD,
    "image_size": (f"{SIZE}", lambda x, m: x == SIZE),
    "event_mean": MEAN,
    "event_std": STD,
    "intensity_mean": MEAN,
    "intensity_std": STD,
    "files": (f"bytes, sha256 of {', '.join(FILES)}", lambda x, m: _are_files(x)),
}


def read_manifest(bundle: str) -> dict:
    """Reads and checks the manifest of a bundle, and every file that it lists.

    Raises:
      BundleError: names the file, what was expected and what was found.
    """
    path = os.path.join(bundle, MANIFEST)
    if not os.path.isfile(path):
        remedy = "write one with python -m seen_jax.export torch"
        raise _bundle_error(bundle, f"a bundle, with {MANIFEST}", "none", remedy)
    try:
        with open(path, "rb") as file:
            manifest = json.loads(file.read().decode("utf-8"))
    except ValueError as error:
        raise _bundle_error(path, "JSON", error) from error
    if not isinstance(manifest, dict):
        raise _bundle_error(path, "an object", type(manifest).__name__)
    for name, (rule, holds) in FIELDS.items():
        if name not in manifest:
            raise _bundle_error(path, f"{name}, {rule}", "none")
        if not holds(manifest[name], manifest):
            raise _bundle_error(f"{path}, {name}", rule, repr(manifest[name]))
    for name, facts in manifest["files"].items():
        _check_file(os.path.join(bundle, name), facts)
    return manifest


def _bundle_error(what, expected, got, remedy=COPY_AGAIN):
    return _error(what, expected, got, remedy, BundleError)


def _check_file(path, facts):
    if not os.path.isfile(path):
        raise _bundle_error(path, "a file", "none")
    size = os.path.getsize(path)
    if size != facts["bytes"]:
        raise _bundle_error(path, f"{facts['bytes']} bytes", size)
    found = file_hash(path)
    if found != facts["sha256"]:
        raise _bundle_error(path, f"SHA-256 {facts['sha256']}", found)


def file_hash(path: str) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def manifest_hash(manifest: dict) -> str:
    """Returns the SHA-256 of all of a manifest but its own `sha256`."""
    rest = {name: x for name, x in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode("utf-8")).hexdigest()


class Runtime:
    """A bundle that is ready to predict.

    Attributes:
      manifest: dict, what the bundle says of itself.
      backend: the name of the one that computes.
      device: in words.
      lengths: T and N, event frames and intensity frames of a window.
    """

    def __init__(self, manifest: dict, backend: str, device: str, run: Callable):
        self.manifest, self.backend, self.device = manifest, backend, device
        self.lengths = manifest["num_event_frames"], len(manifest["intensity_places"])
        self._run = run

    def logits(self, event_frames: np.ndarray, intensity_frames: np.ndarray):
        """Computes logits (B, K), float32.

        Args:
          event_frames: float32 (B, T, 90, 90), each as of `event_input`.
          intensity_frames: float32 (B, N, 90, 90), each as of `intensity_input`.

        Raises:
          ValueError: other shapes or types, or logits that are no finite numbers.
        """
        frames = event_frames, intensity_frames
        frames = self._checked(frames, np.float32, (SIZE, SIZE))
        logits = self._run(*frames)
        expected = len(frames[0]), len(self.manifest["classes"])
        if logits.shape != expected or not np.isfinite(logits).all():
            found = f"{logits.shape}, {int((~np.isfinite(logits)).sum())} not finite"
            remedy = "choose another backend"
            raise _error(self.device, f"finite logits {expected}", found, remedy)
        return logits

    def predict(self, event_frames: np.ndarray, intensity_frames: np.ndarray):
        """Computes probabilities (B, K) of windows of frames as the camera gives them.

        Args:
          event_frames: uint8 (B, T, S, S), the window's event frames in order.
          intensity_frames: uint8 (B, N, S, S), those at the manifest's
            `intensity_places` of the window.
        """
        frames = self._checked((event_frames, intensity_frames), np.uint8)
        inputs = [
            np.stack([[prepare(image) for image in window] for window in x])
            for prepare, x in zip((self.event_input, self.intensity_input), frames)
        ]
        return softmax(self.logits(*inputs))

    def event_input(self, image: np.ndarray) -> np.ndarray:
        """Resizes and normalises one event frame, uint8 (S, S): float32 (90, 90)."""
        return self._input("event", image)

    def intensity_input(self, image: np.ndarray) -> np.ndarray:
        """As `event_input`, for an intensity frame."""
        return self._input("intensity", image)

    def _input(self, kind, image):
        image = resize(check_image(image, f"{kind} frame"))
        return normalise(
            image, self.manifest[f"{kind}_mean"], self.manifest[f"{kind}_std"]
        )

    def _checked(self, frames, dtype, image=None):
        """Returns both as arrays if they are whole windows of images of a shape."""
        frames = [np.asarray(x) for x in frames]
        for name, x, length in zip(INPUTS, frames, self.lengths):
            shape = (*frames[0].shape[:1], length, *(image or x.shape[2:]))
            if x.dtype != dtype or x.ndim != 4 or x.shape != shape or not x.size:
                size = "90, 90" if image else "S, S"
                rule = f"{np.dtype(dtype)} (B, {length}, {size}), equal B"
                remedy = "give as many whole windows of both"
                raise _error(name, rule, f"{x.dtype} {x.shape}", remedy)
        return frames


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turns logits (..., K) into probabilities."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def load(bundle: str, backend: str = "auto", threads: Optional[int] = None) -> Runtime:
    """Loads a bundle.

    Args:
      bundle: its folder.
      backend: one of `BACKENDS`, or auto: the first that is installed, TensorRT only
        if the bundle's folder has an engine.
      threads: of the processor, for torch and onnxruntime; None leaves their default.

    Raises:
      BundleError: the bundle is damaged.
      ValueError: the backend is not known or not installed.
    """
    manifest = read_manifest(bundle)
    if backend not in ("auto", *BACKENDS):
        rule = f"auto, {', '.join(BACKENDS)}"
        raise _error("backend", rule, repr(backend), "choose one of them")
    has_engine = os.path.isfile(os.path.join(bundle, ENGINE))
    tried = [x for x in BACKENDS if x != "tensorrt" or has_engine]
    lacks = ""
    for name in tried if backend == "auto" else [backend]:
        try:
            importlib.import_module(BACKENDS[name])
        except (ImportError, OSError) as error:  # OSError: a library of it is missing
            lacks = error
            continue
        make = {
            "tensorrt": _tensorrt,
            "onnxruntime": _onnxruntime,
            "torch": _torch,
            "torchscript": _torchscript,
        }[name]
        return Runtime(manifest, name, *make(bundle, manifest, threads))
    rule = " or ".join(sorted({BACKENDS[x] for x in tried}))
    if backend != "auto":
        rule = BACKENDS[backend]
    raise _error("backend", f"{rule} installed", lacks, "install it or choose another")


# ---------------------------------------------------------------------- the backends
#
# Each returns the device in words, and a function of both inputs to logits.


def _torch(bundle, manifest, threads):
    """The network of this file, with the published weights."""
    torch, device = _torch_device(threads)
    path = os.path.join(bundle, "seen.pt")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except TypeError:  # before torch 1.13
        checkpoint = torch.load(path, map_location="cpu")
    state_dict = {name: x.numpy() for name, x in checkpoint["state_dict"].items()}
    network = make_network(fold(state_dict), manifest["num_event_frames"]).to(device)
    if device == "cpu" and torch.backends.mkldnn.is_available():
        network.product = _packed_product(network)
    return _run_torch(network, device)


def _torchscript(bundle, manifest, threads):
    torch, device = _torch_device(threads)
    network = torch.jit.load(os.path.join(bundle, "seen.ts"), map_location=device)
    return _run_torch(network, device)


def _torch_device(threads):
    import torch

    if threads:
        torch.set_num_threads(threads)
    return torch, "cuda" if torch.cuda.is_available() else "cpu"


def _run_torch(network, device):
    import torch

    def run(*inputs):
        with torch.no_grad():
            tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in inputs]
            return network(*(x.to(device) for x in tensors)).cpu().numpy()

    return f"torch {torch.__version__} on {device}", run


def _packed_product(network):
    """Products by oneDNN with weights in its own layout: half of the time on x86."""
    import torch
    from torch.utils import mkldnn

    packed = {}
    for name in ("conv2", "conv3", "deep"):
        weight = getattr(network, name)
        layer = torch.nn.Linear(*weight.shape)
        layer.weight.data = weight.t().contiguous()
        layer.bias.data.zero_()
        packed[name] = mkldnn.to_mkldnn(layer.eval())

    def product(x, name):
        if name not in packed:
            return x @ getattr(network, name)
        rows = x.reshape(-1, x.shape[-1]).to_mkldnn()
        return packed[name](rows).to_dense().reshape((*x.shape[:-1], -1))

    return product


def _onnxruntime(bundle, manifest, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads:
        options.intra_op_num_threads = threads
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [x for x in wanted if x in onnxruntime.get_available_providers()]

    @functools.lru_cache(maxsize=None)
    def session(name):
        path = os.path.join(bundle, name)
        return onnxruntime.InferenceSession(path, options, providers=providers)

    def run(*inputs):
        name = "seen.onnx" if len(inputs[0]) == 1 else "seen_dynamic.onnx"
        return session(name).run(None, dict(zip(INPUTS, inputs)))[0]

    return f"onnxruntime {onnxruntime.__version__} on {providers[0]}", run


def _tensorrt(bundle, manifest, threads):
    """One window at a time, by the engine in the bundle, which is built if missing."""
    import tensorrt

    device = f"TensorRT {tensorrt.__version__}"
    path, source = os.path.join(bundle, ENGINE), os.path.join(bundle, "seen.onnx")
    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    if not os.path.isfile(path):
        _build_engine(logger, source, path)
    remedy = f"remove it and write it again from {source}"
    if os.path.getmtime(path) < os.path.getmtime(source):
        raise _bundle_error(path, "an engine of this bundle", "an older one", remedy)
    with open(path, "rb") as file:
        engine = tensorrt.Runtime(logger).deserialize_cuda_engine(file.read())
    if engine is None:
        raise _bundle_error(path, f"an engine for {device} here", "another", remedy)
    # The latter until 8.4
    shape_of = getattr(engine, "get_tensor_shape", None) or engine.get_binding_shape
    shapes = {name: tuple(shape_of(name)) for name in engine}
    lengths = manifest["num_event_frames"], len(manifest["intensity_places"])
    expected = {name: (1, n, SIZE, SIZE) for name, n in zip(INPUTS, lengths)}
    expected["logits"] = (1, len(manifest["classes"]))
    if shapes != expected:
        raise _bundle_error(path, expected, shapes, remedy)
    context = engine.create_execution_context()
    call = _cuda()
    memory = {}  # address by name, in the engine's order; lives as long as the process
    for name, shape in shapes.items():
        pointer = ctypes.c_void_p()
        num_bytes = 4 * int(np.prod(shape))
        call("cudaMalloc", ctypes.byref(pointer), ctypes.c_size_t(num_bytes))
        memory[name] = pointer.value

    def copy(to, source, num_bytes, kind):  # kind 1: to the device, 2: from it
        pointers = ctypes.c_void_p(to), ctypes.c_void_p(source)
        call("cudaMemcpy", *pointers, ctypes.c_size_t(num_bytes), kind)

    def run_one(*inputs):
        for name, x in zip(INPUTS, inputs):
            x = np.ascontiguousarray(x)
            copy(memory[name], x.ctypes.data, x.nbytes, 1)
        if not context.execute_v2(list(memory.values())):
            found, remedy = "a failure", "see what it logged"
            raise _error(device, "a window computed", found, remedy, RuntimeError)
        logits = np.empty(expected["logits"], np.float32)
        copy(logits.ctypes.data, memory["logits"], logits.nbytes, 2)
        return logits

    def run(*inputs):
        windows = zip(*(np.split(x, len(x)) for x in inputs))
        return np.concatenate([run_one(*window) for window in windows])

    return device, run


def _build_engine(logger, source, path):
    """Builds an engine of ONNX in float32, as trtexec --noTF32 does, and keeps it."""
    import tensorrt

    builder = tensorrt.Builder(logger)
    # Always explicit since 10, where the flag went
    flag = getattr(tensorrt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = tensorrt.OnnxParser(network, logger)
    with open(source, "rb") as file:
        parsed = parser.parse(file.read())
    config = builder.create_builder_config()
    config.clear_flag(tensorrt.BuilderFlag.TF32)
    if not hasattr(config, "set_memory_pool_limit"):  # until 8.3, with little of it
        config.max_workspace_size = 1 << 28
    plan = builder.build_serialized_network(network, config) if parsed else None
    if plan is None:
        found = parser.get_error(0) if parser.num_errors else "a failure"
        remedy = "see what it logged, or choose another backend"
        raise _error(source, f"TensorRT {tensorrt.__version__} to build", found, remedy)
    with open(path + ".part", "wb") as file:
        file.write(plan)
    os.replace(path + ".part", path)


def _cuda():
    """Calls of CUDA's own library by name: no other package is needed for them."""
    library = ctypes.CDLL(ctypes.util.find_library("cudart") or "libcudart.so")

    def call(name, *arguments):
        status = getattr(library, name)(*arguments)
        if status:
            remedy = "look the number up as cudaError"
            raise _error(name, "status 0", status, remedy, RuntimeError)

    return call


# ---------------------------------------------------------------------- the stream


class Prediction(NamedTuple):
    """An emotion by name, the number of the window's last frame, and float32 (K,)."""

    number: int
    emotion: str
    probabilities: np.ndarray


class Ring:
    """The latest frames of one kind, each at its number, and what became of the others.

    Attributes:
      first, newest: lowest and highest number taken, None before any.
    """

    def __init__(self, name: str, size: int, prepare: Callable):
        self.name, self.size, self._prepare = name, size, prepare
        self.first = self.newest = self._shape = None
        self._numbers = [None] * size
        self._images = np.zeros((size, SIZE, SIZE), np.float32)
        self._taken = self._late = self._useless = 0

    def push(self, number: int, image: np.ndarray) -> None:
        """Takes a frame; the work on it is done here, once.

        Raises:
          ValueError: the number is none or came before, the image is not uint8 (S, S),
            or not of the size of those before. Such a frame changes nothing.
        """
        what, remedy = f"{self.name} frame {number}", "number frames by their time"
        if not _is_whole(number, 0):
            raise _error(what, "a whole number from 0", repr(number), remedy)
        image = check_image(image, what)
        if self._shape not in (None, image.shape):
            rule = f"{self._shape} pixels as before"
            raise _error(what, rule, image.shape, SAME_SQUARE)
        place = number % self.size
        if self._numbers[place] == number:
            raise _error(what, "each number once", "it again", remedy)
        if self.newest is not None and number <= self.newest - self.size:
            self._useless += 1
            return
        self._images[place] = self._prepare(image)
        self._numbers[place], self._shape = number, image.shape
        self._taken += 1
        if self.newest is None:
            self.first = self.newest = number
        self._late += number < self.newest
        self.first, self.newest = min(self.first, number), max(self.newest, number)

    @property
    def counts(self) -> dict:
        """What became of the frames.

        received: all that came. dropped: numbers between the first and the newest that
        have not come, or came too late. late: came after a newer one and took their
        place. useless: came so late that their place was gone.
        """
        span = 0 if self.newest is None else self.newest - self.first + 1
        return {
            "received": self._taken + self._useless,
            "dropped": span - self._taken,
            "late": self._late,
            "useless": self._useless,
        }

    def missing(self, numbers: list) -> list:
        """Returns those of the numbers that are not here."""
        return [n for n in numbers if n < 0 or self._numbers[n % self.size] != n]

    def take(self, numbers: list) -> np.ndarray:
        """Returns a copy of frames that are here: float32 (1, len(numbers), 90, 90)."""
        return self._images[[n % self.size for n in numbers]][None]


class Stream:
    """Predictions over the latest window of frames that come at 30 Hz, in one thread.

    A frame is resized and normalised once, when it comes. Nothing behind that can be
    kept for the next window: the neurons begin at rest in every window, and the kernels
    follow the attention, which its own intensity frames decide. Numbers never go back:
    a camera that begins again needs a new Stream.

    Attributes:
      events, intensities: `Ring`, what came and what did not.
      span: numbers from a window's first frame to its last.
      counts: what became of each call of `predict`. predicted; filling (the window
        reaches back before the first frame); incomplete (a frame of it was dropped);
        waiting (one kind has brought nothing newer).
      missing: names of the frames that the latest call lacked.
    """

    def __init__(self, runtime: Runtime):
        manifest = runtime.manifest
        stride = manifest["skip"] + 1
        self.runtime = runtime
        self.span = (manifest["num_event_frames"] - 1) * stride + 1
        self._offsets = range(1 - self.span, 1, stride)
        # Two windows, since one kind may come up to a window after the other.
        self.events = Ring("event", 2 * self.span, runtime.event_input)
        self.intensities = Ring("intensity", 2 * self.span, runtime.intensity_input)
        names = ("predicted", "filling", "incomplete", "waiting")
        self.counts = dict.fromkeys(names, 0)
        self.missing, self._asked = [], -1

    def push_event(self, number: int, image: np.ndarray) -> None:
        """Takes an event frame, uint8 (S, S), with its number at 30 Hz."""
        self.events.push(number, image)

    def push_intensity(self, number: int, image: np.ndarray) -> None:
        """Takes an intensity frame, likewise."""
        self.intensities.push(number, image)

    def predict(self) -> Optional[Prediction]:
        """Returns the prediction of the latest number that both kinds have reached.

        Each number is predicted once; None if it was before, or if its window is not
        whole: `counts` and `missing` say which.
        """
        rings = self.events, self.intensities
        reached = [-1 if ring.newest is None else ring.newest for ring in rings]
        number = min(reached)
        if number <= self._asked:
            lagging = rings[reached.index(number)]
            self.missing = [f"{lagging.name} frame {number + 1}"]
            self.counts["waiting"] += 1
            return None
        self._asked = number
        numbers = [number + x for x in self._offsets]
        places = self.runtime.manifest["intensity_places"]
        needed = numbers, [numbers[x] for x in places]
        self.missing = [
            f"{ring.name} frame {n}"
            for ring, wanted in zip(rings, needed)
            for n in ring.missing(wanted)
        ]
        if self.missing:
            filling = any(min(n) < ring.first for ring, n in zip(rings, needed))
            self.counts["filling" if filling else "incomplete"] += 1
            return None
        logits = self.runtime.logits(*(ring.take(n) for ring, n in zip(rings, needed)))
        self.counts["predicted"] += 1
        probabilities = softmax(logits)[0]
        emotion = self.runtime.manifest["classes"][int(probabilities.argmax())]
        return Prediction(number, emotion, probabilities)


# ---------------------------------------------------------------------- the command


def replay(
    runtime: Runtime,
    event_frames: dict,
    intensity_frames: dict,
    rate: float = 30.0,
    on_prediction: Optional[Callable] = None,
) -> dict:
    """Plays frames in real time, and predicts at each.

    Every frame is taken, but where predicting falls behind, only the newest one that is
    due is predicted; the others are missed.

    Args:
      runtime: of `load`.
      event_frames, intensity_frames: number to uint8 (S, S).
      rate: frames per second; 0 plays as fast as it goes, each frame predicted.
      on_prediction: called with each `Prediction` and its latency in ms.

    Returns:
      dict: `frames` (numbers played), `missed`, the counts of `Stream`, those of its
      rings as `events` and `intensities`, `gaps` (frames that incomplete windows
      lacked) and `latency_ms` (p50, p95, p99; from the moment a frame is due to its
      prediction).
    """
    if not 0 <= rate < math.inf:
        raise _error("rate", "0 or more frames per second", rate, "try 30")
    numbers = sorted({*event_frames, *intensity_frames})
    stream = Stream(runtime)
    warm_up(runtime)
    latency_ms, gaps, missed, place = [], {}, 0, 0
    begin = time.monotonic()

    def due(place):
        return (
            begin + (numbers[place] - numbers[0]) / rate if rate else time.monotonic()
        )

    while place < len(numbers):
        time.sleep(max(0, due(place) - time.monotonic()))
        last = place
        while rate and last + 1 < len(numbers) and due(last + 1) <= time.monotonic():
            last += 1
        moment = due(last)
        for number in numbers[place : last + 1]:
            if number in event_frames:
                stream.push_event(number, event_frames[number])
            if number in intensity_frames:
                stream.push_intensity(number, intensity_frames[number])
        missed += last - place
        place = last + 1
        incomplete = stream.counts["incomplete"]
        prediction = stream.predict()
        if stream.counts["incomplete"] > incomplete:
            gaps.update(dict.fromkeys(stream.missing))
        if prediction is not None:
            latency_ms.append(1000 * (time.monotonic() - moment))
            if on_prediction:
                on_prediction(prediction, latency_ms[-1])
    return dict(
        stream.counts,
        frames=len(numbers),
        missed=missed,
        events=stream.events.counts,
        intensities=stream.intensities.counts,
        gaps=list(gaps),
        latency_ms=percentiles(latency_ms),
    )


def warm_up(runtime: Runtime) -> None:
    """Predicts a few times, so that what a backend does at first is done."""
    frames = [np.zeros((1, n, SIZE, SIZE), np.float32) for n in runtime.lengths]
    for _ in range(3):
        runtime.logits(*frames)


def percentiles(values: list) -> dict:
    """Returns p50, p95 and p99; None of each where there are no values."""
    return {
        f"p{p}": round(float(np.percentile(values, p)), 3) if values else None
        for p in (50, 95, 99)
    }


def play(
    runtime: Runtime,
    event_frames: dict,
    intensity_frames: dict,
    rate: float,
    as_json: bool,
) -> None:
    """Replays and prints.

    Raises:
      ValueError: no window was complete; says what one needs.
    """
    classes, predictions = runtime.manifest["classes"], []

    def show(prediction, ms):
        shares = dict(zip(classes, prediction.probabilities.tolist()))
        if as_json:
            entry = {"frame": prediction.number, "emotion": prediction.emotion}
            entry.update(probabilities=shares, latency_ms=round(ms, 3))
            predictions.append(entry)
        else:
            text = " ".join(f"{name[:4]} {100 * x:3.0f}" for name, x in shares.items())
            print(f"{prediction.number:05d}  {prediction.emotion:<10} {text}", end="")
            print(f"   {ms:6.1f} ms", flush=True)

    result = replay(runtime, event_frames, intensity_frames, rate, show)
    if as_json:
        result.update(backend=runtime.backend, device=runtime.device)
        print(json.dumps(dict(result, predictions=predictions), indent=1))
    else:
        print(summary(runtime, result))
    if not result["predicted"]:
        m = runtime.manifest
        span = Stream(runtime).span
        rule = (
            f"{span} of both kinds in a row for one window ({m['num_event_frames']} "
            f"event frames, {m['skip']} left out between two)"
        )
        found = f"{result['frames']} and no window complete"
        raise _error("frames", rule, found, "play more, or see what was dropped")


def summary(runtime: Runtime, result: dict) -> str:
    """Says in a few lines what `replay` found."""
    names = ("frames", "predicted", "missed", "filling", "incomplete", "waiting")
    rows = {
        "device": runtime.device,
        "windows": ", ".join(f"{name} {result[name]}" for name in names),
    }
    for kind in ("events", "intensities"):
        rows[kind] = ", ".join(f"{name} {x}" for name, x in result[kind].items())
    if result["gaps"]:
        rows["gaps"] = ", ".join(result["gaps"])
    if result["predicted"]:
        latency_ms = result["latency_ms"].items()
        rows["latency"] = ", ".join(f"{name} {x:.1f} ms" for name, x in latency_ms)
    return "\n".join(f"{name:<12}{text}" for name, text in rows.items())


def add_options(parser: argparse.ArgumentParser, bundle: Optional[str] = None) -> None:
    """Adds the options of every command that plays; bundle is the default, if any."""
    parser.add_argument("--bundle", default=bundle, required=bundle is None)
    parser.add_argument(
        "--rate", type=float, default=30.0, help="frames per second; 0: no waiting"
    )
    parser.add_argument("--backend", default="auto", choices=("auto", *BACKENDS))
    parser.add_argument("--threads", type=int, help="default: the backend's own")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def main(argv: Optional[list] = None) -> int:
    parser = argparse.ArgumentParser(description="Plays a clip through a bundle.")
    add_options(parser, bundle=os.path.dirname(os.path.abspath(__file__)))
    for name in ("--events", "--frames"):
        text = "folder of images 00000.jpg, 00001.jpg, ..."
        parser.add_argument(name, required=True, metavar="DIR", help=text)
    args = parser.parse_args(argv)
    try:
        runtime = load(args.bundle, args.backend, args.threads)
        frames = read_frames(args.events), read_frames(args.frames)
        play(runtime, *frames, rate=args.rate, as_json=args.json)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
