"""SEEN where it is worn: a bundle, a camera's frames -> an emotion for every frame.

One file for Python 3.6 to 3.13, with numpy and one of: a C compiler, for the kernel in
seen_spikes.c; torch (1.8 or newer); onnxruntime; TensorRT (8.2 or newer). Pillow reads
JPEG and PNG where it is installed.

    python seen_runtime.py --bundle BUNDLE --events DIR --frames DIR [--rate HZ]
        [--backend auto|native|torch|torchscript|onnxruntime|tensorrt] [--json]

    runtime = load("BUNDLE")
    stream = Stream(runtime)
    stream.push_event(number, event_frame)            # uint8, square, as they come
    stream.push_intensity(number, intensity_frame)
    prediction = stream.predict()                     # over the latest window, or None

The network here does only the work that reaches the output (`fold`, `make_network`); it
is the same function as the published one.

Note: a frame's number counts periods of the bundle's `frames_per_s` (30 for SEE), so a
number that is left out is a dropped frame, and a window that needs it is not predicted.
"""

import argparse
import contextlib
import ctypes
import ctypes.util
import functools
import hashlib
import importlib
import io
import itertools
import json
import numbers
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zipfile
from typing import Callable, Iterable, NamedTuple, Optional

import numpy as np

try:
    from PIL import Image
except ImportError:  # may be absent on the board: then only .npy and .pgm are read
    Image = None

FORMAT = 5
MANIFEST = "manifest.json"
ONNX = "seen.onnx", "seen_dynamic.onnx"  # for one window, and for any number
KERNEL, PROGRAM = "seen_spikes.c", "seen_runtime.py"
FORMATS = {  # that a bundle has at least one of: the files of each
    "native": ("seen.npz", KERNEL),
    "torch": ("seen.npz", "seen.pt"),
    "torchscript": ("seen.ts",),
    "onnx": ONNX,
}
FILES = ("seen.npz", "seen.pt", "seen.ts", *ONNX, KERNEL, PROGRAM)
INPUTS, KINDS = ("event_frames", "intensity_frames"), ("event", "intensity")
# Of JPEG and PNG. Pillow is shown nothing else: it would start Ghostscript for
# PostScript, whatever the name, and its `formats` came with 8.0 (the TX2 has 5.1).
SIGNATURES = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
ENDINGS = (".jpg", ".jpeg", ".png", ".pgm", ".npy")
SECOND = 30  # numbers
BY_TIME = "number frames by their time"
SAME_SQUARE = "cut the same square from every frame"
LONGEST_S = 24 * 60 * 60  # that a clip may play
MAX_RATE = 1e6  # Hz
MAX_NUMBER = 2**63 - 1  # of a frame
MAX_SPAN = 1000  # numbers from a window's first frame to its last: 33 s
MAX_CLASSES = 1000
MAX_THRESHOLD = 1000
MAX_MANIFEST_BYTES = 16 << 20
EXPORT = "python -m seen_jax.export bundle --workdir=RUN --out=BUNDLE"


class UserError(ValueError):
    """A user's input cannot be used; the message says what to do about it."""


class BundleError(UserError):
    """A bundle is not complete, not as it was written, or not for this runtime."""


class BackendError(RuntimeError):
    """A backend that is installed cannot start, or cannot compute a window."""


ERRORS = UserError, OSError, BackendError  # a command prints the message alone


def _refuse(what, expected, got, remedy, kind=UserError):
    raise kind(f"{what}: expected {expected}, got {got}; {remedy}")


def _refuse_bundle(what, expected, got, remedy="copy or export the bundle again"):
    _refuse(what, expected, got, remedy, BundleError)


def _short(value):
    """A value in a message, cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


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
DECAY, THRESHOLD = 0.2, 0.3  # of the published neurons
READOUTS = "mean_membrane", "last_membrane", "last_spike", "mean_spike"  # of LIF5
EPSILON = 1e-5  # of BatchNorm
SCALES = (("conv1_f2", "mlp_f1"), ("conv1_f3", "mlp_f2"), ("conv1_f4", "mlp_f3"))


def _squares(lines, side):
    """Places of A x A squares of an image, whose rows and columns are lines (A, B).

    A place is row * side + column, or side ** 2 in its padding: int (A * A, B * B).
    """
    rows, columns = lines[:, None, :, None], lines[None, :, None, :]
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    places = np.where(inside, rows * side + columns, side**2)
    return places.reshape(len(lines) ** 2, -1).astype(np.int64)


_LINES = 8 * np.arange(BLOCKS)[:, None] - 3 + np.arange(TAPS)  # (6, 7), -3 to 43
_ROWS = _LINES[_LINES >= 0]  # 39 of the first stage's 45 rows
_PLACES = np.where(_LINES >= 0, np.searchsorted(_ROWS, _LINES), -1)  # among them
_PATCHES = _squares(2 * _ROWS[:, None] - 3 + np.arange(TAPS), SIZE)
# What each position of the first stage reads of an image; the last one reads nothing
# but padding, and is the next stage's padding.
PATCHES = np.concatenate([_PATCHES, np.full((1, AREA), SIZE**2)])  # (1522, 49)
READS = _squares(_PLACES, len(_ROWS))  # of the first stage, by each block: (36, 49)
_THREE = 2 * np.arange(3)[:, None] + np.arange(3)
CONV2_READS = READS[:, _squares(_THREE, TAPS)].reshape(-1, 9)  # by conv2_f2 in a block


# An image's mean over all positions of the first stage, by row of the kernel; what the
# attention sees is linear in these means.
_WINDOWS = 2 * np.arange(FIRST)[:, None] - 3 + np.arange(TAPS)
MOMENTS = (_WINDOWS[:, :, None] == np.arange(SIZE)).sum(0).T / float(FIRST)  # (90, 7)


def fold(state_dict: dict, dtype: type = np.float32) -> dict:
    """Turns the entries of a published checkpoint into those of the network here.

    Where branch T has kernels or scores of its own, their names end with "_t".

    Args:
      state_dict: published name to array, for images of 90 x 90 and N intensity frames.
      dtype: of the result; the work is done in float64.

    Returns:
      Name to array, of `folded_shapes`.
    """
    s = {name: np.asarray(x, np.float64) for name, x in state_dict.items()}
    conv2, conv3 = s["conv2_f2.weight"], s["conv3_f2.weight"]
    t = {name: s.get(name.replace(".", "_t.", 1), x) for name, x in s.items()}
    fc1 = s["fc1.weight"].reshape(256, len(conv3), -1)  # channel, position
    deep, late = _deep_kernel(conv2, conv3), _late_biases(s)
    intensity, early, scorers = zip(*(_fold_scale(s, i) for i in range(3)))
    folded = {
        "moments": MOMENTS,
        "event": np.stack([_cat(t, i, _grey_kernel(t, i)) for i in range(3)]),
        "intensity": np.stack(intensity),
        "deep": deep,
        "deep_bias": np.stack([x @ deep + late for x in early]),
        "conv2": t["conv2_f2.weight"].transpose(2, 3, 1, 0),
        "conv3": t["conv3_f2.weight"].transpose(2, 3, 1, 0),
        "fc1": fc1.transpose(2, 1, 0),
        "fc1_bias": s["fc1.bias"],
        "fc2": s["fc2.weight"].T,
        "fc2_bias": s["fc2.bias"],
        **_join_scorers(s, scorers),
    }
    own_attention = "mlp_f1_t.4.bias" in s
    if own_attention:
        frames, none = [_grey_kernel(t, i)[:, None] for i in range(3)], [0] * CHANNELS
        scorers = [_fold_scorer(t, i, x, none) for i, x in enumerate(frames)]
        folded.update(_join_scorers(t, scorers, "event_"))
    shapes = folded_shapes(len(intensity[0]), len(s["fc2.bias"]), own_attention)
    return {
        name: np.ascontiguousarray(folded[name], dtype).reshape(shape)
        for name, shape in shapes.items()
    }


def _deep_kernel(conv2, conv3):
    """One kernel of conv2_f2 and conv3_f2 together: (49 * 64, 512)."""
    deep = np.zeros((TAPS, TAPS, CHANNELS, len(conv3)))
    for a, b, c, d in itertools.product(range(3), repeat=4):
        deep[2 * a + c, 2 * b + d] += (conv3[:, :, a, b] @ conv2[:, :, c, d]).T
    return deep.reshape(-1, len(conv3))


def _late_biases(s):
    """What the biases of conv2_f2 and conv3_f2 come to in each block: (36, 512)."""
    inside = np.ones((3, BLOCKS))  # whether what conv3_f2 reads is not padding
    inside[0, 0] = 0
    taps = np.einsum("oiab,i->oab", s["conv3_f2.weight"], s["conv2_f2.bias"])
    late = np.einsum("oab,ar,bc->rco", taps, inside, inside) + s["conv3_f2.bias"]
    return late.reshape(BLOCKS**2, -1)


def _kernel(s, i):
    """The kernel of one of the three scales, as large as the largest: (64, 3, 49)."""
    weight = s[SCALES[i][0] + ".weight"]
    margin = [(TAPS - weight.shape[-1]) // 2] * 2
    padded = np.pad(weight, [(0, 0)] * 2 + [margin] * 2, "constant")
    return padded.reshape(CHANNELS, 3, AREA)


def _grey_kernel(s, i):
    """The same for a grey image, whose three channels are equal: (64, 49)."""
    return _kernel(s, i).sum(1)


def _cat(s, i, kernel):
    """What conv1_cat makes of a scale's kernel (64, ..., 49): (..., 49, 64)."""
    cat = s["conv1_cat.weight"][:, :, 0, 0].reshape(CHANNELS, 3, CHANNELS)[:, i]
    return np.einsum("dc,c...t->...td", cat, kernel)


def _fold_scale(s, i):
    """What one of the three scales adds to `intensity`, `deep_bias`, and so on.

    conv0's bias ends where padding begins, so that a bias depends on the position.
    """
    conv, _ = SCALES[i]
    grey = s["conv0.weight"][:, :, 0, 0].reshape(3, -1, 3).sum(-1)  # 3 channels are one
    kernel = _kernel(s, i)
    frames = np.einsum("crt,rn->cnt", kernel, grey)  # (64, N, 49)
    bias = np.einsum("crt,r->ct", kernel, s["conv0.bias"])  # (64, 49)

    # The three weights sum to 1: what does not depend on them may stand in each.
    pixel = (PATCHES < SIZE**2).astype(np.float64)  # (1522, 49)
    early = _cat(s, i, (pixel @ bias.T + s[conv + ".bias"]).T) + s["conv1_cat.bias"]
    early[-1] = 0  # padding
    early = early[READS].reshape(BLOCKS**2, -1)

    ones = np.outer(MOMENTS.sum(0), MOMENTS.sum(0)).ravel()  # means of such an image
    scorer = _fold_scorer(s, i, frames, bias @ ones + s[conv + ".bias"])
    return _cat(s, i, frames), early, scorer


def _fold_scorer(s, i, frames, mean):
    """`hidden`, `hidden_bias` and `scores` of one of the three scales.

    It reads the means of images by kernels `frames` (64, N, 49), and their biases'
    `mean` (64,). BatchNorm is in it.
    """
    _, mlp = SCALES[i]
    scale = s[mlp + ".2.weight"] / np.sqrt(s[mlp + ".2.running_var"] + EPSILON)
    reduce = scale[:, None] * s[mlp + ".1.weight"][:, :, 0, 0]  # (8, 64)
    shift = scale * (s[mlp + ".1.bias"] - s[mlp + ".2.running_mean"])
    hidden = np.einsum("hc,cnt->nth", reduce, frames)
    hidden_bias = reduce @ mean + shift + s[mlp + ".2.bias"]
    scores = np.where(np.arange(3) == i, s[mlp + ".4.weight"][0, :, 0], 0)  # (8, 3)
    return hidden, hidden_bias, scores


def _join_scorers(s, scorers, prefix=""):
    """The arrays of the scorers of all three scales, by name."""
    hidden, hidden_bias, scores = zip(*scorers)
    return {
        prefix + "hidden": np.concatenate(hidden, -1),
        prefix + "hidden_bias": np.concatenate(hidden_bias),
        prefix + "scores": np.concatenate(scores),
        prefix + "scores_bias": np.concatenate([s[x + ".4.bias"] for _, x in SCALES]),
    }


def folded_shapes(
    num_intensities: int, num_classes: int, own_attention: bool = False
) -> dict:
    """Returns the shapes of the arrays of `fold`, which seen.npz holds as float32.

    Args:
      num_intensities: N, intensity frames of a window.
      own_attention: whether branch T attends to each event frame by scores of its own,
        instead of by the weights of branch S.
    """
    taps = num_intensities * AREA
    shapes = {
        "moments": (SIZE, TAPS),
        "hidden": (taps, 24),
        "hidden_bias": (24,),
        "scores": (24, 3),
        "scores_bias": (3,),
        "event": (3, AREA * CHANNELS),
        "intensity": (3, taps * CHANNELS),
        "deep": (AREA * CHANNELS, 512),
        "deep_bias": (3, BLOCKS**2 * 512),
        "conv2": (9 * CHANNELS, 256),
        "conv3": (9 * 256, 512),
        "fc1": (BLOCKS**2 * 512, 256),
        "fc1_bias": (256,),
        "fc2": (256, num_classes),
        "fc2_bias": (num_classes,),
    }
    if own_attention:
        own = {"event_hidden": (AREA, 24), "event_hidden_bias": (24,)}
        shapes = {**shapes, **own, "event_scores": (24, 3), "event_scores_bias": (3,)}
    return shapes


def num_intensity_frames(folded: dict) -> int:
    """Returns N, how many intensity frames the network was trained with."""
    return len(folded["hidden"]) // AREA


def make_network(
    folded: dict,
    num_event_frames: int,
    exported: bool = False,
    readout: str = READOUTS[0],
    decay: float = DECAY,
    threshold: float = THRESHOLD,
):
    """Makes the network as a torch module, of float32 or float64 as the arrays are.

    It takes normalised event frames (B, T, 90, 90) and intensity frames
    (B, N, 90, 90), and returns logits (B, K).

    Its ONNX computes with floats alone, as TensorRT 8.2 does: no shape is asked for,
    and padding is a pixel of its own.

    Args:
      exported: use no operation that ONNX lacks.
      readout: one of `READOUTS`.
    """
    import torch

    num_intensities, num_places = num_intensity_frames(folded), len(PATCHES)
    num_taps, num_pixels = num_intensities * AREA, SIZE**2 + 1
    own_attention = "event_hidden" in folded

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            images = num_pixels * np.arange(num_intensities)[:, None]
            places = {
                "event_patches": PATCHES.ravel(),
                "intensity_patches": (PATCHES[:, None] + images).ravel(),
                "reads": READS.ravel(),
                "conv2_reads": CONV2_READS.ravel(),
            }
            for name, array in {**places, **folded}.items():
                self.register_buffer(name, torch.from_numpy(array.copy()))

        def forward(self, event_frames, intensity_frames):
            attention = self.attend(intensity_frames, (-1, num_taps))  # (B, 3)
            spatial = self.look(intensity_frames, attention)  # (B, 1, 36 * 512)
            kernel = (attention @ self.event).reshape(-1, 1, AREA, CHANNELS)
            if own_attention:
                shape = -1, num_event_frames, AREA
                kernel = self.attend(event_frames, shape, "event_") @ self.event
                kernel = kernel.reshape(-1, num_event_frames, AREA, CHANNELS)
            x = pixels(event_frames, num_event_frames)
            x = gather(x, self.event_patches, (num_event_frames, num_places, AREA))
            x = lif(x @ kernel)  # (B, T, 1522, 64)
            shape = num_event_frames, BLOCKS**2 * 9, 9 * CHANNELS
            x = lif(self.product(gather(x, self.conv2_reads, shape), "conv2"))
            x = x.reshape(-1, num_event_frames, BLOCKS**2, 9 * 256)
            x = lif(self.product(x, "conv3"))
            x = x.reshape(-1, num_event_frames, BLOCKS**2 * 512)
            x = lif((x + spatial) @ self.fc1 + self.fc1_bias)
            states = integrate(x @ self.fc2 + self.fc2_bias)
            mean_or_last, kind = readout.split("_")
            x = states[kind == "spike"]
            return x[-1] if mean_or_last == "last" else torch.stack(x, 1).mean(1)

        def attend(self, images, shape, prefix=""):
            """Weighs the three scales, by the means of what they see: (B, 3).

            By T's own scores, with the prefix, it is for each event frame: (B, T, 3).
            """
            own = functools.partial(getattr, self)
            means = self.moments.t() @ images @ self.moments  # (B, N or T, 7, 7)
            x = means.reshape(shape) @ own(prefix + "hidden")
            x = torch.relu(x + own(prefix + "hidden_bias")) @ own(prefix + "scores")
            return torch.softmax(x + own(prefix + "scores_bias"), dim=len(shape) - 1)

        def look(self, images, attention):
            """The spikes J_s of the intensity frames: (B, 1, 36 * 512)."""
            kernel = (attention @ self.intensity).reshape(-1, 1, num_taps, CHANNELS)
            x = pixels(images, num_intensities)
            x = x.reshape(-1, 1, num_intensities * num_pixels, 1)
            x = gather(x, self.intensity_patches, (1, num_places, num_taps)) @ kernel
            x = gather(x, self.reads, (1, BLOCKS**2, AREA * CHANNELS))
            current = self.product(x, "deep").reshape(-1, 1, BLOCKS**2 * 512)
            current = current + (attention @ self.deep_bias).unsqueeze(1)
            return (current > threshold).to(current.dtype)

        def product(self, x, name):
            """One of the three large products; `_pack` has a faster way."""
            return x @ getattr(self, name)

    def pixels(images, count):
        """(B, count, 90, 90) to (B, count, 8101, 1), the last one padding's zero."""
        x = images.reshape(-1, count, SIZE**2, 1)
        return torch.cat([x, 0 * x[:, :, 0, None]], 2)

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
                rest = membranes[-1] * (1 - spikes[-1])
                membrane = torch.add(membrane, rest, alpha=decay)
            membranes.append(membrane)
            spikes.append((membrane > threshold).to(membrane.dtype))
        return membranes, spikes

    return Network().eval()


# ---------------------------------------------------------------------- the images


def resize(image: np.ndarray) -> np.ndarray:
    """Resizes uint8 (S, S) to (90, 90) as Pillow does, bilinear, antialiased."""
    if Image is not None:
        return np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.BILINEAR))
    weights = _resize_weights(len(image))
    for _ in range(2):  # columns, then rows, each rounded to 8 bits: the same bits
        # Whole numbers below 2**31: exact in float64, whose product is fast.
        total = (image.astype(np.float64) @ weights).astype(np.int64)
        image = np.clip((total + (1 << 21)) >> 22, 0, 255).astype(np.uint8).T
    return np.ascontiguousarray(image)


@functools.lru_cache(maxsize=None)
def _resize_weights(num_pixels):
    """Weights of a triangle filter in units of 2**-22: float64 (num_pixels, 90)."""
    scale = num_pixels / float(SIZE)
    centres = (np.arange(SIZE) + 0.5) * scale
    distances = np.arange(num_pixels)[:, None] - centres + 0.5
    weights = np.maximum(1 - np.abs(distances * (1 / max(scale, 1.0))), 0)
    # Summed one after the other, which neither numpy's sum nor every Python's does.
    weights /= np.cumsum(weights, axis=0)[-1]
    return np.floor(weights * (1 << 22) + 0.5)


def check_image(image: np.ndarray, name: str) -> np.ndarray:
    """Raises ValueError unless it is uint8 (S, S); returns it."""
    image = np.asarray(image)
    square = image.ndim == 2 and image.shape[0] == image.shape[1] > 0
    if image.dtype != np.uint8 or not square:
        got = f"{image.dtype} {image.shape}"
        _refuse(name, "uint8 (S, S), grey levels", got, SAME_SQUARE)
    return image


def read_image(path: str) -> np.ndarray:
    """Reads a square grey image, uint8 (S, S): .npy, .pgm, by Pillow .jpg and .png.

    Raises:
      ValueError: names the file, and what is wrong with it.
    """
    ending = os.path.splitext(path)[1].lower()
    if Image is None and ending not in (".npy", ".pgm"):
        remedy = "install it (python3-pil), or convert the images to .pgm elsewhere"
        _refuse(path, f"Pillow, which reads {ending}", "none", remedy)
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
        _refuse(path, "a file", "a folder or a device", "remove it")
    try:
        with open(path, "rb") as file:
            data = file.read()
        if ending == ".npy":
            image = np.load(io.BytesIO(data), allow_pickle=False)
        elif ending == ".pgm":
            image = _read_pgm(data)
        else:
            image = _read_by_pillow(data)
    except Exception as error:  # readers of images raise all kinds
        remedy = "write it again, without colours"
        _refuse(path, "a grey 8-bit image", error, remedy)
    return check_image(image, path)


def _read_pgm(data):
    header = re.match(rb"P5\s+(\d+)\s+(\d+)\s+255\s", data)
    if not header:
        raise ValueError("not a binary PGM (P5) of 255 levels without comments")
    width, height = map(int, header.groups())
    if len(data) - header.end() != width * height:
        raise ValueError(f"{len(data) - header.end()} bytes for {width} x {height}")
    return np.frombuffer(data, np.uint8, offset=header.end()).reshape(height, width)


def _read_by_pillow(data):
    if not data.startswith(SIGNATURES):
        raise ValueError("neither JPEG nor PNG")
    with Image.open(io.BytesIO(data)) as image:
        if image.mode != "L":
            raise ValueError(f"an image of mode {image.mode}")
        return np.asarray(image)


def list_frames(folder: str) -> dict:
    """Finds the numbered images of a folder: number to path, ascending.

    Raises:
      ValueError: there are none, a name is not a number, or two are the same.
    """
    rule = f"images 00000.jpg, 00001.jpg, ..., one a number ({', '.join(ENDINGS)})"
    frames = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        stem, ending = os.path.splitext(name)
        if ending.lower() not in ENDINGS:
            continue
        number = int(stem) if re.fullmatch("[0-9]+", stem) else None
        if number is None or number in frames:
            _refuse(folder, rule, name, "rename or remove it")
        frames[number] = os.path.join(folder, name)
    if not frames:
        _refuse(folder, rule, "none", "check the path")
    return dict(sorted(frames.items()))


def read_frames(folder: str) -> dict:
    """Reads the numbered images of a folder: number to uint8 (S, S), ascending."""
    return {number: read_image(path) for number, path in list_frames(folder).items()}


# ---------------------------------------------------------------------- the bundle


def _within(lowest, highest, *types):
    return lambda x, m: type(x) in types and lowest <= x <= highest  # not of bool


def _are_names(x, m):
    texts = isinstance(x, list) and all(isinstance(y, str) for y in x)
    short = texts and all(0 < len(y) <= 100 and y.isprintable() for y in x)
    plain = short and all(y == y.strip() for y in x)
    different = plain and len({y.lower() for y in x}) == len(x)
    return different and 1 <= len(x) <= MAX_CLASSES


def _is_skip(x, m):
    is_integer = type(x) is int and 0 <= x <= MAX_SPAN
    return is_integer and (m["num_event_frames"] - 1) * (x + 1) < MAX_SPAN


def _are_places(x, m):
    length = m["num_event_frames"]
    within = all(type(place) is int and 0 <= place < length for place in x)
    # Of one event frame the first is the last, too.
    in_order = x == sorted(set(x)) or (x == [0, 0] and length == 1)
    return within and in_order and len(x) >= 1


def _are_files(x, m):
    kinds, formats = {"bytes": int, "sha256": str}, formats_of(x)
    return (
        formats
        and x.keys() == set(files_of(formats))
        and all(
            {name: type(fact) for name, fact in facts.items()} == kinds
            for facts in x.values()
        )
    )


def formats_of(names: Iterable) -> list:
    """Returns those of `FORMATS` whose files are all among the names."""
    return [name for name, files in FORMATS.items() if set(files) <= set(names)]


def files_of(formats: Iterable) -> list:
    """Returns the names of all files but the manifest of a bundle of formats."""
    names = {PROGRAM}.union(*(FORMATS[name] for name in formats))
    return [name for name in FILES if name in names]


_REAL = int, float
_MEAN = "a grey level from 0 to 1", _within(0, 1, *_REAL)
_STD = "a grey level from 0.001 to 1", _within(0.001, 1, *_REAL)
FIELDS = {  # of a manifest m: what each must be; a test that is false or raises if not
    "format": (f"{FORMAT}, of this {PROGRAM}", _within(FORMAT, FORMAT, int)),
    "sha256": ("the SHA-256 of all else in it", lambda x, m: x == manifest_hash(m)),
    "classes": (f"1 to {MAX_CLASSES} names, each once, whatever its case", _are_names),
    "num_event_frames": (f"1 to {MAX_SPAN}", _within(1, MAX_SPAN, int)),
    "frames_per_s": (f"above 0, at most {MAX_RATE:g}", _within(1e-9, MAX_RATE, *_REAL)),
    "skip": (f"0 or more, and at most {MAX_SPAN} frames from first to last", _is_skip),
    "intensity_places": ("ascending places in a window", _are_places),
    "image_size": (f"{SIZE}", _within(SIZE, SIZE, int)),
    "event_mean": _MEAN,
    "event_std": _STD,
    "intensity_mean": _MEAN,
    "intensity_std": _STD,
    "readout": (f"one of {', '.join(READOUTS)}", lambda x, m: x in READOUTS),
    "decay": ("the share of a membrane that is left, 0 to 1", _within(0, 1, *_REAL)),
    "threshold": ("of a membrane, 0 to 1000", _within(0, MAX_THRESHOLD, *_REAL)),
    "files": (
        f"bytes and sha256 of {PROGRAM} and of the files of some of "
        + "; ".join(f"{name}: {', '.join(files)}" for name, files in FORMATS.items()),
        _are_files,
    ),
}


def read_manifest(bundle: str, trust: Optional[str] = None) -> dict:
    """Reads and checks the manifest of a bundle, and every file that it lists.

    Args:
      trust: the manifest's SHA-256 as the export printed it. The hashes in the bundle
        show damage; only one from elsewhere shows that nobody replaced them all.

    Raises:
      BundleError: names the file, what was expected and what it has.
    """
    path = os.path.join(bundle, MANIFEST)
    if not os.path.isfile(path):
        remedy = f"write one with {EXPORT}"
        _refuse_bundle(bundle, f"a bundle, with {MANIFEST}", "none", remedy)
    try:
        manifest = _checked_manifest(path)
    except RecursionError:
        _refuse_bundle(path, "JSON", "values nested too deep")
    if trust is not None and trust.lower() != manifest["sha256"]:
        remedy = "do not run it, or give the hash that its export printed"
        _refuse_bundle(path, f"SHA-256 {trust}", manifest["sha256"], remedy)
    for name, facts in manifest["files"].items():
        path = os.path.join(bundle, name)
        if not os.path.isfile(path):
            _refuse_bundle(path, "a file", "none")
        got = {"bytes": os.path.getsize(path), "sha256": file_hash(path)}
        if got != facts:
            text = "{bytes} bytes of SHA-256 {sha256}"
            _refuse_bundle(path, text.format(**facts), text.format(**got))
    return manifest


def _checked_manifest(path):
    if os.path.getsize(path) > MAX_MANIFEST_BYTES:
        rule = f"at most {MAX_MANIFEST_BYTES} bytes"
        _refuse_bundle(path, rule, os.path.getsize(path))
    try:
        with open(path, "rb") as file:
            manifest = json.loads(file.read().decode("utf-8"))
    except ValueError as error:
        _refuse_bundle(path, "JSON", error)
    if not isinstance(manifest, dict):
        _refuse_bundle(path, "an object", type(manifest).__name__)
    for name, (rule, holds) in FIELDS.items():
        try:
            good = holds(manifest[name], manifest)
        except (KeyError, TypeError, AttributeError):  # not there, or not of the type
            good = False
        if not good:
            got = _short(manifest[name]) if name in manifest else "none"
            _refuse_bundle(f"{path}, {name}", rule, got)
    return manifest


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


def window_lengths(manifest: dict) -> tuple:
    """Returns T and N, how many event frames and intensity frames a window has."""
    return manifest["num_event_frames"], len(manifest["intensity_places"])


def constants(manifest: dict) -> dict:
    """Returns the readout and the neurons' constants, as `make_network` takes them."""
    return {name: manifest[name] for name in ("readout", "decay", "threshold")}


def read_folded(bundle: str, manifest: dict) -> dict:
    """Reads seen.npz: plain float32 arrays, which can hold no code.

    Raises:
      BundleError: other arrays than `folded_shapes`, or numbers that are not finite.
    """
    path = os.path.join(bundle, "seen.npz")
    shapes = {}
    try:
        with zipfile.ZipFile(path) as archive:  # sizes first: it may be compressed
            sizes = {x.filename: x.file_size for x in archive.infolist()}
        lengths = window_lengths(manifest)[1], len(manifest["classes"])
        shapes = folded_shapes(*lengths, "event_hidden.npy" in sizes)
        most = {f"{name}.npy": 4 * int(np.prod(x)) + 1024 for name, x in shapes.items()}
        if sizes.keys() != most.keys() or any(sizes[x] > most[x] for x in most):
            raise ValueError("other names or sizes")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in shapes}
    except Exception as error:  # readers of damaged archives raise all kinds
        _refuse_bundle(path, "the float32 arrays of this network", error)
    for name, x in arrays.items():
        if x.dtype != np.float32 or x.shape != shapes[name]:
            got = f"{x.dtype} {x.shape}"
            _refuse_bundle(f"{path}, {name}", f"float32 {shapes[name]}", got)
        if not np.isfinite(x).all():
            _refuse_bundle(f"{path}, {name}", "finite numbers", "others")
    return arrays


def read_onnx(path: str) -> bytes:
    """Reads an ONNX file that needs no other file.

    A tensor whose data lies elsewhere says where under the key `location`; an export
    has that word nowhere.

    Reference: onnx/onnx.proto, TensorProto.external_data.

    Raises:
      BundleError: it has external data.
    """
    with open(path, "rb") as file:
        model = file.read()
    if b"location" in model:
        _refuse_bundle(path, "an ONNX model in one file", "external data")
    return model


# ---------------------------------------------------------------------- the runtime


class Runtime:
    """A bundle that is ready to predict.

    Attributes:
      device: that computes, in words.
      lengths: of its windows, T and N.
      spikes: how many each of `LAYERS` fired in the latest windows, uint64 (B, 6); None
        where the backend does not count.
      operations: weights that these spikes added to sums, uint64 (B,); None likewise.
    """

    def __init__(self, manifest: dict, backend: str, device: str, run: Callable):
        self.manifest, self.backend, self.device = manifest, backend, device
        self.lengths = window_lengths(manifest)
        self.spikes = self.operations = None
        self._run = run

    def logits(self, event_frames: np.ndarray, intensity_frames: np.ndarray):
        """Computes logits (B, K), float32.

        Args:
          event_frames: float32 (B, T, 90, 90), each as of `prepare`.
          intensity_frames: float32 (B, N, 90, 90), likewise.

        Raises:
          ValueError: other shapes or types, or numbers that are not finite, in or out.
          BackendError: the backend fails.
        """
        both = event_frames, intensity_frames
        frames = self._checked(both, np.float32, (SIZE, SIZE))
        for name, x in zip(INPUTS, frames):
            if not np.isfinite(x).all():
                got = f"{x.size - np.isfinite(x).sum()} of {x.size} that are not"
                _refuse(name, "finite numbers", got, "see where they come from")
        with _failures(self.device, "a window computed"):
            logits = self._run(*frames)
            if isinstance(logits, tuple):
                logits, counts = logits
                self.spikes, self.operations = counts[:, :-1], counts[:, -1]
        expected = len(frames[0]), len(self.manifest["classes"])
        if logits.shape != expected or not np.isfinite(logits).all():
            got = f"{logits.shape}, {np.isfinite(logits).sum()} of them finite"
            remedy = "choose another backend"
            _refuse(self.device, f"finite logits {expected}", got, remedy)
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
            np.stack([[self.prepare(kind, image) for image in window] for window in x])
            for kind, x in zip(KINDS, frames)
        ]
        return softmax(self.logits(*inputs))

    def name(self, scores: np.ndarray) -> str:
        """Returns the class with the highest of the scores (K,)."""
        return self.manifest["classes"][int(np.argmax(scores))]

    def prepare(self, kind: str, image: np.ndarray) -> np.ndarray:
        """Resizes and normalises a frame, uint8 (S, S) to float32 (90, 90).

        Raises:
          ValueError: a kind that is none of `KINDS`, or another image.
        """
        if kind not in KINDS:
            _refuse("kind", " or ".join(KINDS), repr(kind), "name one of them")
        image, m = resize(check_image(image, f"{kind} frame")), self.manifest
        return (image.astype(np.float32) / 255 - m[f"{kind}_mean"]) / m[f"{kind}_std"]

    def _checked(self, both, dtype, image=None):
        """Returns both, contiguous, if they are whole windows of images of a shape."""
        frames = [np.asarray(x, order="C") for x in both]
        for name, x, length in zip(INPUTS, frames, self.lengths):
            shape = (*frames[0].shape[:1], length, *(image or x.shape[2:]))
            if x.dtype != dtype or x.ndim != 4 or x.shape != shape or not x.size:
                size = "90, 90" if image else "S, S"
                rule = f"{np.dtype(dtype)} (B, {length}, {size})"
                remedy = "give as many whole windows of both"
                _refuse(name, rule, f"{x.dtype} {x.shape}", remedy)
        return frames


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turns logits (..., K) into probabilities."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@contextlib.contextmanager
def _failures(what, expected):
    """Turns whatever a backend raises into a `BackendError`."""
    try:
        yield
    except (BundleError, BackendError):
        raise
    except Exception as error:
        got = f"{type(error).__name__}: {' '.join(str(error).split())}"
        remedy = "fix it, or choose another backend"
        _refuse(what, expected, got, remedy, BackendError)


# ---------------------------------------------------------------------- the kernel in C

LAYERS = "J_s", "LIF1", "LIF2", "LIF3", "LIF4", "LIF5"  # whose spikes are counted
COUNTS = (*LAYERS, "operations")
_LIBRARIES = {}  # loaded ones by what decided their names
COMPILE = "-O3", "-std=gnu11", "-shared", "-fPIC"
_VERSION = 3  # of the interface


class _Header(ctypes.Structure):
    """`seen_header` of seen_spikes.c."""

    _counts = "version real_bytes image_size num_event_frames num_intensity_frames "
    _counts += "num_classes readout own_attention"
    _fields_ = [(name, ctypes.c_uint32) for name in _counts.split()]
    _fields_ += [(name, ctypes.c_double) for name in ("decay", "threshold")]


class Kernel:
    """The network in C: windows -> logits and spike counts.

    Args:
      library: of `compile_kernel`, for float32 or float64 as the arrays are.
      folded: of `fold`, checked as by `read_folded`.

    Raises:
      ValueError: the library refuses one of these, and says which.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        folded: dict,
        num_event_frames: int,
        readout: str = "mean_membrane",
        decay: float = DECAY,
        threshold: float = THRESHOLD,
    ):
        self._library, self._dtype = library, folded["event"].dtype
        classes, intensities = len(folded["fc2_bias"]), num_intensity_frames(folded)
        own = "event_hidden" in folded
        names = folded_shapes(intensities, classes, own)  # in order of `seen_arrays`
        self._kept = [np.ascontiguousarray(folded[x], self._dtype) for x in names]
        pointers = ctypes.c_void_p * len(names), ctypes.c_uint64 * len(names)
        self._arrays = pointers[0](*(x.ctypes.data for x in self._kept))
        counts = (num_event_frames, intensities, classes, READOUTS.index(readout))
        sizes = self._dtype.itemsize, SIZE, *counts
        self._header = _Header(_VERSION, *sizes, own, decay, threshold)
        self.lengths, self.num_classes = (num_event_frames, intensities), classes
        self._lock = threading.Lock()  # calls share the scratch memory
        self._call("seen_check", pointers[1](*(x.size for x in self._kept)))
        self._packed = self._memory("seen_packed_bytes")
        self._scratch = self._memory("seen_scratch_bytes")
        self._call("seen_pack", self._arrays, self._packed)

    def __call__(
        self,
        event_frames: np.ndarray,
        intensity_frames: np.ndarray,
        plain: bool = False,
    ) -> tuple:
        """Computes one window after the other.

        Args:
          event_frames: (B, T, 90, 90), normalised, finite, of the arrays' type.
          intensity_frames: (B, N, 90, 90), likewise.
          plain: by the form that is the definition, hundreds of times slower.

        Returns:
          Logits (B, K), and `COUNTS`, uint64 (B, 7): how many spikes each of `LAYERS`
          fired, and how many weights they added to sums.
        """
        inputs = event_frames, intensity_frames
        for name, x, length in zip(INPUTS, inputs, self.lengths):
            shape = len(event_frames), length, SIZE, SIZE
            if x.dtype != self._dtype or x.shape != shape or not x.flags.c_contiguous:
                rule = f"contiguous {self._dtype} {shape}"
                _refuse(name, rule, f"{x.dtype} {x.shape}", "convert it")
        logits = np.empty((len(event_frames), self.num_classes), self._dtype)
        counts = np.empty((len(event_frames), len(COUNTS)), np.uint64)
        name, memory = "seen_window", (self._packed, self._scratch)
        if plain:
            name, memory = "seen_plain", (self._memory("seen_plain_bytes"),)
        for window in zip(*inputs, logits, counts):
            with self._lock:
                self._call(name, self._arrays, *memory, *window)
        return logits, counts

    def _call(self, name, *arguments):
        function = getattr(self._library, name)
        function.restype = ctypes.c_char_p
        pointers = (
            ctypes.c_void_p(x.ctypes.data) if isinstance(x, np.ndarray) else x
            for x in arguments
        )
        wrong = function(ctypes.byref(self._header), *pointers)
        if wrong:
            raise ValueError(wrong.decode())

    def _memory(self, name):
        """Allocates what a function of the library asks for, aligned to 64 bytes."""
        function = getattr(self._library, name)
        function.restype = ctypes.c_size_t
        memory = np.empty(function(ctypes.byref(self._header)) + 64, np.uint8)
        return memory[-memory.ctypes.data % 64 :]


def compile_kernel(source: str, *flags: str, included: tuple = ()) -> ctypes.CDLL:
    """Compiles seen_spikes.c for this processor, or takes what was compiled before.

    It is kept in the user's cache, under a name that depends on the source, the
    compiler and the processor. It is written under a temporary name first, so that two
    processes and a full disk do no harm. Where the cache cannot be used, it is compiled
    at every start, with a message.

    Args:
      flags: for the compiler, after those of `COMPILE`.
      included: paths of the files that the source includes, if any.

    Raises:
      OSError: there is no compiler, it fails, or nothing can be written.
    """
    try:
        compiler = shlex.split(os.environ.get("CC") or "cc")
    except ValueError as error:
        raise OSError(f"CC is {os.environ['CC']!r}: {error}") from None
    if not compiler or shutil.which(compiler[0]) is None:
        name = compiler[0] if compiler else "a C compiler"
        raise FileNotFoundError(f"{name} is not installed")
    version = subprocess.run([*compiler, "--version"], stdout=subprocess.PIPE).stdout
    parts = [version, _processor().encode()]
    for path in (source, *included):
        with open(path, "rb") as file:
            parts.append(file.read())
    parts += [x.encode() for x in (*compiler, *COMPILE, *flags)]
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]
    if digest not in _LIBRARIES:
        parts = [*compiler, *COMPILE], [*flags, str(source)]
        compile_in = functools.partial(_compile, *parts, f"seen-{digest}-")
        _LIBRARIES[digest] = _load(compile_in)
    return _LIBRARIES[digest]


def _load(compile_in):
    """Loads what is compiled in the cache, or where that fails in another folder."""
    try:
        return ctypes.CDLL(compile_in(_cache()))
    except OSError as error:
        problem = error
    with tempfile.TemporaryDirectory() as folder:
        library = ctypes.CDLL(compile_in(folder))
    _say_once(f"the kernel is compiled at every start: {problem}; set XDG_CACHE_HOME")
    return library


def _processor():
    """What this processor can do, as far as the system says."""
    try:
        with open("/proc/cpuinfo") as file:
            lines = {x for x in file if re.match("(flags|Features|model name|CPU)", x)}
    except OSError:
        lines = ()
    return "".join([platform.machine(), platform.processor(), *sorted(lines)])


def _cache():
    """A folder that this user alone can write to; an OSError if there is none."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):  # as XDG's specification says
        home = os.path.expanduser("~/.cache")
    folder = os.path.join(home, "seen")
    os.makedirs(folder, 0o700, exist_ok=True)
    facts = os.stat(folder)
    if facts.st_uid != os.getuid() or facts.st_mode & 0o022:
        raise OSError(f"{folder} can be written by others")
    return folder


def _compile(command, arguments, prefix, folder):
    """Returns the path of the library in a folder, compiled if it is not there.

    Its name ends with its hash: a damaged library could end the process that loads it.
    """
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith(prefix):
            if name == f"{prefix}{file_hash(path)[:32]}.so":
                return path
            os.remove(path)
    handle, temporary = tempfile.mkstemp(".so", dir=folder)
    os.close(handle)
    try:
        for native in (["-march=native"], []):  # not every compiler knows its processor
            done = subprocess.run(
                [*command, *native, *arguments, "-o", temporary, "-lm"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            if done.returncode == 0:
                with open(temporary, "rb") as file:
                    os.fsync(file.fileno())  # no crash leaves half a library there
                name = f"{prefix}{file_hash(temporary)[:32]}.so"
                path = os.path.join(folder, name)
                os.replace(temporary, path)
                return path
        lines = done.stdout.decode("utf-8", "replace").strip().splitlines()
        words = [x for x in lines if "error" in x.lower()] or lines or ["silently"]
        raise OSError(f"{command[0]} failed: {words[0].strip()}")
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)


# ---------------------------------------------------------------------- the backends


def _native(bundle, manifest):
    """The kernel in C, with the weights of seen.npz."""
    library = compile_kernel(os.path.join(bundle, KERNEL))
    folded, length = read_folded(bundle, manifest), manifest["num_event_frames"]
    return "the kernel in C", Kernel(library, folded, length, **constants(manifest))


def _torch(bundle, manifest):
    """The network of this file, with the weights of seen.npz."""
    import torch

    folded, length = read_folded(bundle, manifest), manifest["num_event_frames"]
    network = make_network(folded, length, **constants(manifest))
    if not torch.cuda.is_available() and torch.backends.mkldnn.is_available():
        _pack(network)
    return _run_torch(network)


def _torchscript(bundle, manifest):
    import torch

    return _run_torch(torch.jit.load(os.path.join(bundle, "seen.ts"), "cpu"))


def _pack(network):
    """Makes products by oneDNN, weights in its own layout: a third less time on x86."""
    import torch
    from torch.utils import mkldnn

    layers = {}
    for name in ("conv2", "conv3", "deep"):
        weight = getattr(network, name)
        layer = torch.nn.Linear(*weight.shape)
        layer.weight.data = weight.t().contiguous()
        layer.bias.data.zero_()
        layers[name] = mkldnn.to_mkldnn(layer.eval())

    def product(x, name):
        rows = layers[name](x.reshape(-1, x.shape[-1]).to_mkldnn())
        return rows.to_dense().reshape((*x.shape[:-1], -1))

    network.product = product


def _run_torch(network):
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)

    def run(*inputs):
        with torch.no_grad():
            tensors = (torch.from_numpy(x).to(device) for x in inputs)
            return network(*tensors).cpu().numpy()

    return f"torch {torch.__version__} on {device}", run


def _onnxruntime(bundle, manifest):
    import onnxruntime

    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [x for x in wanted if x in onnxruntime.get_available_providers()]
    models = [read_onnx(os.path.join(bundle, name)) for name in ONNX]

    @functools.lru_cache(maxsize=None)
    def session(several):
        options = onnxruntime.SessionOptions()
        if hasattr(os, "sched_getaffinity"):  # it would count cores that are not ours
            options.intra_op_num_threads = len(os.sched_getaffinity(0))
        model = models[several]
        return onnxruntime.InferenceSession(model, options, providers=providers)

    def run(*inputs):
        several = len(inputs[0]) > 1
        return session(several).run(None, dict(zip(INPUTS, inputs)))[0]

    session(False)  # what is wrong with a model is said at the start
    return f"onnxruntime {onnxruntime.__version__} on {providers[0]}", run


def engine_path(bundle: str, manifest: dict) -> str:
    """Returns the path of the engine of this bundle's seen.onnx."""
    name = f"seen-{manifest['files']['seen.onnx']['sha256'][:8]}.engine"
    return os.path.join(bundle, name)


def _tensorrt(bundle, manifest):
    """The engine that trtexec made of seen.onnx, one window at a time."""
    import tensorrt

    device = f"TensorRT {tensorrt.__version__}"
    lengths = zip(INPUTS, window_lengths(manifest))
    shapes = {name: (1, n, SIZE, SIZE) for name, n in lengths}
    shapes["logits"] = 1, len(manifest["classes"])
    names, context = _start_engine(bundle, manifest, shapes, device)
    cuda = ctypes.CDLL(ctypes.util.find_library("cudart") or "libcudart.so")

    def call(name, *arguments):
        status = getattr(cuda, name)(*arguments)
        if status:
            remedy = "look the number up as cudaError"
            _refuse(name, "status 0", status, remedy, BackendError)

    def copy(to, source, num_bytes, kind):  # kind 1: to the device, 2: from it
        call("cudaMemcpy", to, source, ctypes.c_size_t(num_bytes), kind)

    memory = {name: ctypes.c_void_p() for name in names}  # as long as the process
    for name, pointer in memory.items():
        num_bytes = ctypes.c_size_t(4 * int(np.prod(shapes[name])))
        call("cudaMalloc", ctypes.byref(pointer), num_bytes)

    def run_one(*inputs):
        for name, x in zip(INPUTS, inputs):
            copy(memory[name], x.ctypes.data_as(ctypes.c_void_p), x.nbytes, 1)
        if not context.execute_v2([pointer.value for pointer in memory.values()]):
            remedy = "see what it logged"
            _refuse(device, "a window computed", "a failure", remedy, BackendError)
        x = np.empty(shapes["logits"], np.float32)
        copy(x.ctypes.data_as(ctypes.c_void_p), memory["logits"], x.nbytes, 2)
        return x

    def run(*inputs):
        return np.concatenate([run_one(*window) for window in zip(*inputs)])

    return device, run


def _start_engine(bundle, manifest, shapes, device):
    """Returns the names of its inputs and output in its order, and a context."""
    import tensorrt

    path, source = engine_path(bundle, manifest), os.path.join(bundle, "seen.onnx")
    remedy = f"trtexec --onnx={source} --saveEngine={path} --noTF32"
    if not os.path.isfile(path):
        _refuse_bundle(path, "an engine", "none", remedy)
    runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING))
    with open(path, "rb") as file:
        engine = runtime.deserialize_cuda_engine(file.read())
    if engine is None:
        _refuse_bundle(path, f"an engine for {device} here", "another", remedy)
    # The name changed in 8.5, and 10 dropped the old one.
    shape_of = getattr(engine, "get_tensor_shape", None) or engine.get_binding_shape
    got = {name: tuple(shape_of(name)) for name in engine}
    if got != shapes:
        _refuse_bundle(path, shapes, got, remedy)
    return list(got), engine.create_execution_context()


class Backend(NamedTuple):
    """A way to compute the network; its functions take a bundle and its manifest."""

    format: str  # of `FORMATS`: in it its parity with JAX was shown
    package: str  # that it needs
    start: Callable  # gives the device in words, and what turns both inputs into logits
    auto: Callable = lambda bundle, manifest: True  # whether auto tries it


BACKENDS = {  # in the order in which auto tries them
    "tensorrt": Backend(
        "onnx", "tensorrt", _tensorrt, lambda *x: os.path.isfile(engine_path(*x))
    ),
    "native": Backend("native", "a C compiler", _native),
    "onnxruntime": Backend("onnx", "onnxruntime", _onnxruntime),
    "torch": Backend("torch", "torch", _torch),
    "torchscript": Backend("torchscript", "torch", _torchscript, lambda *x: False),
}


@functools.lru_cache(maxsize=None)
def _say_once(text):
    print(text, file=sys.stderr, flush=True)


def load(bundle: str, backend: str = "auto", trust: Optional[str] = None) -> Runtime:
    """Loads a bundle.

    Note: TorchScript is a program and may write files; auto never takes it.

    Args:
      backend: one of `BACKENDS` whose format is in the bundle, or auto: the first that
        is installed, TensorRT only where its engine was written. It prints a line,
        once, with what it takes, and one where the kernel in C cannot be compiled.
      trust: as of `read_manifest`; auto then takes no engine, which it does not cover.

    Raises:
      BundleError: the bundle is damaged, has other formats, or its engine is not for
        this TensorRT.
      ValueError: the backend is not known or not installed.
      BackendError: it is installed, but cannot start.
    """
    if backend not in ("auto", *BACKENDS):
        rule = f"auto or one of {', '.join(BACKENDS)}"
        _refuse("backend", rule, repr(backend), "choose one of them")
    manifest = read_manifest(bundle, trust)
    names = _candidates(bundle, manifest, backend, trust)
    for name in names:
        x = BACKENDS[name]
        with _failures(f"backend {name}", "to start"), warnings.catch_warnings():
            for kind in (DeprecationWarning, FutureWarning):  # TorchScript is to go
                warnings.simplefilter("ignore", kind)
            try:
                if name == "native":
                    compile_kernel(os.path.join(bundle, KERNEL))
                else:
                    importlib.import_module(x.package)
            except (ImportError, OSError) as error:  # OSError: it lacks a library
                got = error
                if name == "native" and backend == "auto":
                    _say_once(f"backend native left out, {x.package} needed: {error}")
                continue
            device, run = x.start(bundle, manifest)
            if backend == "auto":
                _say_once(f"backend {name}: {device}")
            return Runtime(manifest, name, device, run)
    packages = sorted({BACKENDS[name].package for name in names})
    rule = f"{' or '.join(packages)} to be installed and to work"
    _refuse("backend", rule, got, "install or fix it, or choose another backend")


def _candidates(bundle, manifest, backend, trust):
    """Names of the backends that may be tried: those whose format is in the bundle."""
    formats = formats_of(manifest["files"])
    wanted = BACKENDS if backend == "auto" else [backend]
    names = [x for x in wanted if BACKENDS[x].format in formats]
    if backend == "auto":
        names = [x for x in names if BACKENDS[x].auto(bundle, manifest)]
        if trust is not None and "tensorrt" in names:
            names.remove("tensorrt")
            _say_once("backend tensorrt left out: the trusted hash covers no engine")
    if not names:
        rule = f"a bundle with a format for the backend {backend}"
        wanted = "native" if backend == "auto" else BACKENDS[backend].format
        remedy = f"write it with {EXPORT} --formats={wanted}"
        if backend == "auto":  # the only format that it leaves out
            remedy += ", or run it with --backend=torchscript, a program like any other"
        _refuse_bundle(bundle, rule, f"one of {', '.join(formats)}", remedy)
    return names


# ---------------------------------------------------------------------- the stream


class Prediction(NamedTuple):
    """An emotion by name, the number of the window's last frame, and float32 (K,)."""

    number: int
    emotion: str
    probabilities: np.ndarray


def check_number(number: int, name: str) -> int:
    """Returns a frame's number as an int; raises UserError for anything else."""
    is_integer = isinstance(number, numbers.Integral) and not isinstance(number, bool)
    if not is_integer or not 0 <= number <= MAX_NUMBER:
        _refuse(name, "a whole number from 0 below 2**63", _short(number), BY_TIME)
    return int(number)


class Ring:
    """The latest frames of one kind, each at its number, and what became of the others.

    A number further ahead than the ring is long (at least a second) is set aside: one
    wild number must not make all that follow too late. If the next frame of this kind
    comes soon after it, frames really were dropped, and the ring continues there. If
    that was wild, too, what follows is too late: after half as many frames as the ring
    holds, each soon after the last, the ring starts again there. A first frame that the
    second is far behind is forgotten likewise.

    Attributes:
      first, newest: lowest and highest number taken, None before any.
    """

    def __init__(self, name: str, size: int, prepare: Callable):
        self.name, self.size, self._prepare = name, size, prepare
        self.first = self.newest = self._shape = None
        self._numbers = [None] * size
        self._images = np.zeros((size, SIZE, SIZE), np.float32)
        self._taken = self._late = self._too_late = self._ahead = 0
        self._far, self._num_far = None, 0  # the latest far number, how many in order
        # Of the numbers since `first`; of those before it; in jumps that may be wild.
        self._num_here = self._dropped = self._num_jumped = self._restarts = 0

    def push(self, number: int, image: np.ndarray) -> None:
        """Takes a frame; the work on it is done here, once.

        Raises:
          ValueError: the number is not valid or came before, or the image is not square
            uint8 or not of the size of those before. Such a frame changes nothing.
        """
        number = check_number(number, f"{self.name} frame {_short(number)}")
        what, place = f"{self.name} frame {number}", number % self.size
        if self._numbers[place] == number:
            _refuse(what, "each number once", "it again", BY_TIME)
        image = check_image(image, what)
        if self._shape not in (None, image.shape):
            _refuse(what, f"{self._shape} as before", image.shape, SAME_SQUARE)
        if self._num_here == 1 and number <= self.newest - self.size:  # that was wild
            self._taken, self._ahead = self._taken - 1, self._ahead + 1
            self._start(number)
        if self.newest is None:
            self._start(number)
        if not self._reaches(number):
            return
        self._images[place] = self._prepare(image)
        self._numbers[place], self._shape = number, image.shape
        self._far, self._num_far = None, 0
        self._taken += 1
        self._num_here += 1
        self._late += number < self.newest
        self.first, self.newest = min(self.first, number), max(self.newest, number)

    def _start(self, number):
        self.first = self.newest = number
        self._numbers, self._num_here = [None] * self.size, 0

    def _reaches(self, number):
        """Counts a frame that is too far off; says whether the ring takes a frame."""
        reach = max(self.size, SECOND)
        is_late = number <= self.newest - self.size
        if not is_late and number <= self.newest + reach:
            return True
        is_next = self._far is not None and 0 < number - self._far <= reach
        self._far, self._num_far = number, self._num_far + 1 if is_next else 1
        if is_late and self._num_far < self.size // 2:
            self._too_late += 1
            return False
        if is_late:
            self._dropped += self._missed() - self._num_jumped
            self._num_jumped, self._restarts = 0, self._restarts + 1
            self._start(number)
        elif not is_next:
            self._ahead += 1
            return False
        else:
            self._num_jumped += number - self.newest - 1
        return True

    def _missed(self):
        """Returns how many numbers since the first are not here."""
        span = 0 if self.newest is None else self.newest - self.first + 1
        return span - self._num_here

    @property
    def counts(self) -> dict:
        """What became of the frames.

        received: all that came. dropped: numbers between the first and the newest that
        have not come, or came too late. late: came after a newer one, and took their
        place. too_late: came when no window could want them any more. ahead: set aside,
        since their numbers were too far ahead. restarts: how often the ring started
        again further back, after so many that were too late.
        """
        return dict(
            received=self._taken + self._too_late + self._ahead,
            dropped=self._dropped + self._missed(),
            late=self._late,
            too_late=self._too_late,
            ahead=self._ahead,
            restarts=self._restarts,
        )

    def missing(self, wanted: list) -> list:
        """Returns those of the numbers that are not here."""
        return [n for n in wanted if n < 0 or self._numbers[n % self.size] != n]

    def take(self, wanted: list) -> np.ndarray:
        """Returns a copy of frames that are here: float32 (1, len(wanted), 90, 90)."""
        return self._images[[n % self.size for n in wanted]][None]


class Stream:
    """Predictions over the latest window of frames as they come, in one thread.

    A frame is resized and normalised once, when it comes. Nothing behind that can be
    kept for the next window: the neurons begin at rest in every window, and the kernels
    follow the attention, which its own intensity frames decide. Keeping the patches of
    each event frame would save 4 % of torch's time and is left out. Numbers never go
    back: a camera that restarts needs a new Stream.

    Attributes:
      events, intensities: `Ring`, what came and what did not.
      span: numbers from a window's first frame to its last.
      counts: what became of the calls of `predict`. predicted; filling (the window
        reaches back before the first frame); incomplete (a frame of it was dropped);
        waiting (one kind has brought nothing newer).
      missing: names of the frames that the latest call lacked.
    """

    def __init__(self, runtime: Runtime):
        length, stride = runtime.lengths[0], runtime.manifest["skip"] + 1
        self.runtime, self.span = runtime, (length - 1) * stride + 1
        self._offsets = range(1 - self.span, 1, stride)
        # Two windows, since one kind may come up to a window after the other.
        self.events, self.intensities = (
            Ring(kind, 2 * self.span, functools.partial(runtime.prepare, kind))
            for kind in KINDS
        )
        self.counts = dict(predicted=0, filling=0, incomplete=0, waiting=0)
        self.missing, self._asked = [], -1

    def push_event(self, number: int, image: np.ndarray) -> None:
        """Takes an event frame, uint8 (S, S), with its number."""
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
        if number < self._asked:  # that of a wild frame, which is forgotten
            self._asked = -1
        if number == self._asked:
            name = rings[reached.index(number)].name
            self.missing = [f"{name} frame {number + 1}"]
            self.counts["waiting"] += 1
            return None
        self._asked = number
        window = [number + x for x in self._offsets]
        places = self.runtime.manifest["intensity_places"]
        wanted = list(zip(rings, (window, [window[x] for x in places])))
        self.missing = [
            f"{ring.name} frame {n}" for ring, x in wanted for n in ring.missing(x)
        ]
        if self.missing:
            filling = any(min(x) < ring.first for ring, x in wanted)
            self.counts["filling" if filling else "incomplete"] += 1
            return None
        logits = self.runtime.logits(*(ring.take(x) for ring, x in wanted))
        self.counts["predicted"] += 1
        probabilities = softmax(logits)[0]
        return Prediction(number, self.runtime.name(probabilities), probabilities)


# ---------------------------------------------------------------------- the command


def replay(
    runtime: Runtime,
    event_frames: dict,
    intensity_frames: dict,
    rate: Optional[float] = None,
    on_prediction: Callable = lambda prediction, latency_ms: None,
) -> dict:
    """Plays frames in real time, and predicts at each.

    Every frame is taken, but where predicting falls behind, only the newest one that is
    due is predicted; the others are missed.

    Args:
      event_frames, intensity_frames: number to uint8 (S, S).
      rate: frames per second, those of the bundle by default; 0 plays as fast as
        possible, each frame predicted.
      on_prediction: called with each `Prediction` and its latency in ms.

    Returns:
      dict: `frames` (numbers played), `missed`, the counts of `Stream`, those of its
      rings as `events` and `intensities`, `gaps` (frames that incomplete windows
      lacked) and `latency_ms` (p50, p95, p99; from the moment a frame is due to its
      prediction).

    Raises:
      ValueError: another rate, numbers that play for days, frames that `Ring` refuses.
      BackendError: the backend fails.
    """
    rate = runtime.manifest["frames_per_s"] if rate is None else rate
    frames, rate = _in_order({*event_frames, *intensity_frames}, rate), float(rate)
    stream, latency_ms, gaps, missed, i = Stream(runtime), [], {}, 0, 0
    for _ in range(3):  # a backend's first windows take longer
        empty = (np.zeros((1, n, SIZE, SIZE), np.float32) for n in runtime.lengths)
        runtime.logits(*empty)
    begin = time.monotonic()

    def due(i):
        return begin + (frames[i] - frames[0]) / rate if rate else time.monotonic()

    while i < len(frames):
        time.sleep(max(0, due(i) - time.monotonic()))
        last = i
        while rate and last + 1 < len(frames) and due(last + 1) <= time.monotonic():
            last += 1
        moment = due(last)
        for number in frames[i : last + 1]:
            if number in event_frames:
                stream.push_event(number, event_frames[number])
            if number in intensity_frames:
                stream.push_intensity(number, intensity_frames[number])
        missed, i = missed + last - i, last + 1
        incomplete = stream.counts["incomplete"]
        prediction = stream.predict()
        if stream.counts["incomplete"] > incomplete:
            gaps.update(dict.fromkeys(stream.missing))
        if prediction is not None:
            latency_ms.append(1000 * (time.monotonic() - moment))
            on_prediction(prediction, latency_ms[-1])
    places = (50, 95, 99)
    values = np.percentile(latency_ms, places).tolist() if latency_ms else [None] * 3
    return dict(
        stream.counts,
        frames=len(frames),
        missed=missed,
        events=stream.events.counts,
        intensities=stream.intensities.counts,
        gaps=list(gaps),
        latency_ms={f"p{p}": x for p, x in zip(places, values)},
    )


def _in_order(frames, rate):
    """Returns numbers ascending, if they play within a day at a rate."""
    if not isinstance(rate, numbers.Real) or not 0 <= rate <= MAX_RATE:
        _refuse("rate", "0 or more frames per second", _short(rate), "try 30")
    frames = sorted(check_number(x, "frame") for x in frames)
    if rate and frames and frames[-1] - frames[0] > LONGEST_S * float(rate):
        got = f"{frames[0]} to {frames[-1]} at {float(rate):g} Hz"
        remedy = "number frames by their period, 0, 1, 2, ..."
        _refuse("frames", "numbers that play within a day", got, remedy)
    return frames


def play(runtime: Runtime, frames: list, rate: Optional[float], as_json: bool) -> None:
    """Replays and prints; `frames` are those of both kinds.

    Raises:
      ValueError: no window was complete; says what one needs.
    """
    m, predictions = runtime.manifest, []
    size = _prefix_size(m["classes"])

    def show(prediction, ms):
        number, emotion, probabilities = prediction
        shares = dict(zip(m["classes"], probabilities.tolist()))
        entry = dict(frame=number, emotion=emotion, probabilities=shares)
        predictions.append(dict(entry, latency_ms=ms))
        if not as_json:
            each = (f"{name[:size]} {100 * x:3.0f}" for name, x in shares.items())
            text = "  ".join(each)
            print(f"{number:05d}  {emotion:<10} {text}  {ms:7.1f} ms", flush=True)

    result = replay(runtime, *frames, rate=rate, on_prediction=show)
    result.update(backend=runtime.backend, device=runtime.device)
    if as_json:
        print(json.dumps(dict(result, predictions=predictions), indent=1))
    else:
        _print_summary(result)
    if not predictions:
        rule = (
            f"{Stream(runtime).span} of both kinds in a row, which one window spans "
            f"({runtime.lengths[0]} event frames, {m['skip']} left out between two)"
        )
        got = f"{result['frames']} and no whole window"
        _refuse("frames", rule, got, "play more, or see what was dropped")


def _prefix_size(names):
    """How many letters tell names apart, at least 4."""
    sizes = range(4, max(map(len, names)) + 4)
    return next(n for n in sizes if len({name[:n] for name in names}) == len(names))


def _print_summary(result):
    names = ("frames", "predicted", "missed", "filling", "incomplete", "waiting")
    groups = dict(result, windows={name: result[name] for name in names})
    for name in ("windows", "events", "intensities", "latency_ms"):
        counts = {key: x for key, x in groups[name].items() if x is not None}
        text = ", ".join(f"{key} {x:.4g}" for key, x in counts.items())
        print(f"{name:<12}{text or 'none'}")
    print(f"{'gaps':<12}{', '.join(result['gaps']) or 'none'}")
    print(f"{'device':<12}{result['device']}")


def add_options(parser: argparse.ArgumentParser, **bundle: str) -> None:
    """Adds the options of every command that plays; `bundle` are those of --bundle."""
    parser.add_argument("--bundle", metavar="DIR", **bundle)
    text = "Hz; 0: do not wait; default: of the bundle"
    parser.add_argument("--rate", type=float, help=text)
    parser.add_argument("--backend", default="auto", choices=("auto", *BACKENDS))
    text = "refuse a bundle whose manifest has another hash than its export printed"
    parser.add_argument("--trust", metavar="SHA256", help=text)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def main(argv: Optional[list] = None) -> int:
    parser = argparse.ArgumentParser(description="Plays a clip through a bundle.")
    here = os.path.dirname(os.path.abspath(__file__))
    add_options(parser, default=here, help="default: where this file is")
    for name in ("--events", "--frames"):
        text = "folder of images 00000.jpg, 00001.jpg, ..."
        parser.add_argument(name, required=True, metavar="DIR", help=text)
    args = parser.parse_args(argv)
    try:
        runtime = load(args.bundle, args.backend, args.trust)
        frames = [read_frames(folder) for folder in (args.events, args.frames)]
        play(runtime, frames, args.rate, args.json)
    except ERRORS as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell has it for Ctrl-C
    return 0


if __name__ == "__main__":
    sys.exit(main())
