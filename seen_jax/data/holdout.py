"""Some volunteers' clips taken out of a split, so that an epoch can be chosen on them.

What a reader would get wrong: which volunteers are taken depends on the split and their
number alone, not on a training's seed, so that seeds can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seen_jax import see
from seen_jax.data.batches import Stream
from seen_jax.data.store import Store


class Part:
    """Some clips of a provider; stands wherever a `Store` or a `Stream` does.

    It is its own `records`, as far as batches and metrics ask for them. Clips are
    numbered anew, from 0.

    Args:
      provider: the images of all clips.
      clips: (N,) integers, the numbers of those to keep, ascending.
    """

    def __init__(self, provider: Store | Stream, clips: np.ndarray):
        self._provider, self._clips = provider, np.asarray(clips)
        records = provider.records
        self.records = self
        self.names = [records.names[clip] for clip in self._clips]
        self.labels = records.labels
        self.label_index = records.label_index[self._clips]
        self.segments = records.segments[self._clips]

    def __len__(self) -> int:
        return len(self._clips)

    @property
    def store(self) -> Store:
        """Where the rows are, those of other parts too."""
        return self._provider.store

    def rows(self, clip: np.ndarray, event_index: np.ndarray) -> np.ndarray:
        """As `Store.rows`: rows of the whole store."""
        return self._provider.rows(self._clips[clip], event_index)

    def windows(
        self,
        clip: np.ndarray,
        event_index: np.ndarray,
        intensity_places: Sequence[int] = (0, -1),
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `Store.windows`."""
        return self._provider.windows(self._clips[clip], event_index, intensity_places)


def hold_out(provider: Store | Stream, num_volunteers: int) -> tuple[Part, Part]:
    """Divides clips in two, so that no volunteer is in both.

    Args:
      provider: the clips.
      num_volunteers: how many volunteers to hold out.

    Returns:
      The clips of the other volunteers, and those of the held out ones.

    Raises:
      ValueError: no volunteer would be on one of the sides.
    """
    names = provider.records.names
    volunteer = np.array([see.ClipName.parse(name).volunteer for name in names])
    volunteers = np.unique(volunteer)
    if not 0 < num_volunteers < len(volunteers):
        raise ValueError(
            f"validation_volunteers: expected 1 to {len(volunteers) - 1} of the "
            f"{len(volunteers)} in the training part, got {num_volunteers}"
        )
    rng = np.random.Generator(np.random.PCG64(0))
    held_out = np.isin(volunteer, rng.permutation(volunteers)[:num_volunteers])
    kept, held = (Part(provider, np.flatnonzero(x)) for x in (~held_out, held_out))
    return kept, held
