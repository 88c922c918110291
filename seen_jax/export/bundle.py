"""A checkpoint that counts -> a bundle: the folder that goes onto the Jetson.

    seen.pt              epoch and state_dict, names and layouts as published
    seen.ts              TorchScript, any number of windows
    seen.onnx            opset 13, one window; seen_dynamic.onnx, any number
    seen_runtime.py      the program that runs there
    manifest.json        what they are, where they come from, how they agree with JAX

A bundle is there whole or not at all, and only if every file that can run gives JAX's
logits on windows of the data.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from seen_jax import see
from seen_jax.data.batches import Batches
from seen_jax.evaluation.restored import Restored
from seen_jax.export import parity, place, torch_files
from seen_jax.export.convert import torch_from_variables
from seen_jax.images import normalise_events, normalise_intensity
from seen_jax.models.fast.network import network, options_of
from seen_jax.models.seen import SEEN
from seen_jax.runtime import seen_runtime

NUM_WINDOWS = 128  # that the programs are compared on
BATCH_SIZE = 32
PROGRAMS = ("torch", "torchscript", "onnxruntime")


def write_bundle(
    restored: Restored,
    batches: Batches,
    out: str | os.PathLike,
    num_windows: int = NUM_WINDOWS,
) -> dict[str, Any]:
    """Writes a bundle.

    Args:
      restored: the checkpoint.
      batches: of the clips to compare on.
      out: a folder that is new, empty, or a bundle, which is then replaced.
      num_windows: the most to compare on.

    Returns:
      The manifest.

    Raises:
      ValueError: a network that a published checkpoint cannot hold, a folder with other
        things, or a program that gives other logits than JAX.
      OSError: the folder cannot be written.
      BackendError: a program does not run at all.
      ModuleNotFoundError: torch, onnx or onnxruntime is not installed.
    """
    check_ready(out)
    check_published(restored.model)
    with place.replaced(out) as new:
        with place.reported(Path(out)):
            _write_files(restored, batches, new)
            manifest = _describe(restored, batches, new)
            _write_manifest(new, manifest)  # without figures, to be read by the runtime
        manifest["parity"] = measure(restored, batches, new, num_windows)
        with place.reported(Path(out)):
            _write_manifest(new, manifest)
    return manifest


def check_ready(out: str | os.PathLike) -> None:
    """Raises what `write_bundle` would, as far as it can be known beforehand."""
    for package in ("torch", "onnx", "onnxruntime"):
        torch_files.require(package)
    place.check_free(out)


def measure(
    restored: Restored, batches: Batches, bundle: Path, num_windows: int
) -> dict[str, dict[str, Any]]:
    """Compares every program with JAX on the first windows of an evaluation.

    Raises:
      ValueError: one gives other logits; names program and windows.
    """
    names, inputs = windows(batches, num_windows)
    expected = jax_logits(restored, *inputs)

    def by_rounding(numbers):
        return same_in_float64(restored, *(x[numbers] for x in inputs))

    def figures(program, logits):
        return parity.check(program, expected, logits, names, by_rounding).to_json()

    found = {}
    for backend in PROGRAMS:
        runtime = seen_runtime.load(bundle, backend)
        found[backend] = figures(backend, runtime.logits(*inputs))
        found[backend]["program"] = runtime.device
    singly = [
        runtime.logits(*(x[i : i + 1] for x in inputs)) for i in range(len(names))
    ]
    name = "onnxruntime, one window at a time"
    return found | {name: figures(name, np.concatenate(singly))}


def same_in_float64(
    restored: Restored, event_frames: np.ndarray, intensity_frames: np.ndarray
) -> np.ndarray:
    """Says of windows whether JAX and the runtime's network agree in float64: (N,)."""
    torch = torch_files.require("torch")
    inputs = [x.astype(np.float64) for x in (event_frames, intensity_frames)]
    folded = seen_runtime.fold(torch_from_variables(restored.variables), np.float64)
    network = seen_runtime.make_network(folded, event_frames.shape[1])
    with torch.no_grad():
        got = network(*map(torch.from_numpy, inputs)).numpy()
    with jax.enable_x64(True):
        variables = jax.tree.map(_as_float64, restored.variables)
        exact = replace(restored, variables=variables)
        expected = jax_logits(exact, *inputs)
    return parity.relative(expected, got) <= parity.EXACT


def _as_float64(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64) if x.dtype == np.float32 else x


def windows(
    batches: Batches, num_windows: int
) -> tuple[list[str], tuple[np.ndarray, np.ndarray]]:
    """Takes the first windows of the first pass of an evaluation.

    Returns:
      Names of their clips, and the network's inputs: event frames (N, T, 90, 90) and
      intensity frames (N, 2, 90, 90), float32, normalised.
    """
    event_frames, intensity_frames, names = [], [], []
    for batch in batches.iterate(0, len(batches)):
        keep = batch["mask"]
        event_frames += list(batch["event_frames"][keep])
        intensity_frames += list(batch["intensity_frames"][keep])
        names += [batches.clips.names[i] for i in batch["clip"][keep]]
        if len(names) >= num_windows:
            break
    return names[:num_windows], (
        normalise_events(np.stack(event_frames[:num_windows])),
        normalise_intensity(np.stack(intensity_frames[:num_windows])),
    )


def jax_logits(
    restored: Restored, event_frames: np.ndarray, intensity_frames: np.ndarray
) -> np.ndarray:
    """Computes logits (N, K) in full precision, a few windows at a time."""
    model = network(**options_of(restored.model))
    size = BATCH_SIZE
    begins = range(0, len(event_frames), size)
    logits = [
        _apply(
            model,
            restored.variables,
            event_frames[i : i + size],
            intensity_frames[i : i + size],
        )
        for i in begins
    ]
    return np.concatenate([np.asarray(x) for x in logits])


@functools.partial(jax.jit, static_argnums=0)
def _apply(model: SEEN, variables, event_frames: np.ndarray, intensity_frames):
    return model.apply(
        variables, event_frames=event_frames, intensity_frames=intensity_frames
    )


def to_text(manifest: dict[str, Any]) -> str:
    """Says how the programs of a bundle agree with JAX."""
    lines = [
        f"{name}: {figures['num_windows']} windows, largest difference of a logit "
        f"{figures['largest_relative']:.1e} of the window's largest, "
        f"{100 * figures['share_equal']:.1f} % the same emotion"
        + (f", {len(x)} decided by rounding" if (x := figures["by_rounding"]) else "")
        for name, figures in manifest["parity"].items()
    ]
    return "\n".join(lines)


def _write_files(restored: Restored, batches: Batches, folder: Path) -> None:
    state_dict = torch_from_variables(restored.variables)
    count = batches.setting.num_event_frames
    folded = seen_runtime.fold(state_dict)
    epoch = int(restored.facts["epoch"])
    torch_files.write_checkpoint(folder / "seen.pt", state_dict, epoch)
    torch_files.write_torchscript(folder / "seen.ts", folded, count)
    for name, dynamic in (("seen.onnx", False), ("seen_dynamic.onnx", True)):
        torch_files.write_onnx(folder / name, folded, count, dynamic=dynamic)
    shutil.copyfile(seen_runtime.__file__, folder / "seen_runtime.py")


def _describe(restored: Restored, batches: Batches, folder: Path) -> dict[str, Any]:
    """Makes the manifest, but for the figures and its own hash."""
    setting = batches.setting
    kept = ("dataset", "epoch", "step", "choice", "seed")
    facts = {"source": batches.clips.source}
    facts |= {name: restored.facts[name] for name in kept}
    return {
        "format": seen_runtime.FORMAT,
        "classes": restored.facts["labels"],
        "setting": str(setting),
        "num_event_frames": setting.num_event_frames,
        "skip": setting.skip,
        "intensity_places": batches.places,
        "image_size": see.INPUT_SIZE,
        "event_mean": see.EVENT_MEAN,
        "event_std": see.EVENT_STD,
        "intensity_mean": see.INTENSITY_MEAN,
        "intensity_std": see.INTENSITY_STD,
        "trained": {**facts, "revision": restored.facts["trained_at"]},
        "exported_at": restored.facts["evaluated_at"],
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


def check_published(model: SEEN) -> None:
    """Raises a ValueError if the network is none that a published checkpoint holds."""
    known = {
        "readout": ("mean_membrane",),
        "kernels": ("copied", "shared"),
        "attention": ("copied",),
    }
    for option, values in known.items():
        given = getattr(model, option)
        if given not in values:
            rule = f"{' or '.join(map(repr, values))}, as the published network has"
            raise ValueError(
                f"{option}: expected {rule}, got {given!r}; only that is exported"
            )
