"""A published state_dict <-> the files that torch, TorchScript and ONNX Runtime read.

Note: only `seen.pt` has the published names; the others hold the network of
`runtime/seen_runtime.py` with its folded weights.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from seen_jax import see
from seen_jax.errors import UserError, refuse
from seen_jax.problems import excerpt
from seen_jax.runtime import seen_runtime

MAX_EPOCH = 10**9
OPSET = 13  # the newest that TensorRT 8.2 reads
PARALLEL = "module."  # what DataParallel puts before every name
# Of torch, whose weights_only means it: before 1.13 there was none, and before 2.6 a
# file could run code all the same.
# Reference: CVE-2025-32434.
SAFE_VERSION = 2, 6


def require(package: str) -> ModuleType:
    """Imports a package of requirements-export.txt, or says how to install it."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise UserError(not_installed(package)) from error


def not_installed(package: str) -> str:
    return (
        f"{package} is not installed; run python -m pip install -r "
        "requirements-export.txt"
    )


def write_checkpoint(
    path: Path, state_dict: Mapping[str, np.ndarray], epoch: int
) -> None:
    """Writes a checkpoint of the published form, of tensors and one int alone."""
    torch = require("torch")
    tensors = {name: torch.from_numpy(x.copy()) for name, x in state_dict.items()}
    file = io.BytesIO()  # written as one, a full disk is an OSError and no other
    torch.save({"epoch": epoch, "state_dict": tensors}, file)
    path.write_bytes(file.getvalue())


def read_checkpoint(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], int]:
    """Reads a checkpoint of the published form, or a bare state_dict; runs no code.

    Returns:
      Published name to array, without DataParallel's prefix, and the epoch, 0 if there
      is none.

    Raises:
      UserError: no such file, or a torch that might run what it holds.
    """
    torch = require("torch")
    version = tuple(int(x) for x in torch.__version__.split(".")[:2])
    if version < SAFE_VERSION:
        least = ".".join(map(str, SAFE_VERSION))
        rule = f"{least} or newer, which runs no code of {path}"
        remedy = "python -m pip install --upgrade -r requirements-export.txt"
        refuse("torch", rule, torch.__version__, remedy)
    if not Path(path).is_file():
        refuse(path, "a checkpoint", "no file", "give the path of one")
    try:
        with _quiet():  # it warns of kinds of tensors that are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, for a file of anything
        rule = "a checkpoint of tensors and numbers, written by torch.save"
        got = f"a file that is damaged or could run code ({type(error).__name__})"
        refuse(path, rule, got, "save its state_dict alone")
    epoch = 0
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        epoch = content.get("epoch", 0)
        content = content["state_dict"]
    tensors = isinstance(content, Mapping) and all(
        isinstance(name, str) and isinstance(x, torch.Tensor)
        for name, x in content.items()
    )
    if not tensors or not content:
        rule = "a dict with `state_dict` and `epoch`, or a dict of tensors by name"
        refuse(path, rule, "something else")
    if type(epoch) is not int or not 0 <= epoch <= MAX_EPOCH:
        refuse(path, f"an epoch from 0 to {MAX_EPOCH}", excerpt(epoch))
    if all(name.startswith(PARALLEL) for name in content):
        content = {name[len(PARALLEL) :]: x for name, x in content.items()}
    arrays, problems = {}, []
    for name, x in content.items():
        is_dense = x.layout == torch.strided and x.device.type == "cpu"
        if not is_dense or x.is_quantized or x.is_complex():
            problems.append(f"\n  {name}: {x.layout} of {x.dtype} on {x.device}")
            continue
        narrow = x.is_floating_point() and x.itemsize <= 2  # some unknown to NumPy
        arrays[name] = (x.float() if narrow else x).detach().numpy()
        if not np.isfinite(arrays[name]).all():
            problems.append(f"\n  {name}: nan or infinity")
    if problems:
        refuse(path, "dense tensors of finite numbers", "".join(["others", *problems]))
    return arrays, epoch


def write_torchscript(
    path: Path,
    folded: Mapping[str, np.ndarray],
    num_event_frames: int,
    **constants: Any,
) -> None:
    """Writes the network as TorchScript, for any number of windows at once.

    Arguments as of `seen_runtime.make_network`.
    """
    torch, file = require("torch"), io.BytesIO()
    network = seen_runtime.make_network(folded, num_event_frames, **constants)
    with _quiet():
        traced = torch.jit.trace(network, _example(folded, num_event_frames, 2))
        torch.jit.save(traced, file)
    path.write_bytes(file.getvalue())


def write_onnx(
    path: Path,
    folded: Mapping[str, np.ndarray],
    num_event_frames: int,
    *,
    dynamic: bool,
    **constants: Any,
) -> None:
    """Writes the network as ONNX: for one window, or for any number (`dynamic`).

    Other arguments as of `seen_runtime.make_network`.
    """
    torch, onnx = require("torch"), require("onnx")
    network = seen_runtime.make_network(folded, num_event_frames, True, **constants)
    inputs, outputs = list(seen_runtime.INPUTS), ["logits"]
    axes = {name: {0: "windows"} for name in inputs + outputs} if dynamic else None
    file = io.BytesIO()
    with _quiet():
        torch.onnx.export(
            network,
            _example(folded, num_event_frames, 2 if dynamic else 1),
            file,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,  # the newer exporter writes opset 18 whatever it is told
        )
    model = onnx.load_model_from_string(file.getvalue())
    (batch, _) = model.graph.output[0].type.tensor_type.shape.dim  # it made up a name
    if dynamic:
        batch.dim_param = "windows"
    else:
        batch.dim_value = 1
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def _example(folded, num_event_frames: int, num_windows: int):
    """Noise of the inputs' shapes."""
    torch = require("torch")
    generator = torch.Generator().manual_seed(0)
    size = see.INPUT_SIZE
    return tuple(
        torch.randn(num_windows, count, size, size, generator=generator)
        for count in (num_event_frames, seen_runtime.num_intensity_frames(folded))
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Lets torch's own warnings pass, such as that its older exporter is older."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
