"""The table of clips: names, classes, segments and metadata, a row per clip.

Every program asks the table, never a clip's name or a constant: how many classes there
are, what they are called and in which order is what the split file said when the
records were built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from seen_jax import see
from seen_jax.errors import counted, refuse

FIELDS = see.METADATA_FIELDS  # those that names of SEE have


@dataclass(frozen=True, eq=False)
class Clips:
    """N clips of a built dataset.

    Attributes:
      names: N clip names.
      labels: K class names, in the order of the class indices.
      label_index: int32 (N,), class index.
      segments: int32 (N, 2), the frames [start, end) to use.
      metadata: field to (N,) numbers or texts, for example "volunteer" and "lighting";
        a text field is "" where the clip has none.
      numbers: int32 (N,), the clip's index among the records.
      num_frames: int32 (N,), frames of each kind, those outside the segment too.
      first_rows: int32 (N,), the row of the clip's first frame in the decoded store.
      split: the records' split, `train` or `test`.
      source: such as `simulated (hard)`, or `real`.
      fingerprint: of the records; equal for equal records, wherever they were built.
      frames_per_s: of each kind of frame.
      left_out: clips of the split that the build left out for their problems.
      dropped: clip name to how many event and intensity frames the build dropped.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    label_index: np.ndarray
    segments: np.ndarray
    metadata: Mapping[str, np.ndarray]
    numbers: np.ndarray
    num_frames: np.ndarray
    first_rows: np.ndarray
    split: str = ""
    source: str = ""
    fingerprint: str = ""
    frames_per_s: float = see.FRAMES_PER_S
    left_out: tuple[str, ...] = ()
    dropped: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: np.ndarray | Sequence[int]) -> Clips:
        """Returns a table of some of the clips, in the order of `indices` (M,)."""
        indices = np.asarray(indices, np.intp)
        arrays = ("label_index", "segments", "numbers", "num_frames", "first_rows")
        return replace(
            self,
            names=tuple(self.names[i] for i in indices),
            metadata={name: x[indices] for name, x in self.metadata.items()},
            **{name: getattr(self, name)[indices] for name in arrays},
        )

    def rows(self, clip: np.ndarray, event_index: np.ndarray) -> np.ndarray:
        """Returns the rows of windows in the decoded store.

        Args:
          clip: (...) integers, rows of this table.
          event_index: (..., T) integers, frame numbers within each clip.

        Returns:
          (..., T) int32.
        """
        return self.first_rows[clip][..., None] + event_index


def from_names(
    names: Sequence[str],
    labels: Sequence[str],
    segments: Sequence[Sequence[int]],
    **provenance: Any,
) -> Clips:
    """Returns the table of clips whose names carry SEE's nine fields."""
    fields = [see.ClipName.parse(name) for name in names]
    index = {
        "names": names,
        "segments": segments,
        "labels": [x.emotion for x in fields],
        "num_frames": [x.length for x in fields],
        "metadata": {name: [getattr(x, name) for x in fields] for name in FIELDS},
    }
    return from_index(index, labels, **provenance)


def from_index(
    index: Mapping[str, Any], labels: Sequence[str], **provenance: Any
) -> Clips:
    """Returns the table of the clips of an index, as the builder writes it.

    Args:
      index: names, segments, labels, num_frames (N each) and metadata (field to N).
      **provenance: the attributes of `Clips` from `split` on.
    """
    lengths = np.array(index["num_frames"], np.int32)
    return Clips(
        names=tuple(index["names"]),
        labels=tuple(labels),
        label_index=np.array([*map([*labels].index, index["labels"])], np.int32),
        segments=np.array(index["segments"], np.int32).reshape(-1, 2),
        metadata={name: np.array(x) for name, x in index["metadata"].items()},
        numbers=np.arange(len(lengths), dtype=np.int32),
        num_frames=lengths,
        first_rows=np.cumsum(lengths, dtype=np.int32) - lengths,
        **provenance,
    )


def hold_out(clips: Clips, num_volunteers: int) -> tuple[Clips, Clips]:
    """Divides clips in two so that no volunteer is in both parts.

    Which volunteers are held out depends on the clips and their number alone, not on a
    training's seed, so that seeds can be compared.

    Returns:
      The clips of the other volunteers, and those of the held out ones.

    Raises:
      UserError: one part would be empty.
    """
    volunteer = clips.metadata.get("volunteer")
    if volunteer is None or "" in volunteer.tolist():
        rule = "clips with a volunteer each, in their names or metadata"
        refuse("validation_volunteers", rule, "clips without", "select the last epoch")
    volunteers = np.unique(volunteer)
    if not 0 < num_volunteers < len(volunteers):
        rule = (
            f"1 to {len(volunteers) - 1} of the {len(volunteers)} in the training part"
        )
        remedy = "give --config.validation_volunteers=1, or record more volunteers"
        refuse("validation_volunteers", rule, num_volunteers, remedy)
    rng = np.random.Generator(np.random.PCG64(0))
    held_out = np.isin(volunteer, rng.permutation(volunteers)[:num_volunteers])
    kept, held = (clips.take(np.flatnonzero(x)) for x in (~held_out, held_out))
    return kept, replace(held, left_out=())  # counted once, with the others


def counts_text(
    num_clips: int, num_left_out: int, num_dropped: Sequence[int], num_short: int
) -> str:
    """Formats how many clips are used, and what a reader would not expect.

    Clips are left out for their problems; event and intensity frames are dropped by the
    build, as published; a short clip is shorter than a window.
    """
    parts = [counted(num_clips, "clip", ",")]
    if num_left_out:
        total = num_clips + num_left_out
        parts = [f"{num_clips:,} of {total:,} clips, {num_left_out:,} left out"]
    if any(num_dropped):
        events, intensities = num_dropped
        parts.append(f"{events:,} event and {intensities:,} intensity frames dropped")
    if num_short:
        parts.append(f"{num_short:,} shorter than a window, repeated cyclically")
    return ", ".join(parts)
