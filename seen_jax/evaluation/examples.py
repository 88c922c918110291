"""Activity by clip and example windows of an evaluation's first pass, as one file.

examples.npz    beside the result files; the HTML page shows it
"""

from __future__ import annotations

import io
import os
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
      clips: (M,) clip names, starting with those of `first_of_each`.
      event_frames: (M, T, H, W) uint8.
      intensity_frames: (M, I, H, W) uint8, the I that the network sees.
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
    observed: np.ndarray | None = None
    attention: np.ndarray | None = None
    spatial_rate: np.ndarray | None = None
    rates: np.ndarray | None = None

    def __post_init__(self):
        sizes = {"3": 3, "5": 5}
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
                refuse(name, "finite numbers", "nan or infinity")

    def form(self) -> dict[str, tuple[type, str]]:
        """Returns kind and axes of the arrays that there are."""
        return (ACTIVITY if self.observed is not None else {}) | WINDOWS


def choose(label_index: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Chooses the first clip of each class and the most confident mistakes.

    Args:
      label_index: (N,) true classes.
      probabilities: (N, K) of one pass.

    Returns:
      (M,) clips, each once; the mistakes follow, the most confident first.
    """
    both = *first_of_each(label_index), *mistakes(label_index, probabilities)
    return np.array([*dict.fromkeys(both)])


def first_of_each(label_index: np.ndarray) -> np.ndarray:
    """Returns the first clip of each class that has any."""
    return np.unique(label_index, return_index=True)[1]


def mistakes(label_index: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns the wrongly classified clips of the highest scores, highest first."""
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    wrong = probabilities.argmax(axis=1)[order] != label_index[order]
    return order[wrong][:NUM_MISTAKES]


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
            names = WINDOWS | (ACTIVITY if {*ACTIVITY} & {*arrays} else {})
            return Examples(**{name: arrays[name] for name in names})
    except UserError as error:
        raise UserError(f"{path}: {error}; {remedy}") from error
    except Exception as error:  # a broken archive raises one of many
        refuse(path, "the arrays that eval.py writes", error, remedy)
