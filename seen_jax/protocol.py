"""The published protocol: several passes over a split, each with fresh random windows.

Note: the last batch of a pass is filled up with clips that were already shown; their
rows are dropped by the mask, so that every clip counts once, and this is checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from tqdm import tqdm

from seen_jax.errors import refuse

NUM_PASSES = 20  # Reference: the published protocol
MAX_PASSES = 10_000  # each has a result file

Answer = tuple[Mapping[str, np.ndarray], np.ndarray]


def evaluate(
    answers: Iterable[Answer], num_clips: int, num_passes: int, progress: bool = False
) -> np.ndarray:
    """Collects the predictions of every clip, once a pass.

    Args:
      answers: `clip` and `mask` (..., B), and probabilities (..., B, K) of those rows;
        rows whose mask is False only fill a batch up. Passes follow each other.
      num_clips: N.
      num_passes: P, 1 to `MAX_PASSES`.
      progress: shows a bar on a terminal.

    Returns:
      (P, N, K) probabilities, in the order of the clips.

    Raises:
      UserError: a clip does not appear exactly once in each pass, or predictions have
        another shape or are not finite.
    """
    check_passes(num_passes)
    clips, probabilities = [], []
    hidden = None if progress else True  # None: shown on terminals only
    with tqdm(total=num_passes * num_clips, desc="evaluate", disable=hidden) as bar:
        for rows, answer in answers:
            mask = rows["mask"]
            clips.append(rows["clip"][mask])
            probabilities.append(_checked(np.asarray(answer), mask))
            bar.update(mask.sum())
    shape = num_passes, num_clips
    order = _order(np.concatenate(clips), shape)
    all_rows = np.concatenate(probabilities).reshape(*shape, -1)
    return np.take_along_axis(all_rows, order[..., None], axis=1)


def check_passes(num_passes: int) -> None:
    if not 1 <= num_passes <= MAX_PASSES:
        refuse("passes", f"1 to {MAX_PASSES}", num_passes)


def _order(clips: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Returns the (P, N) places that sort each pass by clip; each is there once."""
    if clips.size == shape[0] * shape[1]:
        order = clips.reshape(shape).argsort(axis=1)
        in_order = np.take_along_axis(clips.reshape(shape), order, axis=1)
        if np.array_equal(in_order, np.broadcast_to(np.arange(shape[1]), shape)):
            return order
    rule = f"each of {shape[1]} clips once in each of {shape[0]} passes"
    refuse("answers", rule, f"{clips.size} clips", "show all rows of all batches")


def _checked(answer: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns the rows (n, K) that do not just fill a batch up."""
    if answer.shape[:-1] != mask.shape:
        expected = ", ".join(map(str, mask.shape))
        refuse("predictions", f"probabilities ({expected}, K)", f"shape {answer.shape}")
    # The arg max of nan is class 0: a network that diverged would look like a guess.
    if not np.isfinite(answer[mask]).all():
        remedy = "the weights may have diverged: evaluate an earlier checkpoint"
        refuse("predictions", "finite probabilities", "nan or infinity", remedy)
    return answer[mask]
