"""Batches of windows: which frames each shows, and their images.

Images (the decoded store, or the records themselves), a table of clips and a seed
become numbered batches, the same ones from either kind of images. Batch i depends on
the seed and on i alone, so the state of an iterator is one number.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seen_jax.data import windows
from seen_jax.data.clips import Clips
from seen_jax.data.store import Store
from seen_jax.errors import check_option, refuse

if TYPE_CHECKING:  # a store's windows are read where TFDS is absent too
    from seen_jax.data.records import Records


class Plan(NamedTuple):
    """What an epoch shows, or a pass of an evaluation; S is its number of batches.

    Attributes:
      clip: (S, B) int32, row of the table of clips.
      mask: (S, B) bool, False in the rows that only fill the last batch up; they show
        clips of the same epoch again.
      event_index: (S, B, T) int32, frame numbers within each clip.
    """

    clip: np.ndarray
    mask: np.ndarray
    event_index: np.ndarray


class Batches:
    """Numbered batches without end: batch i belongs to epoch i // len(batches).

    Args:
      batch_size: rows of a batch over all processes; at most one epoch is a batch.
      seed: 0 to 2**64 - 1.
      purpose: "train" reshuffles the clips in every epoch; "eval" shows them in the
        table's order, and what is an epoch there is a pass here.
      intensity: whose intensity frames are shown, one of `windows.INTENSITIES`.
      process_index, process_count: this process takes the process_index-th part of
        every batch's rows.

    Raises:
      UserError: an unknown option, no clips, or rows that the processes cannot share
        evenly.
    """

    def __init__(
        self,
        images: Store | Records,
        clips: Clips,
        setting: windows.Setting,
        batch_size: int,
        seed: int,
        purpose: str,
        *,
        intensity: str = "first_and_last",
        process_index: int = 0,
        process_count: int = 1,
    ):
        if not len(clips):
            refuse("clips", "1 or more", 0)
        if batch_size < 1 or batch_size % process_count:
            rule = f"a multiple of the number of processes, {process_count}"
            refuse("batch_size", rule, batch_size)
        if not 0 <= process_index < process_count:
            refuse("process_index", f"0 to {process_count - 1}", process_index)
        check_option("purpose", purpose, windows.PURPOSES)
        self.images, self.clips = images, clips
        self.setting, self.intensity = setting, intensity
        self.seed, self.purpose = seed, purpose
        most = -(-len(clips) // process_count) * process_count
        self.batch_size = min(batch_size, most)
        rows = self.batch_size // process_count
        self._rows = slice(process_index * rows, (process_index + 1) * rows)
        self._cached_plan = functools.lru_cache(maxsize=2)(self.plan)

    def __len__(self) -> int:
        """Returns the number of batches in an epoch."""
        return -(-len(self.clips) // self.batch_size)

    @property
    def counts(self) -> dict[str, Any]:
        """The numbers of clips and windows that `counts_text` formats."""
        clips, (start, end) = self.clips, self.clips.segments.T
        dropped = [clips.dropped.get(name, (0, 0)) for name in clips.names]
        return {
            "num_clips": len({*clips.names}),  # a clip may have several rows
            "num_left_out": len(clips.left_out),
            "num_dropped": np.sum(dropped, 0).tolist(),
            "num_short": int((end - start < self.setting.span).sum()),
        }

    @property
    def places(self) -> list[int]:
        """Places in the window whose intensity frames are shown."""
        num_event_frames = self.setting.num_event_frames
        return [*windows.intensity_places(self.intensity, num_event_frames)]

    def plan(self, epoch: int) -> Plan:
        """Returns what the whole epoch shows to all processes."""
        numbers = windows.uniforms(self.seed, self.purpose, epoch, len(self.clips))
        drawn = windows.event_indices(self.clips.segments, self.setting, numbers)
        clips = np.arange(len(self.clips), dtype=np.int32)
        if self.purpose == "train":
            clips = windows.order(numbers)
        shape = len(self), self.batch_size
        clip = np.resize(clips, shape)  # fills up from the epoch's start
        mask = np.arange(clip.size).reshape(shape) < len(clips)
        return Plan(clip, mask, drawn[clip])

    def batch(self, number: int) -> dict[str, np.ndarray]:
        """Returns this process's rows of a batch, R = batch_size / process_count.

        Returns:
          event_frames (R, T, H, W) uint8, intensity_frames (R, I, H, W) uint8, label
          (R,) int32, mask (R,) bool, clip (R,) int32.
        """
        clip, mask, event_index = self._rows_of(number)
        event_frames, intensity_frames = self.images.windows(
            self.clips, clip, event_index, self.places
        )
        return {
            "event_frames": event_frames,
            "intensity_frames": intensity_frames,
            "label": self.clips.label_index[clip],
            "mask": mask,
            "clip": clip,
        }

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Returns where the images of batches are in the store, S = stop - start.

        Returns:
          event_rows (S, R, T) and intensity_rows (S, R, I) int32, rows of
          `Store.event_frames` and `.intensity_frames`; label, mask and clip (S, R), as
          `batch` has them.
        """
        parts = zip(*map(self._rows_of, range(start, stop)), strict=True)
        clip, mask, event_index = map(np.stack, parts)
        event_rows = self.clips.rows(clip, event_index)
        return {
            "event_rows": event_rows,
            "intensity_rows": event_rows[..., self.places],
            "label": self.clips.label_index[clip],
            "mask": mask,
            "clip": clip,
        }

    def first_windows(self, clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the first pass's windows of clips (N,): uint8 (N, T or I, H, W)."""
        event_index = self._first_index(clip)
        return self.images.windows(self.clips, clip, event_index, self.places)

    def first_films(
        self, clip: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns `first_windows` with frames between those that the network reads.

        Returns:
          Event frames and intensity frames, both (N, S, H, W) uint8, and (2, S) bool,
          which event frames and which intensity frames the network reads.
        """
        ends = self.clips.segments[clip, 1]
        film, step = windows.film_indices(self._first_index(clip), self.setting, ends)
        every = range(film.shape[1])
        reads = np.zeros((2, len(every)), bool)
        reads[0, ::step] = True
        reads[1, np.multiply(step, self.places)] = True
        return *self.images.windows(self.clips, clip, film, every), reads

    def _first_index(self, clip: np.ndarray) -> np.ndarray:
        plan = self.plan(0)
        event_index = np.empty((len(self.clips), plan.event_index.shape[-1]), np.int32)
        event_index[plan.clip] = plan.event_index
        return event_index[clip]

    def _rows_of(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        epoch, place = divmod(number, len(self))
        return tuple(x[place, self._rows] for x in self._cached_plan(epoch))

    def iterate(self, start: int = 0, stop: int = sys.maxsize) -> Any:
        """Returns a grain iterator over batches start to stop - 1, read ahead.

        `get_state()` gives a small dict that JSON can hold; `set_state` with it, on an
        iterator made by the same arguments, continues exactly there.
        """
        import grain  # only here: the rest runs without it

        options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=8)
        numbers = grain.MapDataset.range(start, stop)
        return iter(numbers.map(self.batch).to_iter_dataset(options))
