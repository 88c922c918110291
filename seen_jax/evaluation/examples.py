"""Activity by clip and example windows of an evaluation's first pass, as one file.

examples.npz    beside the result files; the HTML page shows it

Examples are chosen so that other people and other lightings are seen each time.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seen_jax.errors import UserError, refuse
from seen_jax.files import explained, write_whole

FILE = "examples.npz"
NUM_MISTAKES = 6
# Kind and axes of each array; an axis has the same length wherever its letter stands.
WINDOWS = {
    "clips": (np.str_, "M"),
    "event_frames": (np.uint8, "MTHW"),
    "intensity_frames": (np.uint8, "MIHW"),
}
FILM = {
    "film_events": (np.uint8, "MSHW"),
    "film_intensity": (np.uint8, "MSHW"),
    "film_reads": (np.bool_, "2S"),
}
ACTIVITY = {
    "observed": (np.str_, "N"),
    "attention": (np.floating, "N3"),
    "spatial_rate": (np.floating, "N"),
    "rates": (np.floating, "NT5"),
}


@dataclass(frozen=True)
class Examples:
    """Windows of M clips and activity of N observed clips, both of the first pass.

    Attributes:
      clips: (M,) clip names.
      event_frames: (M, T, H, W) uint8.
      intensity_frames: (M, I, H, W) uint8, the I that the network sees.
      film_events, film_intensity: (M, S, H, W) uint8, the same windows with frames
        between those that the network reads; None, as film_reads, in older files.
      film_reads: (2, S) bool, which event and which intensity frames it reads.
      observed: (N,) clip names; None, as all below, where the network has no spikes.
      attention: (N, 3), weights of the three scales.
      spatial_rate: (N,) share of J_s that fires.
      rates: (N, T, 5), share of LIF1 to LIF5 that fires.

    Raises:
      UserError: an array is not as described or not finite.
    """

    clips: np.ndarray
    event_frames: np.ndarray
    intensity_frames: np.ndarray
    film_events: np.ndarray | None = None
    film_intensity: np.ndarray | None = None
    film_reads: np.ndarray | None = None
    observed: np.ndarray | None = None
    attention: np.ndarray | None = None
    spatial_rate: np.ndarray | None = None
    rates: np.ndarray | None = None

    def __post_init__(self):
        sizes = {"2": 2, "3": 3, "5": 5}
        for name, (kind, axes) in self.form().items():
            array = getattr(self, name)
            if (
                not np.issubdtype(array.dtype, kind)
                or 0 in array.shape
                or len(axes) != array.ndim
                or array.shape != tuple(map(sizes.setdefault, axes, array.shape))
            ):
                got = f"{array.dtype} {array.shape}"
                refuse(name, f"{kind.__name__} ({', '.join(axes)})", got)
            if kind is np.floating and not np.isfinite(array).all():
                remedy = "the weights may have diverged: evaluate an earlier checkpoint"
                refuse(name, "finite numbers", "nan or infinity", remedy)

    def form(self) -> dict[str, tuple[type, str]]:
        """Returns kind and axes of the arrays that there are."""
        film = FILM if self.film_reads is not None else {}
        activity = ACTIVITY if self.observed is not None else {}
        return film | activity | WINDOWS


def choose(
    label_index: np.ndarray, probabilities: np.ndarray, kinds: Sequence[np.ndarray]
) -> np.ndarray:
    """Chooses a clip of each class that is right, and confident mistakes.

    Args:
      label_index: (N,) true classes.
      probabilities: (N, K) of one pass.
      kinds: of (N,) values each, such as who is shown and in which light.

    Returns:
      (M,) clips, each once; without any that is right or wrong, the first.
    """
    is_right = probabilities.argmax(axis=1) == label_index
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    wrong = order[~is_right[order]]
    of_class = [
        np.flatnonzero(is_right & (label_index == k)) for k in np.unique(label_index)
    ]
    return np.array(varied([*of_class, *[wrong] * NUM_MISTAKES], kinds))


def varied(groups: Iterable[np.ndarray], kinds: Sequence[np.ndarray]) -> list[int]:
    """Takes a clip of each group: the first of those whose kinds were taken least."""
    taken, count = [], Counter()
    for group in groups:
        left = [i for i in group.tolist() if i not in taken]
        if left:
            of = {i: [(j, x[i]) for j, x in enumerate(kinds)] for i in left}
            best = min(left, key=lambda i: sum(count[x] for x in of[i]))
            taken.append(best)
            count.update(of[best])
    return taken


def save(directory: str | os.PathLike, examples: Examples) -> None:
    content = io.BytesIO()
    arrays = {name: getattr(examples, name) for name in examples.form()}
    np.savez_compressed(content, **arrays)
    path = Path(directory) / FILE
    with explained(path):
        write_whole(path, content.getvalue())


def load(directory: str | os.PathLike) -> Examples | None:
    """Returns the saved examples, None where there are none.

    Raises:
      UserError: the file is not of the form.
    """
    path, remedy = Path(directory) / FILE, "evaluate again or remove it"
    if not path.exists():
        return None
    if not path.is_file():  # a pipe would be waited for
        refuse(path, "a file", "a folder or a device", remedy)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            groups = [WINDOWS, *(x for x in (FILM, ACTIVITY) if {*x} & {*arrays})]
            return Examples(**{name: arrays[name] for x in groups for name in x})
    except UserError as error:
        raise UserError(f"{path}: {error}; {remedy}") from error
    except Exception as error:  # a broken archive raises one of many
        refuse(path, "the arrays that eval.py writes", error, remedy)
