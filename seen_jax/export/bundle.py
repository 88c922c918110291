"""A checkpoint -> a bundle: the folder that is copied to the Jetson.

    native, torch   seen.npz          folded weights, plain arrays
    native          seen_spikes.c     the kernel, compiled at its first start
    torch           seen.pt           epoch and state_dict, names as in `convert`
    torchscript     seen.ts           any number of windows
    onnx            seen.onnx         opset 13, one window
                    seen_dynamic.onnx any number of windows
    every format    seen_runtime.py   the program that runs there
                    manifest.json     what they are, where from, how they match JAX

A bundle is complete or absent, and is written only if every program in it gives JAX's
logits, and names the classes as the records do, on windows of the data. A format that
cannot be compared here is not written.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import linen as nn

from seen_jax import files, see
from seen_jax.data.batches import Batches
from seen_jax.errors import UserError, check_option, counted, refuse
from seen_jax.evaluation.restored import Restored
from seen_jax.export import compare, torch_files
from seen_jax.export.convert import torch_from_variables
from seen_jax.models.fast.network import plain
from seen_jax.models.seen import SEEN
from seen_jax.runtime import seen_runtime

PACKAGES = {  # that a format needs here
    "native": (),
    "torch": ("torch",),
    "torchscript": ("torch",),
    "onnx": ("torch", "onnx", "onnxruntime"),
}
NUM_WINDOWS = 128  # that the programs are compared on
RULE = "a new folder, an empty one or a bundle to replace"


def write_bundle(
    restored: Restored,
    batches: Batches,
    out: str | os.PathLike,
    formats: Collection[str] = (),
    num_windows: int = NUM_WINDOWS,
) -> dict[str, Any]:
    """Writes a bundle; returns its manifest.

    Args:
      batches: of the clips to compare on, with purpose "eval".
      out: a folder that is new, empty, or a bundle, which is then replaced.
      formats: of `seen_runtime.FORMATS`; none: all that can be written here.

    Raises:
      UserError: another network than SEEN, a folder with other things or that cannot be
        written, a format that cannot be written here, or a program that does not agree
        with JAX.
      BackendError: a program does not run at all.
    """
    formats = check_ready(out, formats)
    check_network(restored.model)
    manifest = _describe(restored, batches)
    with files.new_folder(out, RULE, _obstacle) as folder:
        state_dict = torch_from_variables(restored.variables)
        write_files(folder, state_dict, manifest, formats)
        _write_manifest(folder, manifest)  # without figures, for the runtime to read
        manifest["parity"] = compare.compare(
            restored, batches, folder, formats, num_windows
        )
        _write_manifest(folder, manifest)
    return manifest


def check_ready(out: str | os.PathLike, formats: Collection[str] = ()) -> list[str]:
    """Raises what `write_bundle` would raise, as far as known beforehand.

    Returns:
      The formats to write, in the order of `seen_runtime.FORMATS`.
    """
    for name in formats:
        check_option("formats", name, seen_runtime.FORMATS)
    files.check_free(out, RULE, _obstacle)
    asked = [x for x in seen_runtime.FORMATS if x in formats or not formats]
    lacks = {name: text for name in asked if (text := missing(name))}
    if lacks and (formats or len(lacks) == len(asked)):
        name, text = next(iter(lacks.items()))
        raise UserError(f"{name}: {text}")
    return [name for name in asked if name not in lacks]


def missing(name: str) -> str:
    """Returns what is missing here to write a format, and the remedy; or ""."""
    if name == "native":
        try:
            seen_runtime.compile_kernel(compare.KERNEL)
        except OSError as error:
            has_torch = importlib.util.find_spec("torch") is not None
            lacks = "" if has_torch else f" ({torch_files.not_installed('torch')})"
            return (
                f"expected a C compiler, to compare it with JAX, got {error}; install "
                f"gcc or clang (and name it in CC), or give --formats=torch{lacks}"
            )
    for package in PACKAGES[name]:
        if importlib.util.find_spec(package) is None:
            return torch_files.not_installed(package)
    return ""


def _obstacle(folder: Path) -> str:
    """Says what a folder holds, if it is neither empty nor a bundle."""
    ours = {path.name: _is_ours(path) for path in folder.iterdir()}
    bundle = ours.get(seen_runtime.PROGRAM) and ours.get(seen_runtime.MANIFEST)
    others = [name for name in ours if not (bundle and ours[name])]
    return f"one with {min(others)} in it" if others else ""


def _is_ours(path: Path) -> bool:
    """Whether a file may be part of a bundle, or is left there by its use.

    The latter are Python's cache of the runtime and TensorRT's engines, which are
    useless to another bundle.
    """
    if path.is_dir():
        return path.name == "__pycache__"
    known = (*seen_runtime.FILES, seen_runtime.MANIFEST)
    return path.name in known or path.suffix == ".engine"


def check_network(model: nn.Module) -> None:
    """Raises a UserError if no program of a bundle computes this network."""
    if not isinstance(plain(model), SEEN):
        rule = "seen or a variant of it, which a bundle's programs compute"
        remedy = "export a run of that; others are evaluated here alone (eval.py)"
        refuse("network", rule, type(model).__name__, remedy)
    for name, value in compare.constants(model).items():
        rule, holds = seen_runtime.FIELDS[name]
        if not holds(value, {}):
            refuse(name, rule, repr(value), "only that is exported")


def to_text(manifest: dict[str, Any]) -> str:
    """Says how the programs of a bundle agree with JAX, and which formats it lacks."""
    lines = [
        f"{name}: {counted(figures['num_windows'], 'window')}, largest difference of a "
        f"logit {figures['largest_relative']:.1e} of the window's largest, "
        f"{100 * figures['share_equal']:.1f} % the same emotion"
        + (f", {len(x)} decided by rounding" if (x := figures["by_rounding"]) else "")
        for name, figures in manifest["parity"].items()
    ]
    formats = seen_runtime.formats_of(manifest["files"])
    lines.append(f"formats: {', '.join(formats)}")
    left_out = {}
    for name in [x for x in seen_runtime.FORMATS if x not in formats]:
        left_out.setdefault(missing(name) or "not asked for", []).append(name)
    lines += [f"left out: {', '.join(x)}: {why}" for why, x in left_out.items()]
    trust = f"--trust={manifest['sha256']}"
    return "\n".join([*lines, f"to run this bundle and no other: {trust}"])


def write_files(
    folder: Path,
    state_dict: Mapping[str, np.ndarray],
    manifest: dict[str, Any],
    formats: Collection[str],
) -> None:
    """Writes the files of formats, and their hashes into the manifest."""
    folded = seen_runtime.fold(state_dict)
    count, constants = manifest["num_event_frames"], seen_runtime.constants(manifest)
    for name in seen_runtime.files_of(formats):
        path = folder / name
        if name == "seen.npz":
            np.savez(path, **folded)
        elif name == "seen.pt":
            epoch = manifest["trained"]["epoch"]
            torch_files.write_checkpoint(path, state_dict, epoch)
        elif name == "seen.ts":
            torch_files.write_torchscript(path, folded, count, **constants)
        elif name in seen_runtime.ONNX:
            dynamic = name == seen_runtime.ONNX[1]
            torch_files.write_onnx(path, folded, count, dynamic=dynamic, **constants)
        else:
            shutil.copyfile(Path(seen_runtime.__file__).with_name(name), path)
        size, sha256 = path.stat().st_size, seen_runtime.file_hash(path)
        manifest["files"][name] = {"bytes": size, "sha256": sha256}


def _describe(restored: Restored, batches: Batches) -> dict[str, Any]:
    """Makes the manifest, without files, figures and its own hash."""
    setting, facts = batches.setting, restored.facts
    names = ("network", "dataset", "epoch", "step", "choice", "seed")
    trained = {"source": batches.clips.source, "revision": facts["trained_at"]}
    return {
        "format": seen_runtime.FORMAT,
        "classes": list(facts["labels"]),
        "setting": str(setting),
        "frames_per_s": batches.clips.frames_per_s,
        "num_event_frames": setting.num_event_frames,
        "skip": setting.skip,
        "intensity_places": batches.places,
        "image_size": see.INPUT_SIZE,
        "event_mean": see.EVENT_MEAN,
        "event_std": see.EVENT_STD,
        "intensity_mean": see.INTENSITY_MEAN,
        "intensity_std": see.INTENSITY_STD,
        **compare.constants(restored.model),
        "trained": {**trained, **{name: facts[name] for name in names}},
        "exported_at": facts["evaluated_at"],
        "files": {},
    }


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["sha256"] = seen_runtime.manifest_hash(manifest)
    text = json.dumps(manifest, indent=1) + "\n"
    (folder / seen_runtime.MANIFEST).write_text(text, encoding="utf-8")
