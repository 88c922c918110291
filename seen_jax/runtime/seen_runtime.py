"""SEEN where it is worn: a bundle, a camera's frames -> an emotion for every frame.

One file for Python 3.6 to 3.13, with numpy and one of torch (1.8 or newer), onnxruntime
or TensorRT (8.2 or newer). Pillow reads JPEG where it is installed.

    python seen_runtime.py --bundle BUNDLE --events DIR --frames DIR [--rate 30]
        [--backend auto|torch|torchscript|onnxruntime|tensorrt] [--json]

    runtime = load("BUNDLE")
    stream = Stream(runtime)
    stream.push_event(number, event_frame)            # uint8, square, as they come
    stream.push_intensity(number, intensity_frame)
    prediction = stream.predict()                     # over the latest window, or None

The network here does only the work that reaches the output (`fold` and `make_network`);
it is the same function as the published one. What a reader would get wrong: a frame's
number is its place in time at 30 Hz. A number that was left out is a dropped frame; the
frames after it keep their places, and a window that needs it is not predicted.
"""

import argparse
import collections
import ctypes
import ctypes.util
import hashlib
import importlib
import json
import math
import os
import sys
import time

import numpy as np

try:
    from PIL import Image
except ImportError:  # may be absent on the board: then only .npy and .pgm are read
    Image = None

FORMAT = 1
MANIFEST = "manifest.json"
FIELDS = (  # of the manifest that the runtime reads
    "format",
    "classes",
    "num_event_frames",
    "skip",
    "rate_hz",
    "intensity_places",
    "image_size",
    "event_mean",
    "event_std",
    "intensity_mean",
    "intensity_std",
    "files",
    "sha256",
)
FILES = ("seen.pt", "seen.ts", "seen.onnx", "seen_dynamic.onnx", "seen_runtime.py")
BACKENDS = {  # the package that each needs; auto takes the first that is there
    "tensorrt": "tensorrt",
    "onnxruntime": "onnxruntime",
    "torchscript": "torch",
    "torch": "torch",
}
DECAY, THRESHOLD = 0.2, 0.3  # of the neurons
EPSILON = 1e-5  # of BatchNorm


class BundleError(ValueError):
    """A bundle is not complete, not as it was written, or not for this runtime."""


# ---------------------------------------------------------------------- the network
#
# Positions that nothing reads are never computed. Row r of conv3_f2's 6 rows reads the
# rows 4 r - 1 to 4 r + 1 of conv2_f2, and so the rows 8 r - 3 to 8 r + 3 of the first
# stage: blocks of 7 x 7 that do not overlap. Negative rows are padding. conv1_f2,
# conv1_f3, conv1_f4 and conv1_cat have no activation between them, so they are one
# 7 x 7 kernel, which depends on the attention alone; likewise conv2_f2 and conv3_f2 of
# the spatial branch. All images are (positions, channels), all layers matrix products.

SIZE, TAPS, BLOCKS, CHANNELS = 90, 7, 6, 64
PADDED = SIZE + 2 * (TAPS // 2)
PIXELS = PADDED * PADDED
SCALES = (
    ("conv1_f2", 3, "mlp_f1"),
    ("conv1_f3", 5, "mlp_f2"),
    ("conv1_f4", 7, "mlp_f3"),
)
_BLOCK_ROWS = 8 * np.arange(BLOCKS)[:, None] - 3 + np.arange(7)  # (6, 7), -3 .. 43
ROWS = _BLOCK_ROWS[_BLOCK_ROWS >= 0]  # 39 of the first stage's 45
NUM_PLACES = len(ROWS) ** 2 + 1  # the last one is padding


def patch_index():
    """Which pixels of the padded image each position reads: int64 (1522, 49).

    The last position reads nothing but padding, and stands for it in `block_index`.
    """
    lines = 2 * ROWS[:, None] + np.arange(TAPS)  # (39, 7)
    index = lines[:, None, :, None] * PADDED + lines[:, None]  # (39, 39, 7, 7)
    return np.concatenate([index.reshape(-1, TAPS * TAPS), np.zeros((1, 49), int)])


def block_index():
    """Which positions each block reads: int64 (36, 49)."""
    place = np.full(_BLOCK_ROWS.shape, -1)
    place[_BLOCK_ROWS >= 0] = np.arange(len(ROWS))
    rows, columns = place[:, None, :, None], place[:, None]  # (6, 6, 7, 7) together
    inside = (rows >= 0) & (columns >= 0)
    index = np.where(inside, rows * len(ROWS) + columns, NUM_PLACES - 1)
    return index.reshape(-1, 49)


def conv2_index():
    """Which positions each output of conv2_f2 reads: (36, 9, 9), block, output, tap."""
    blocks = block_index().reshape(-1, 7, 7)
    lines = 2 * np.arange(3)[:, None] + np.arange(3)  # output, tap
    index = blocks[:, lines[:, None, :, None], lines[None, :, None, :]]
    return index.reshape(-1, 9, 9)


def _moments():
    """(90, 7): an image's mean over all positions, at each row of the kernel."""
    lines = 2 * np.arange(45)[:, None] + np.arange(TAPS) - TAPS // 2  # (45, 7)
    moments = np.zeros((SIZE, TAPS))
    for tap in range(TAPS):
        rows = lines[:, tap]
        moments[rows[(rows >= 0) & (rows < SIZE)], tap] = 1 / 45.0
    return moments


def fold(state_dict, dtype=np.float32):
    """Turns the entries of a published checkpoint into those of the network here.

    Args:
      state_dict: published name to numpy array, for images of 90 x 90.
      dtype: of the result; the work is done in float64.

    Returns:
      Name to array, see `make_network` for what is what.
    """
    s = {name: np.asarray(x, np.float64) for name, x in state_dict.items()}
    kernel0, bias0 = s["conv0.weight"][:, :, 0, 0], s["conv0.bias"]
    grey0 = kernel0.reshape(3, -1, 3).sum(-1)  # (3, N): three equal channels are one
    cat = s["conv1_cat.weight"][:, :, 0, 0].reshape(CHANNELS, 3, CHANNELS)
    conv2, conv3 = s["conv2_f2.weight"], s["conv3_f2.weight"]
    moments = _moments()
    num_classes = len(s["fc2.bias"])

    # conv2_f2, then conv3_f2, as one 7 x 7 kernel: (7, 7, 64, 512)
    deep = np.zeros((7, 7, CHANNELS, len(conv3)))
    for i in range(9):
        a, b = divmod(i, 3)
        for j in range(9):
            c, d = divmod(j, 3)
            deep[2 * a + c, 2 * b + d] += (conv3[:, :, a, b] @ conv2[:, :, c, d]).T
    deep = deep.reshape(-1, len(conv3))

    # What the biases of conv2_f2 and conv3_f2 come to, at each of conv3_f2's outputs
    ones = np.ones((2, BLOCKS))
    border = np.stack(
        [np.eye(BLOCKS)[0] == 0, *ones]
    )  # tap x output: inside or padding
    taps = np.einsum("oiab,i->oab", conv3, s["conv2_f2.bias"])
    bias = np.einsum("oab,ar,bc->rco", taps, border, border) + s["conv3_f2.bias"]

    inside = np.zeros((PADDED, PADDED))
    inside[3:-3, 3:-3] = 1
    inside = inside.ravel()[patch_index()]  # (1522, 49): conv0's bias is not padding
    event, intensity, constant, hidden, hidden_bias = [], [], [], [], []
    reads = np.zeros((3 * 8, 3))
    for i, (name, size, score) in enumerate(SCALES):
        margin = (TAPS - size) // 2
        kernel = np.pad(
            s[name + ".weight"], [(0, 0)] * 2 + [(margin, margin)] * 2, "constant"
        )
        kernel = kernel.reshape(CHANNELS, 3, -1)  # (64, 3, 49)
        frames = np.einsum("crt,rn->cnt", kernel, grey0)  # (64, N, 49)
        of_bias0 = np.einsum("crt,r->ct", kernel, bias0)  # (64, 49)
        event.append(np.einsum("dc,ct->td", cat[:, i], kernel.sum(1)))
        intensity.append(np.einsum("dc,cnt->ntd", cat[:, i], frames))

        first = (inside @ of_bias0.T + s[name + ".bias"]) @ cat[:, i].T
        first += s["conv1_cat.bias"]
        first[-1] = 0  # padding
        blocks = first[block_index()].reshape(BLOCKS * BLOCKS, -1)
        constant.append(blocks @ deep + bias.reshape(blocks.shape[0], -1))

        mean1 = np.outer(moments.sum(0), moments.sum(0)).ravel()  # of an image of ones
        scale = s[score + ".2.weight"] / np.sqrt(s[score + ".2.running_var"] + EPSILON)
        reduce = scale[:, None] * s[score + ".1.weight"][:, :, 0, 0]  # (8, 64)
        shift = scale * (s[score + ".1.bias"] - s[score + ".2.running_mean"])
        hidden.append(np.einsum("hc,cnt->nth", reduce, frames))
        mean = of_bias0 @ mean1 + s[name + ".bias"]
        hidden_bias.append(reduce @ mean + shift + s[score + ".2.bias"])
        reads[8 * i : 8 * i + 8, i] = s[score + ".4.weight"][0, :, 0, 0]

    fc1 = s["fc1.weight"].reshape(256, len(conv3), -1)  # channel, position
    folded = {
        "moments": moments,  # (90, 7)
        "hidden": np.concatenate(hidden, -1).reshape(-1, 24),  # (N * 49, 24)
        "hidden_bias": np.concatenate(hidden_bias),  # (24,)
        "scores": reads,  # (24, 3)
        "scores_bias": np.concatenate([s[x[2] + ".4.bias"] for x in SCALES]),  # (3,)
        "event": np.stack(event).reshape(3, -1),  # (3, 49 * 64)
        "intensity": np.stack(intensity).reshape(3, -1),  # (3, N * 49 * 64)
        "deep": deep,  # (49 * 64, 512)
        "deep_bias": np.stack(constant).reshape(3, -1),  # (3, 36 * 512)
        "conv2": conv2.transpose(2, 3, 1, 0).reshape(-1, len(conv2)),  # (9 * 64, 256)
        "conv3": conv3.transpose(2, 3, 1, 0).reshape(-1, len(conv3)),  # (9 * 256, 512)
        "fc1": fc1.transpose(2, 1, 0).reshape(-1, 256),  # (36 * 512, 256)
        "fc1_bias": s["fc1.bias"],
        "fc2": s["fc2.weight"].T,  # (256, K)
        "fc2_bias": s["fc2.bias"].reshape(num_classes),
    }
    return {name: np.ascontiguousarray(x, dtype) for name, x in folded.items()}


def num_intensity_frames(folded):
    """Returns N, how many intensity frames the network was trained with."""
    return len(folded["hidden"]) // TAPS**2


def make_network(folded, num_event_frames, exported=False):
    """Makes the network as a torch module, of float32 or float64 as the arrays are.

    It takes normalised event frames (B, T, 90, 90) and intensity frames
    (B, N, 90, 90), and returns logits (B, K).

    Args:
      folded: as of `fold`.
      num_event_frames: T.
      exported: use no operation that ONNX or TensorRT lack.
    """
    torch = importlib.import_module("torch")
    functional = torch.nn.functional
    num_taps = len(folded["hidden"])  # of all intensity frames

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, array in folded.items():
                self.register_buffer(name, torch.from_numpy(array.copy()))
            patches = patch_index()[:, None]
            for name, index in (
                ("event_patches", patches),
                (
                    "intensity_patches",
                    patches + PIXELS * np.arange(num_taps // 49)[:, None],
                ),
                ("blocks", block_index()),
                ("conv2_reads", conv2_index()),
            ):
                index = torch.from_numpy(index.ravel().astype(np.int64))
                self.register_buffer(name, index)

        def forward(self, event_frames, intensity_frames):
            attention = self.attend(intensity_frames)  # (B, 3)
            spatial = self.look(intensity_frames, attention)  # (B, 1, 36 * 512)
            kernel = (attention @ self.event).reshape(-1, 1, 49, CHANNELS)
            images = pad(event_frames).reshape(-1, num_event_frames, PIXELS, 1)
            shape = num_event_frames, NUM_PLACES, 49
            x = gather(images, self.event_patches, shape) @ kernel  # (B, T, 1522, 64)
            shape = num_event_frames, 36 * 9, 9 * CHANNELS
            x = gather(lif(x), self.conv2_reads, shape)
            x = lif(self.product(x, "conv2"))  # (B, T, 36 * 9, 256)
            x = x.reshape(-1, num_event_frames, 36, 9 * 256)
            x = lif(self.product(x, "conv3")).reshape(-1, num_event_frames, 36 * 512)
            x = lif(self.product(x + spatial, "fc1") + self.fc1_bias)
            currents = x @ self.fc2 + self.fc2_bias
            return torch.stack(integrate(currents)[0], 1).mean(1)

        def attend(self, images):
            """Weighs the three scales, by the means of what they see: (B, 3)."""
            means = self.moments.t() @ images @ self.moments  # (B, N, 7, 7)
            x = means.reshape(-1, num_taps) @ self.hidden + self.hidden_bias
            x = functional.relu(x) @ self.scores + self.scores_bias
            return functional.softmax(x, dim=1)

        def look(self, images, attention):
            """The spikes J_s of the intensity frames: (B, 1, 36 * 512)."""
            kernel = (attention @ self.intensity).reshape(-1, 1, num_taps, CHANNELS)
            pixels = pad(images).reshape(-1, 1, num_taps // 49 * PIXELS, 1)
            shape = 1, NUM_PLACES, num_taps
            x = gather(pixels, self.intensity_patches, shape) @ kernel
            x = gather(x, self.blocks, (1, 36, 49 * CHANNELS))
            current = self.product(x, "deep").reshape(-1, 1, 36 * 512)
            current = current + (attention @ self.deep_bias).unsqueeze(1)
            return (current > THRESHOLD).to(current.dtype)

        def product(self, x, name):
            return x @ getattr(self, name)

    def pad(images):
        return torch.constant_pad_nd(images, (3, 3, 3, 3))

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
        before, fired = [], []
        for t in range(num_event_frames):
            membrane = currents[:, t]
            if t:
                membrane = torch.add(
                    membrane, before[-1] * (1 - fired[-1]), alpha=DECAY
                )
            before.append(membrane)
            fired.append((membrane > THRESHOLD).to(membrane.dtype))
        return before, fired

    return Network().eval()


# ---------------------------------------------------------------------- the images


def resize(image, size=SIZE):
    """Resizes a square grey image as Pillow does, bilinear with antialiasing.

    Args:
      image: uint8 (S, S).
      size: pixels of a side.

    Returns:
      uint8 (size, size).
    """
    if Image is not None:
        return np.asarray(Image.fromarray(image).resize((size, size), Image.BILINEAR))
    return resize_by_numpy(image, size)


def resize_by_numpy(image, size=SIZE):
    """As `resize`, bit by bit, without Pillow."""
    for _ in range(2):  # columns, then rows, each rounded to 8 bits
        weights = _resize_weights(image.shape[1], size)
        # Whole numbers below 2**31: exact in float64, whose product is fast.
        total = (image.astype(np.float64) @ weights).astype(np.int64)
        image = np.clip((total + (1 << 21)) >> 22, 0, 255).astype(np.uint8).T
    return np.ascontiguousarray(image)


_weights = {}


def _resize_weights(num_pixels, size):
    """Weights of a triangle filter in units of 2**-22: float64 (num_pixels, size)."""
    if (num_pixels, size) not in _weights:
        scale = num_pixels / float(size)
        support = max(scale, 1.0)
        weights = np.zeros((num_pixels, size))
        for i in range(size):
            centre = (i + 0.5) * scale
            first = max(int(centre - support + 0.5), 0)
            last = min(int(centre + support + 0.5), num_pixels)
            distance = (np.arange(first, last) - centre + 0.5) * (1 / support)
            column = np.maximum(1 - np.abs(distance), 0)
            # Not numpy's sum, which adds in another order
            weights[first:last, i] = column / sum(column.tolist())
        _weights[num_pixels, size] = np.floor(weights * (1 << 22) + 0.5)
    return _weights[num_pixels, size]


def normalise(image, mean, std):
    """Scales uint8 grey levels to the network's input, float32."""
    return (image.astype(np.float32) / 255 - mean) / std


def read_image(path):
    """Reads a grey image as uint8 (H, W): .npy, .pgm, or by Pillow .jpg and .png."""
    ending = os.path.splitext(path)[1].lower()
    try:
        if ending == ".npy":
            image = np.load(path, allow_pickle=False)
        elif ending == ".pgm":
            image = _read_pgm(path)
        elif Image is None:
            raise ValueError(
                "Pillow is not installed; install it (python3-pil), or "
                "convert the images to .pgm or .npy elsewhere"
            )
        else:
            with Image.open(path) as opened:
                if opened.mode != "L":
                    raise ValueError(f"an image of mode {opened.mode}")
                image = np.asarray(opened)
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{path}: expected a grey 8-bit image, got {error}") from error
    return check_image(image, path)


def _read_pgm(path):
    with open(path, "rb") as file:
        data = file.read()
    fields = data.split(None, 4)
    if len(fields) < 5 or fields[0] != b"P5" or fields[3] != b"255":
        raise ValueError("no binary PGM (P5) of 255 grey levels and without comments")
    width, height = int(fields[1]), int(fields[2])
    pixels = data[len(data) - width * height :]
    if len(pixels) != width * height:
        raise ValueError("%d bytes of %d" % (len(pixels), width * height))
    return np.frombuffer(pixels, np.uint8).reshape(height, width)


def check_image(image, name):
    """Raises ValueError unless it is uint8 (S, S); returns it."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 2 or image.shape[0] != image.shape[1]:
        raise ValueError(
            f"{name}: expected uint8 (S, S), square grey levels, got "
            f"{image.dtype} {image.shape}; cut the same square from every frame"
        )
    if not image.size:
        raise ValueError(f"{name}: expected pixels, got none")
    return image


# ---------------------------------------------------------------------- the bundle


def read_manifest(bundle):
    """Reads and checks the manifest of a bundle, and every file that it lists.

    Raises:
      BundleError: names the file, what was expected and what was found.
    """
    path = os.path.join(bundle, MANIFEST)
    if not os.path.isfile(path):
        raise BundleError(
            f"{bundle}: expected the folder of a bundle, got none with a {MANIFEST}; "
            "write one with python -m seen_jax.export torch"
        )
    try:
        with open(path, "rb") as file:
            manifest = json.loads(file.read().decode("utf-8"))
    except ValueError as error:
        raise BundleError(
            f"{path}: expected JSON, got {error}; {COPY_AGAIN}"
        ) from error
    missing = [x for x in FIELDS if not isinstance(manifest, dict) or x not in manifest]
    if missing:
        raise BundleError(
            "{}: expected {}, got no {}; {}".format(
                path, ", ".join(FIELDS), missing[0], COPY_AGAIN
            )
        )
    if manifest["format"] != FORMAT:
        raise BundleError(
            "%s: expected format %d, got %r; use the seen_runtime.py of that "
            "bundle" % (path, FORMAT, manifest["format"])
        )
    if manifest["sha256"] != manifest_hash(manifest):
        raise BundleError(
            f"{path}: expected the text that was written, got another (SHA-256); "
            f"{COPY_AGAIN}"
        )
    for name, facts in sorted(manifest["files"].items()):
        _check_file(os.path.join(bundle, name), facts)
    return manifest


COPY_AGAIN = "copy or export the bundle again"


def _check_file(path, facts):
    if not os.path.isfile(path):
        raise BundleError(f"{path}: expected a file, got none; {COPY_AGAIN}")
    size = os.path.getsize(path)
    if size != facts["bytes"]:
        raise BundleError(
            "%s: expected %d bytes, got %d; %s"
            % (path, facts["bytes"], size, COPY_AGAIN)
        )
    found = file_hash(path)
    if found != facts["sha256"]:
        raise BundleError(
            "{}: expected SHA-256 {}, got {}; {}".format(
                path, facts["sha256"], found, COPY_AGAIN
            )
        )


def file_hash(path):
    """Returns the SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def manifest_hash(manifest):
    """Returns the SHA-256 of all of a manifest but its own `sha256`."""
    rest = {name: x for name, x in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode("utf-8")).hexdigest()


class Runtime:
    """A bundle that is ready to predict.

    Attributes:
      manifest: dict, what the bundle says of itself.
      backend: the name of the one that computes.
      device: in words.
    """

    def __init__(self, manifest, backend, device, run):
        self.manifest, self.backend, self.device, self._run = (
            manifest,
            backend,
            device,
            run,
        )

    def logits(self, event_frames, intensity_frames):
        """Computes logits (B, K), float32.

        Args:
          event_frames: float32 (B, T, 90, 90), as of `event_input`.
          intensity_frames: float32 (B, N, 90, 90), as of `intensity_input`.
        """
        m = self.manifest
        for name, x, count in (
            ("event_frames", event_frames, m["num_event_frames"]),
            ("intensity_frames", intensity_frames, len(m["intensity_places"])),
        ):
            if (
                x.dtype != np.float32
                or x.ndim != 4
                or x.shape[1:] != (count, SIZE, SIZE)
            ):
                raise ValueError(
                    "%s: expected float32 (B, %d, %d, %d), got %s %s"
                    % (name, count, SIZE, SIZE, x.dtype, x.shape)
                )
        if len(event_frames) != len(intensity_frames) or not len(event_frames):
            raise ValueError(
                "event_frames, intensity_frames: expected as many windows of "
                "each, 1 or more, got %d and %d"
                % (len(event_frames), len(intensity_frames))
            )
        return self._run(event_frames, intensity_frames)

    def predict(self, event_frames, intensity_frames):
        """Computes probabilities (B, K) of windows of uint8 frames.

        Args:
          event_frames: uint8 (B, T, S, S), the window's event frames in order.
          intensity_frames: uint8 (B, N, S, S), those at the manifest's
            `intensity_places` of the window.
        """
        inputs = []
        for name, frames, prepare in (
            ("event_frames", event_frames, self.event_input),
            ("intensity_frames", intensity_frames, self.intensity_input),
        ):
            if np.ndim(frames) != 4:
                raise ValueError(
                    "%s: expected uint8 of four axes, windows, frames, rows, "
                    "columns, got %d" % (name, np.ndim(frames))
                )
            inputs.append(np.stack([np.stack([prepare(x) for x in w]) for w in frames]))
        return softmax(self.logits(*inputs))

    def event_input(self, image):
        """Resizes and normalises one event frame, uint8 (S, S): float32 (90, 90)."""
        image = resize(check_image(image, "event frame"))
        return normalise(image, self.manifest["event_mean"], self.manifest["event_std"])

    def intensity_input(self, image):
        """As `event_input`, for an intensity frame."""
        image = resize(check_image(image, "intensity frame"))
        return normalise(
            image, self.manifest["intensity_mean"], self.manifest["intensity_std"]
        )


def softmax(logits):
    """Turns logits (..., K) into probabilities."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def load(bundle, backend="auto", threads=None):
    """Loads a bundle.

    Args:
      bundle: its folder.
      backend: one of `BACKENDS`, or auto: the first of them that is installed.
      threads: of the processor, for torch and onnxruntime; None leaves their default.

    Raises:
      BundleError: the bundle is damaged.
      ValueError: the backend is not known or not installed.
    """
    manifest = read_manifest(bundle)
    backend = _choose(backend)
    make = {
        "tensorrt": _tensorrt,
        "onnxruntime": _onnxruntime,
        "torchscript": _torchscript,
        "torch": _torch,
    }[backend]
    device, run = make(bundle, manifest, threads)
    return Runtime(manifest, backend, device, run)


def _choose(backend):
    if backend == "auto":
        there = [x for x in BACKENDS if _installed(BACKENDS[x])]
        if not there:
            raise ValueError(
                "backend: expected one of the packages {}, got none; install "
                "one of them".format(", ".join(sorted(set(BACKENDS.values()))))
            )
        return there[0]
    if backend not in BACKENDS:
        raise ValueError(
            "backend: expected auto, {}, got {!r}".format(
                ", ".join(sorted(BACKENDS)), backend
            )
        )
    if not _installed(BACKENDS[backend]):
        raise ValueError(
            f"backend: expected the package {BACKENDS[backend]} for {backend}, "
            "got none; install it or choose another"
        )
    return backend


def _installed(package):
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


# ---------------------------------------------------------------------- the backends


def _torch(bundle, manifest, threads):
    """The network of this file, with the published weights."""
    torch, device = _torch_device(threads)
    checkpoint = torch.load(os.path.join(bundle, "seen.pt"), map_location="cpu")
    state_dict = {name: x.numpy() for name, x in checkpoint["state_dict"].items()}
    network = make_network(fold(state_dict), manifest["num_event_frames"]).to(device)
    if device == "cpu" and torch.backends.mkldnn.is_available():
        network.product = _packed_product(torch, network)
    return f"torch {torch.__version__} on {device}", _run_torch(torch, network, device)


def _torchscript(bundle, manifest, threads):
    torch, device = _torch_device(threads)
    network = torch.jit.load(os.path.join(bundle, "seen.ts"), map_location=device)
    return f"torch {torch.__version__} on {device}", _run_torch(torch, network, device)


def _torch_device(threads):
    torch = importlib.import_module("torch")
    if threads:
        torch.set_num_threads(threads)
    return torch, "cuda" if torch.cuda.is_available() else "cpu"


def _run_torch(torch, network, device):
    def run(*inputs):
        with torch.no_grad():
            tensors = [
                torch.from_numpy(np.ascontiguousarray(x)).to(device) for x in inputs
            ]
            return network(*tensors).cpu().numpy()

    return run


def _packed_product(torch, network):
    """Products by oneDNN with weights in its own layout: half of the time on x86."""
    mkldnn = importlib.import_module("torch.utils.mkldnn")
    packed = {}
    for name in ("conv2", "conv3", "deep"):
        weight = getattr(network, name)
        layer = torch.nn.Linear(weight.shape[0], weight.shape[1])
        layer.weight.data, layer.bias.data = (
            weight.t().contiguous(),
            weight.new_zeros(weight.shape[1]),
        )
        packed[name] = mkldnn.to_mkldnn(layer.eval())

    def product(x, name):
        if name not in packed:
            return x @ getattr(network, name)
        rows = x.reshape(-1, x.shape[-1]).to_mkldnn()
        return packed[name](rows).to_dense().reshape((*x.shape[:-1], -1))

    return product


def _onnxruntime(bundle, manifest, threads):
    ort = importlib.import_module("onnxruntime")
    options = ort.SessionOptions()
    if threads:
        options.intra_op_num_threads = options.inter_op_num_threads = threads
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [x for x in wanted if x in ort.get_available_providers()]
    sessions = {}

    def run(*inputs):
        name = "seen.onnx" if len(inputs[0]) == 1 else "seen_dynamic.onnx"
        if name not in sessions:
            path = os.path.join(bundle, name)
            sessions[name] = ort.InferenceSession(path, options, providers=providers)
        return sessions[name].run(None, dict(zip(INPUTS, inputs)))[0]

    return f"onnxruntime {ort.__version__} on {providers[0]}", run


INPUTS = ("event_frames", "intensity_frames")


def _tensorrt(bundle, manifest, threads):
    """One window at a time. Takes the engine that trtexec wrote, or builds it first."""
    trt = importlib.import_module("tensorrt")
    logger = trt.Logger(trt.Logger.WARNING)
    path = os.path.join(bundle, "seen.engine")
    if os.path.isfile(path):
        with open(path, "rb") as file:
            plan = file.read()
    else:
        plan = _build_engine(trt, logger, os.path.join(bundle, "seen.onnx"))
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        raise ValueError(
            f"{path}: expected an engine of TensorRT {trt.__version__} on this board, "
            "got none that it can read; remove the file"
        )
    context = engine.create_execution_context()
    sizes = {
        INPUTS[0]: (1, manifest["num_event_frames"], SIZE, SIZE),
        INPUTS[1]: (1, len(manifest["intensity_places"]), SIZE, SIZE),
        "logits": (1, len(manifest["classes"])),
    }
    cuda = _Cuda()
    if hasattr(engine, "num_io_tensors"):  # TensorRT 8.5 and newer
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    else:
        names = [engine.get_binding_name(i) for i in range(engine.num_bindings)]
    memory = {name: cuda.allocate(4 * int(np.prod(sizes[name]))) for name in names}
    bindings = [memory[name].value for name in names]

    def run_one(*inputs):
        for name, x in zip(INPUTS, inputs):
            cuda.copy(memory[name], np.ascontiguousarray(x).ctypes.data, x.nbytes, 1)
        if not context.execute_v2(bindings):
            raise RuntimeError(
                "tensorrt: expected a window to be computed, got a failure; "
                "its log says why"
            )
        logits = np.empty(sizes["logits"], np.float32)
        cuda.copy(logits.ctypes.data, memory["logits"], logits.nbytes, 2)
        return logits

    def run(*inputs):
        pairs = zip(*[np.split(x, len(x)) for x in inputs])
        return np.concatenate([run_one(*pair) for pair in pairs])

    return f"TensorRT {trt.__version__}", run


def _build_engine(trt, logger, path):
    builder = trt.Builder(logger)
    explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    network = builder.create_network(0 if explicit is None else 1 << int(explicit))
    parser = trt.OnnxParser(network, logger)
    with open(path, "rb") as file:
        if not parser.parse(file.read()):
            raise ValueError(
                f"{path}: expected a network for TensorRT {trt.__version__}, "
                f"got {parser.get_error(0)}"
            )
    config = builder.create_builder_config()
    if hasattr(config, "max_workspace_size"):  # before TensorRT 10
        config.max_workspace_size = 1 << 28
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ValueError(
            f"{path}: expected TensorRT {trt.__version__} to build it, "
            "got a failure; its log says why"
        )
    return plan


class _Cuda:
    """The memory of CUDA, by its own library: no other package is needed for it."""

    def __init__(self):
        name = ctypes.util.find_library("cudart") or "libcudart.so"
        self._library = ctypes.CDLL(name)

    def allocate(self, num_bytes):
        pointer = ctypes.c_void_p()
        self._check(
            self._library.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(num_bytes))
        )
        return pointer

    def copy(self, to, source, num_bytes, kind):
        """Copies; kind 1 is to the device, 2 from it."""
        pointers = [
            x if isinstance(x, ctypes.c_void_p) else ctypes.c_void_p(x)
            for x in (to, source)
        ]
        self._check(
            self._library.cudaMemcpy(
                pointers[0], pointers[1], ctypes.c_size_t(num_bytes), kind
            )
        )

    def _check(self, status):
        if status:
            raise RuntimeError(
                "cuda: expected status 0, got %d; is the GPU in use?" % status
            )


# ---------------------------------------------------------------------- the stream

Prediction = collections.namedtuple(
    "Prediction",
    "number emotion probabilities",  # frame, name, float32 (K,)
)


class Ring:
    """The latest frames of one kind, each at its number; and what became of the others.

    Attributes:
      newest: number of the newest frame, None before the first.
      counts: dict of received, dropped (a number that has not come), late (came after a
        newer one, and took its place) and useless (so late that no window needs it).
    """

    def __init__(self, name, span, prepare):
        self.name, self.span, self._prepare = name, span, prepare
        self.newest, self._first, self._size = None, None, None
        self._numbers = [None] * span
        self._images = np.zeros((span, SIZE, SIZE), np.float32)
        self.counts = dict.fromkeys(("received", "dropped", "late", "useless"), 0)

    def push(self, number, image):
        """Takes a frame; the work on it is done here, once."""
        if isinstance(number, bool) or number != int(number) or number < 0:
            raise ValueError(
                "number: expected a whole number from 0, the frame's place in "
                f"time, got {number!r}"
            )
        number, place = int(number), int(number) % self.span
        image = check_image(image, "%s frame %d" % (self.name, number))
        if self._size not in (None, image.shape):
            raise ValueError(
                "%s frame %d: expected %d x %d pixels as the frames before, got "
                "%d x %d" % ((self.name, number, *self._size, *image.shape))
            )
        if self._numbers[place] == number:
            raise ValueError(
                "%s frame %d: expected each number once, got it again"
                % (self.name, number)
            )
        self._size = image.shape
        counts = self.counts
        counts["received"] += 1
        if self.newest is None:
            self.newest = number
        elif number > self.newest:
            counts["dropped"] += number - self.newest - 1
            self.newest = number
        elif number <= self.newest - self.span:
            counts["useless"] += 1
            return
        else:
            counts["late"] += 1
            if number > self._first:
                counts["dropped"] -= 1
        self._first = number if self._first is None else min(self._first, number)
        self._numbers[place] = number
        self._images[place] = self._prepare(image)

    def missing(self, numbers):
        """Returns those of the numbers that are not here."""
        return [n for n in numbers if n < 0 or self._numbers[n % self.span] != n]

    def take(self, numbers):
        """Returns frames that are here: float32 (1, len(numbers), 90, 90)."""
        return self._images[[n % self.span for n in numbers]][None]


class Stream:
    """Predictions over the latest window of frames that come at 30 Hz.

    A frame is resized and normalised once, when it comes. Nothing behind that can be
    kept for the next window: the neurons begin at rest in every window, and the kernels
    follow the attention, which its own two intensity frames decide.

    Attributes:
      events, intensities: `Ring`, what came and what did not.
      counts: dict of predicted, filling (not a whole window yet) and incomplete (a
        frame of the window was dropped).
      missing: names of the frames that the latest window lacked.
    """

    def __init__(self, runtime):
        manifest = runtime.manifest
        self.runtime = runtime
        stride = manifest["skip"] + 1
        self.span = (manifest["num_event_frames"] - 1) * stride + 1
        self._offsets = [
            stride * i - self.span + 1 for i in range(manifest["num_event_frames"])
        ]
        self._places = manifest["intensity_places"]
        self.events = Ring("event", self.span, runtime.event_input)
        self.intensities = Ring("intensity", self.span, runtime.intensity_input)
        self.counts = dict.fromkeys(("predicted", "filling", "incomplete"), 0)
        self.missing, self._begin, self._last = [], None, None

    def push_event(self, number, image):
        """Takes an event frame, uint8 (S, S), with its number at 30 Hz."""
        self.events.push(number, image)

    def push_intensity(self, number, image):
        """Takes an intensity frame, likewise."""
        self.intensities.push(number, image)

    def predict(self):
        """Returns the prediction of the latest number that both kinds have reached.

        Returns:
          A `Prediction`; None if there is no window, or if its number was asked before.
        """
        if self.events.newest is None or self.intensities.newest is None:
            return None
        number = min(self.events.newest, self.intensities.newest)
        if self._last is not None and number <= self._last:
            return None
        self._begin = number if self._begin is None else self._begin
        self._last = number
        event_numbers = [number + x for x in self._offsets]
        intensity_numbers = [event_numbers[x] for x in self._places]
        self.missing = [
            "%s frame %d" % (ring.name, n)
            for ring, numbers in (
                (self.events, event_numbers),
                (self.intensities, intensity_numbers),
            )
            for n in ring.missing(numbers)
        ]
        if self.missing:
            filling = number < self._begin + self.span - 1
            self.counts["filling" if filling else "incomplete"] += 1
            return None
        logits = self.runtime.logits(
            self.events.take(event_numbers), self.intensities.take(intensity_numbers)
        )
        self.counts["predicted"] += 1
        probabilities = softmax(logits)[0]
        emotion = self.runtime.manifest["classes"][int(probabilities.argmax())]
        return Prediction(number, emotion, probabilities)


# ---------------------------------------------------------------------- the command


def list_frames(folder):
    """Finds the numbered images of a folder: number to path, ascending.

    Raises:
      ValueError: there are none, or a name is no number.
    """
    if not os.path.isdir(folder):
        raise ValueError(f"{folder}: expected a folder of numbered images, got none")
    frames = {}
    for name in sorted(os.listdir(folder)):
        stem, ending = os.path.splitext(name)
        if ending.lower() not in ENDINGS:
            continue
        if not stem.isdigit():
            raise ValueError(
                f"{os.path.join(folder, name)}: expected a number as in 00000.jpg, "
                f"got {stem!r}"
            )
        if int(stem) in frames:
            raise ValueError(
                "%s: expected each number once, got two of %d" % (folder, int(stem))
            )
        frames[int(stem)] = os.path.join(folder, name)
    if not frames:
        raise ValueError(
            "{}: expected images 00000.jpg, 00001.jpg, ... ({}), got none".format(
                folder, ", ".join(ENDINGS)
            )
        )
    return frames


ENDINGS = (".jpg", ".jpeg", ".png", ".pgm", ".npy")


def read_frames(folder):
    """Reads all of them: number to uint8 (S, S)."""
    return {
        number: read_image(path) for number, path in sorted(list_frames(folder).items())
    }


def replay(runtime, event_frames, intensity_frames, rate=30.0, on_prediction=None):
    """Plays frames in real time, and predicts at each.

    Every frame is taken, but where predicting falls behind, only the newest is
    predicted; the others are missed.

    Args:
      runtime: of `load`.
      event_frames, intensity_frames: number to uint8 (S, S).
      rate: frames per second; 0 plays as fast as it goes, each frame predicted.
      on_prediction: called with each `Prediction` and its latency in ms.

    Returns:
      dict of `latency_ms` (p50, p95, p99; from the moment a frame is due to its
      prediction), `missed`, and the counts of `Stream`.
    """
    numbers = sorted(set(event_frames) | set(intensity_frames))
    stream = Stream(runtime)
    warm_up(runtime)
    latency_ms, missed = [], 0
    begin, place = time.time(), 0
    while place < len(numbers):
        due = begin + (numbers[place] - numbers[0]) / rate if rate else time.time()
        wait = due - time.time()
        if wait > 0:
            time.sleep(wait)
        behind = 0
        while place < len(numbers):
            number = numbers[place]
            if behind:
                next_due = (
                    begin + (number - numbers[0]) / rate if rate else float("inf")
                )
                if next_due > time.time():
                    break
                due = next_due
            for push, frames in (
                (stream.push_event, event_frames),
                (stream.push_intensity, intensity_frames),
            ):
                if number in frames:
                    push(number, frames[number])
            behind += 1
            place += 1
        missed += behind - 1
        prediction = stream.predict()
        if prediction is not None:
            latency_ms.append(1000 * (time.time() - due))
            if on_prediction:
                on_prediction(prediction, latency_ms[-1])
    return dict(
        stream.counts,
        frames=len(numbers),
        missed=missed,
        events=stream.events.counts,
        intensities=stream.intensities.counts,
        latency_ms=percentiles(latency_ms),
    )


def warm_up(runtime):
    """Predicts once, so that what a backend does at its first window is done."""
    m = runtime.manifest
    counts = m["num_event_frames"], len(m["intensity_places"])
    for _ in range(3):
        runtime.logits(*[np.zeros((1, n, SIZE, SIZE), np.float32) for n in counts])


def percentiles(values):
    """Returns p50, p95 and p99; None of each where there are no values."""
    names = (50, 95, 99)
    if not values:
        return {"p%d" % p: None for p in names}
    return {"p%d" % p: round(float(np.percentile(values, p)), 3) for p in names}


def summary_text(runtime, result):
    """Says in a few lines what `replay` found."""
    m, ms = runtime.manifest, result["latency_ms"]
    lines = [
        "%s; %d frames, window of %d event frames, %d left out between two"
        % (runtime.device, result["frames"], m["num_event_frames"], m["skip"]),
        "predicted %(predicted)d, missed %(missed)d, before the first window "
        "%(filling)d, incomplete %(incomplete)d" % result,
    ]
    for kind in ("events", "intensities"):
        lines.append(
            "%-12s" % kind
            + ", ".join("%s %d" % x for x in sorted(result[kind].items()))
        )
    if ms["p50"] is not None:
        lines.append(
            "latency     p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms".format(
                **ms
            )
        )
    return "\n".join(lines)


def main(argv=None):
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(
        description="Replays a clip in real time through a bundle."
    )
    parser.add_argument(
        "--bundle", default=here, help="its folder; default: where this file is"
    )
    parser.add_argument(
        "--events", required=True, metavar="DIR", help="event frames, numbered"
    )
    parser.add_argument(
        "--frames", required=True, metavar="DIR", help="intensity frames, numbered"
    )
    parser.add_argument(
        "--rate", type=float, default=30.0, help="frames per second; 0: no waiting"
    )
    parser.add_argument(
        "--backend", default="auto", choices=["auto", *sorted(BACKENDS)]
    )
    parser.add_argument(
        "--threads", type=int, help="of the processor; default: the backend's own"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    try:
        if not (args.rate >= 0 and math.isfinite(args.rate)):
            raise ValueError(
                f"rate: expected 0 or more frames per second, got {args.rate!r}"
            )
        runtime = load(args.bundle, args.backend, args.threads)
        frames = read_frames(args.events), read_frames(args.frames)
        play(runtime, frames, args.rate, args.json)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def play(runtime, frames, rate, as_json):
    """Replays and prints; frames are those of events and of intensities."""
    classes, found = runtime.manifest["classes"], []

    def show(prediction, ms):
        if as_json:
            shares = [round(float(x), 6) for x in prediction.probabilities]
            found.append(
                {
                    "frame": prediction.number,
                    "emotion": prediction.emotion,
                    "probabilities": dict(zip(classes, shares)),
                    "latency_ms": round(ms, 3),
                }
            )
            return
        shares = " ".join(
            f"{name[:4]} {100 * x:2.0f}"
            for name, x in zip(classes, prediction.probabilities)
        )
        print(
            "%05d  %-10s %5.1f ms   %s"
            % (prediction.number, prediction.emotion, ms, shares)
        )

    result = replay(runtime, *frames, rate=rate, on_prediction=show)
    if as_json:
        print(
            json.dumps(
                dict(
                    result,
                    backend=runtime.backend,
                    device=runtime.device,
                    predictions=found,
                ),
                indent=1,
            )
        )
    else:
        print(summary_text(runtime, result))


if __name__ == "__main__":
    sys.exit(main())
