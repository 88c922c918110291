"""The published protocol: several passes over a split, each with fresh random windows.

Batches and a predict function become probabilities by pass and clip. What a reader
would get wrong: the last batch is filled up with clips that were already there; their
rows are dropped by the mask, so that every clip counts once, and this is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

if TYPE_CHECKING:  # grain is not needed to read this module's results
    from seen_jax.data.batches import Batches

NUM_PASSES = 20  # Reference: the published protocol

PredictFn = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def evaluate(
    predict_fn: PredictFn,
    batches: Batches,
    num_passes: int = NUM_PASSES,
    progress: bool = False,
    by_rows: bool = False,
) -> np.ndarray:
    """Predicts every clip of a split once a pass.

    Args:
      predict_fn: from a batch, as `Batches.batch` gives it, to probabilities (B, K);
        the rows that only fill the batch up are given too, and what it says of them is
        dropped.
      batches: of purpose "eval", all rows in this process. Its seed, the pass and the
        clip alone decide the windows: neither batch size nor devices change them.
      num_passes: P.
      progress: shows a bar on a terminal.
      by_rows: predict_fn takes a whole pass at once, as `Batches.rows` gives it, and
        returns (S, B, K).

    Returns:
      (P, N, K) probabilities; clips in the records' order, classes in that of their
      labels.

    Raises:
      ValueError: batches that are not for evaluation or not all here, no pass, or
        predictions of another shape or not finite.
    """
    if batches.purpose != "eval":
        raise ValueError(f"batches: expected purpose 'eval', got {batches.purpose!r}")
    if num_passes < 1:
        raise ValueError(f"num_passes: expected 1 or more, got {num_passes}")
    size = len(batches)
    if by_rows:
        num_batches = num_passes
        given = (batches.rows(i * size, (i + 1) * size) for i in range(num_passes))
    else:
        num_batches = num_passes * size
        given = batches.iterate(0, num_batches)
    hidden = None if progress else True  # None: shown on terminals only
    clips, probabilities = [], []
    for batch in tqdm(given, "evaluate", num_batches, unit="batch", disable=hidden):
        predicted = _checked(np.asarray(predict_fn(batch)), batch["mask"])
        clips.append(batch["clip"][batch["mask"]])
        probabilities.append(predicted)
    shape = num_passes, len(batches.provider.records)
    order = _order(np.concatenate(clips), shape)
    found = np.concatenate(probabilities).reshape(*shape, -1)
    return np.take_along_axis(found, order[..., None], axis=1)


def _order(clips: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Returns the (P, N) places that sort each pass by clip; each is there once."""
    if clips.size == shape[0] * shape[1]:
        order = clips.reshape(shape).argsort(axis=1)
        in_order = np.take_along_axis(clips.reshape(shape), order, axis=1)
        if np.array_equal(in_order, np.broadcast_to(np.arange(shape[1]), shape)):
            return order
    raise ValueError(
        f"batches: expected each of {shape[1]} clips once in each of {shape[0]} "
        f"passes, got {clips.size} clips; give one process all rows of the batches"
    )


def _checked(predicted: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns the rows (n, K) that are not there to fill a batch up."""
    if predicted.shape[:-1] != mask.shape:
        expected = ", ".join(map(str, mask.shape))
        raise ValueError(
            f"predict_fn: expected probabilities ({expected}, K), got shape "
            f"{predicted.shape}"
        )
    # The arg max of nan is class 0: a network that diverged would look like a guess.
    if not np.isfinite(predicted[mask]).all():
        raise ValueError(
            "predict_fn: expected finite probabilities, got nan or infinity; the "
            "weights may have diverged, evaluate an earlier checkpoint"
        )
    return predicted[mask]
