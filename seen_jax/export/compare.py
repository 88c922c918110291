"""The programs of a bundle against JAX: the same logits, and the same class names."""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from seen_jax.data.batches import Batches
from seen_jax.errors import refuse
from seen_jax.evaluation.restored import Restored
from seen_jax.export import parity, torch_files
from seen_jax.export.convert import torch_from_variables
from seen_jax.images import normalise_events, normalise_intensity
from seen_jax.models.precision import PRODUCTS
from seen_jax.runtime import seen_runtime

PROGRAMS = ("torch", "torchscript", "native", "onnxruntime")
KERNEL = Path(seen_runtime.__file__).with_name(seen_runtime.KERNEL)
BATCH_SIZE = 16  # windows that JAX predicts at once


def compare(
    restored: Restored,
    batches: Batches,
    bundle: str | os.PathLike,
    formats: Collection[str],
    num_windows: int,
) -> dict[str, dict[str, Any]]:
    """Compares every program with JAX on the first windows of an evaluation.

    Args:
      batches: of purpose "eval".
      num_windows: the most to compare on.

    Returns:
      What `parity.check` returns by program, with the version of each.

    Raises:
      UserError: a program gives other logits, or other class names than the records.
      BackendError: a program does not run at all.
    """
    names, inputs = windows(batches, num_windows)
    expected = jax_logits(restored, *inputs)

    def check(program, logits):
        def by_rounding(numbers):
            return same_in_float64(restored, program, *(x[numbers] for x in inputs))

        return parity.check(program, expected, logits, names, by_rounding)

    figures = {}
    for program in PROGRAMS:
        if seen_runtime.BACKENDS[program].format not in formats:
            continue
        runtime = seen_runtime.load(bundle, program)
        logits = runtime.logits(*inputs)
        figures[program] = check(program, logits) | {"program": runtime.device}
        check_names(runtime, batches.clips.labels, logits)
        if program == "onnxruntime":  # of two models
            each = zip(*(np.split(x, len(x)) for x in inputs), strict=True)
            singly = np.concatenate([runtime.logits(*window) for window in each])
            program = f"{program}, one window at a time"
            figures[program] = check(program, singly)
    return figures


def constants(model: nn.Module) -> dict[str, Any]:
    """Returns what the weights do not tell of a network, by its name in a manifest."""
    neuron = model.neuron
    named = {"decay": neuron.decay, "threshold": neuron.threshold}
    return {"readout": model.readout, **named}


def check_names(
    runtime: seen_runtime.Runtime, labels: Sequence[str], logits: np.ndarray
) -> None:
    """Raises a UserError if a program names classes by logits (N, K) otherwise."""
    best = logits.argmax(axis=1)
    named = [*runtime.manifest["classes"], *map(runtime.name, logits)]
    expected = [*labels, *(labels[i] for i in best)]
    if named != expected:
        rule = f"the classes of the records, {', '.join(labels)}"
        refuse(runtime.device, rule, ", ".join(runtime.manifest["classes"]))


def windows(
    batches: Batches, num_windows: int
) -> tuple[list[str], tuple[np.ndarray, np.ndarray]]:
    """Takes the windows that the first pass of an evaluation shows of the first clips.

    Returns:
      Names of the N clips, and the network's inputs: event frames (N, T, 90, 90) and
      intensity frames (N, 2, 90, 90), float32, normalised.
    """
    clips = np.arange(min(num_windows, len(batches.clips)))
    event_frames, intensity_frames = batches.first_windows(clips)
    inputs = normalise_events(event_frames), normalise_intensity(intensity_frames)
    return [batches.clips.names[i] for i in clips], inputs


def jax_logits(
    restored: Restored, event_frames: np.ndarray, intensity_frames: np.ndarray
) -> np.ndarray:
    """Computes logits (N, K) in full precision, a few windows at a time.

    The kernel in C takes no part: it is one of the programs that are compared.
    """
    model = restored.model
    if hasattr(model, "product"):
        model = model.clone(product=PRODUCTS["float32"], follow_spikes=False)
    starts = range(BATCH_SIZE, len(event_frames), BATCH_SIZE)
    split = [np.split(x, starts) for x in (event_frames, intensity_frames)]
    parts = zip(*split, strict=True)
    return np.concatenate([_apply(model, restored.variables, *x) for x in parts])


@functools.partial(jax.jit, static_argnums=0)
def _apply(model, variables, event_frames, intensity_frames):
    return model.apply(
        variables, event_frames=event_frames, intensity_frames=intensity_frames
    )


def same_in_float64(
    restored: Restored,
    program: str,
    event_frames: np.ndarray,
    intensity_frames: np.ndarray,
) -> np.ndarray:
    """Tells for each window whether JAX and a program agree in float64: (N,).

    The kernel in C has a form of its own for that; the other programs are all made of
    the network in torch.
    """
    inputs = [x.astype(np.float64) for x in (event_frames, intensity_frames)]
    folded = seen_runtime.fold(torch_from_variables(restored.variables), np.float64)
    count, options = event_frames.shape[1], constants(restored.model)
    if program == "native":
        library = seen_runtime.compile_kernel(KERNEL, "-DREAL=double")
        logits, _ = seen_runtime.Kernel(library, folded, count, **options)(*inputs)
    else:
        torch = torch_files.require("torch")
        network = seen_runtime.make_network(folded, count, **options)
        with torch.no_grad():
            logits = network(*map(torch.from_numpy, inputs)).numpy()
    with jax.enable_x64(True):
        variables = jax.tree.map(
            lambda x: x.astype(np.float64) if x.dtype == np.float32 else x,
            restored.variables,
        )
        expected = jax_logits(replace(restored, variables=variables), *inputs)
    return parity.relative(expected, logits) <= parity.EXACT
