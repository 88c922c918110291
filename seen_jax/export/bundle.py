"""A checkpoint -> a bundle: the folder that is copied to the Jetson.

    seen.npz             folded weights of the runtime's network, plain arrays
    seen.pt              epoch and state_dict, names and layouts as published
    seen.ts              TorchScript, any number of windows
    seen.onnx            opset 13, one window; seen_dynamic.onnx, any number
    seen_runtime.py      the program that runs there
    seen_spikes.c        its kernel, compiled at its first start
    manifest.json        what they are, where they come from, how they agree with JAX

A bundle is complete or absent, and is written only if every program in it gives JAX's
logits, and names the classes as the records do, on windows of the data.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from flax import linen as nn

from seen_jax import files, see
from seen_jax.data.batches import Batches
from seen_jax.errors import one_of, refuse
from seen_jax.evaluation.restored import Restored
from seen_jax.export import compare, torch_files
from seen_jax.export.convert import torch_from_variables
from seen_jax.runtime import seen_runtime

NUM_WINDOWS = 128  # that the programs are compared on
RULE = "a new folder, an empty one or a bundle to replace"


def write_bundle(
    restored: Restored,
    batches: Batches,
    out: str | os.PathLike,
    num_windows: int = NUM_WINDOWS,
) -> dict[str, Any]:
    """Writes a bundle.

    Args:
      restored: the checkpoint.
      batches: of the clips to compare on, with purpose "eval".
      out: a folder that is new, empty, or a bundle, which is then replaced.
      num_windows: the most to compare on.

    Returns:
      The manifest.

    Raises:
      UserError: a network that a published checkpoint cannot hold, a folder with other
        things or that cannot be written, a package that is not installed, or a program
        that does not agree with JAX.
      BackendError: a program does not run at all.
    """
    check_ready(out)
    check_published(restored.model)
    with files.new_folder(out, RULE, _obstacle) as folder:
        _write_files(restored, batches, folder)
        manifest = _describe(restored, batches, folder)
        _write_manifest(folder, manifest)  # without figures, for the runtime to read
        manifest["parity"] = compare.compare(restored, batches, folder, num_windows)
        _write_manifest(folder, manifest)
    return manifest


def check_ready(out: str | os.PathLike) -> None:
    """Raises what `write_bundle` would, as far as it can be known beforehand."""
    for package in ("torch", "onnx", "onnxruntime"):
        torch_files.require(package)
    files.check_free(out, RULE, _obstacle)


def _obstacle(folder: Path) -> str:
    """Says what a folder holds, if it is neither empty nor a bundle."""
    ours = {path.name: _is_ours(path) for path in folder.iterdir()}
    bundle = ours.get("seen.pt") and ours.get(seen_runtime.MANIFEST)
    others = [name for name in ours if not (bundle and ours[name])]
    return f"one with {min(others)} in it" if others else ""


def _is_ours(path: Path) -> bool:
    """Whether it may be part of a bundle, or what its use leaves there.

    That is Python's folder, where the runtime was imported, and TensorRT's engines,
    which are of no use to another bundle.
    """
    if path.is_dir():
        return path.name == "__pycache__"
    known = (*seen_runtime.FILES, seen_runtime.MANIFEST)
    return path.name in known or path.suffix == ".engine"


def check_published(model: nn.Module) -> None:
    """Raises a UserError if the network is none that a published checkpoint holds."""
    known = {
        "readout": ("mean_membrane",),
        "kernels": ("copied", "shared"),
        "attention": ("copied",),
    }
    for option, values in known.items():
        value = getattr(model, option)
        if value not in values:
            rule = f"{one_of(values)}, as the published network has"
            refuse(option, rule, repr(value), "only that is exported")


def to_text(manifest: dict[str, Any]) -> str:
    """Says how the programs of a bundle agree with JAX."""
    lines = [
        f"{name}: {figures['num_windows']} windows, largest difference of a logit "
        f"{figures['largest_relative']:.1e} of the window's largest, "
        f"{100 * figures['share_equal']:.1f} % the same emotion"
        + (f", {len(x)} decided by rounding" if (x := figures["by_rounding"]) else "")
        for name, figures in manifest["parity"].items()
    ]
    trust = f"--trust={manifest['sha256']}"
    return "\n".join([*lines, f"to run this bundle and no other: {trust}"])


def _write_files(restored: Restored, batches: Batches, folder: Path) -> None:
    state_dict = torch_from_variables(restored.variables)
    folded = seen_runtime.fold(state_dict)
    count, epoch = batches.setting.num_event_frames, int(restored.facts["epoch"])
    torch_files.write_weights(folder / "seen.npz", folded)
    torch_files.write_checkpoint(folder / "seen.pt", state_dict, epoch)
    torch_files.write_torchscript(folder / "seen.ts", folded, count)
    for name, dynamic in (("seen.onnx", False), ("seen_dynamic.onnx", True)):
        torch_files.write_onnx(folder / name, folded, count, dynamic=dynamic)
    runtime = Path(seen_runtime.__file__)
    for name in (runtime.name, seen_runtime.KERNEL):
        shutil.copyfile(runtime.with_name(name), folder / name)


def _describe(restored: Restored, batches: Batches, folder: Path) -> dict[str, Any]:
    """Makes the manifest, without the figures and its own hash."""
    setting, facts = batches.setting, restored.facts
    kept = ("dataset", "epoch", "step", "choice", "seed")
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
        "trained": {**trained, **{name: facts[name] for name in kept}},
        "exported_at": facts["evaluated_at"],
        "files": {
            name: {
                "bytes": (folder / name).stat().st_size,
                "sha256": seen_runtime.file_hash(folder / name),
            }
            for name in seen_runtime.FILES
        },
    }


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["sha256"] = seen_runtime.manifest_hash(manifest)
    text = json.dumps(manifest, indent=1) + "\n"
    (folder / seen_runtime.MANIFEST).write_text(text, encoding="utf-8")
