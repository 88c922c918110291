"""Batches of windows: a plan of clips and frame numbers, and the images it points at.

A provider (the decoded store, or the records themselves) and a seed become numbered
batches, the same ones from either provider. Batch i depends on the seed and on i alone,
so the state of an iterator is one number. What a reader would get wrong: a last partial
batch is filled up with clips of the same epoch that its mask marks as not there.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seen_jax.data import windows
from seen_jax.data.decode import decode_frames
from seen_jax.data.store import Store

if TYPE_CHECKING:  # rows of a store are drawn where TFDS is absent too
    from seen_jax.data.records import Records


@dataclass(frozen=True)
class Stream:
    """Windows straight from the records: decodes only the frames that a window shows.

    Serves sets whose decoded store would not fit; stands wherever a `Store` does.
    """

    records: Records

    def __post_init__(self):
        _keep_freed_memory()

    def windows(
        self,
        clip: np.ndarray,
        event_index: np.ndarray,
        intensity_places: Sequence[int] = (0, -1),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns event frames (B, T, H, W) and intensity frames (B, 2, H, W), uint8.

        Args:
          clip: (B,) integers.
          event_index: (B, T) integers, frame numbers within each clip.
          intensity_places: within the window, of the intensity frames.
        """
        event_frames, intensity_frames = [], []
        for c, numbers in zip(clip.tolist(), event_index, strict=True):
            record = self.records[c]
            shown = windows.intensity_indices(numbers, intensity_places)
            event_frames.append(decode_frames(record, "event", numbers.tolist()))
            intensity_frames.append(decode_frames(record, "frame", shown.tolist()))
        return np.stack(event_frames), np.stack(intensity_frames)


@functools.cache
def _keep_freed_memory() -> None:
    """Lets this process keep the memory of a record for the next one.

    A record of SEE takes half a megabyte, several times over while it is read. glibc
    returns blocks of that size to the kernel, and getting them back page by page costs
    a sixth of the time that a window takes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries do without
        mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, bytes: its largest value
        mallopt(-1, 128 << 20)  # M_TRIM_THRESHOLD, bytes


@dataclass(frozen=True)
class Plan:
    """What an epoch shows, or a pass of an evaluation; S is its number of batches.

    Attributes:
      clip: (S, B) int32, the records' number of each row's clip.
      mask: (S, B) bool, False in the rows that only fill the last batch up.
      event_index: (S, B, T) int32, frame numbers within each clip. `Store.rows` turns
        them into rows of the store.
    """

    clip: np.ndarray
    mask: np.ndarray
    event_index: np.ndarray


class Batches:
    """Numbered batches without end: batch i belongs to epoch i // len(batches).

    Args:
      provider: the images, a `Store` or a `Stream`.
      setting: the frames of a window.
      batch_size: rows of a batch over all processes.
      seed: 0 to 2**64 - 1.
      purpose: "train" shuffles the clips anew in every epoch; "eval" shows them in the
        records' order, and what is an epoch there is a pass here.
      process_index, process_count: this process takes the process_index-th part of
        every batch's rows.
      intensity_places: whose intensity frames are shown, within the window; for an
        option of the network `windows.intensity_places` names them.

    Raises:
      ValueError: an unknown purpose, or rows that the processes cannot share evenly.
    """

    def __init__(
        self,
        provider: Store | Stream,
        setting: windows.Setting,
        batch_size: int,
        seed: int,
        purpose: str,
        process_index: int = 0,
        process_count: int = 1,
        intensity_places: Sequence[int] = (0, -1),
    ):
        if batch_size < 1 or batch_size % process_count:
            raise ValueError(
                "batch_size: expected a multiple of the number of processes, "
                f"{process_count}, got {batch_size}"
            )
        if not 0 <= process_index < process_count:
            raise ValueError(
                f"process_index: expected 0 to {process_count - 1}, got {process_index}"
            )
        windows.check_purpose(purpose)
        self.provider = provider
        self.setting = setting
        self.batch_size = batch_size
        self.seed = seed
        self.purpose = purpose
        self.intensity_places = tuple(intensity_places)
        rows = batch_size // process_count
        self._rows = slice(process_index * rows, (process_index + 1) * rows)
        self._cached_plan = functools.lru_cache(maxsize=2)(self.plan)

    def __len__(self) -> int:
        """Returns the number of batches in an epoch."""
        return -(-len(self.provider.records) // self.batch_size)

    def plan(self, epoch: int) -> Plan:
        """Returns what the whole epoch shows to all processes."""
        records = self.provider.records
        numbers = windows.uniforms(self.seed, self.purpose, epoch, len(records))
        drawn = windows.event_indices(records.segments, self.setting, numbers)
        clips = np.arange(len(records), dtype=np.int32)
        if self.purpose == "train":
            clips = windows.order(numbers)
        shape = len(self), self.batch_size
        clip = np.resize(clips, shape)  # fills up from the epoch's start
        mask = np.arange(clip.size).reshape(shape) < len(records)
        return Plan(clip, mask, drawn[clip])

    def batch(self, number: int) -> dict[str, np.ndarray]:
        """Returns this process's rows of a batch, R = batch_size / process_count.

        Returns:
          event_frames (R, T, H, W) uint8, intensity_frames (R, 2, H, W) uint8, label
          (R,) int32, mask (R,) bool, clip (R,) int32.
        """
        epoch, place = divmod(number, len(self))
        plan = self._cached_plan(epoch)
        clip = plan.clip[place, self._rows]
        event_index = plan.event_index[place, self._rows]
        event_frames, intensity_frames = self.provider.windows(
            clip, event_index, self.intensity_places
        )
        return {
            "event_frames": event_frames,
            "intensity_frames": intensity_frames,
            "label": self.provider.records.label_index[clip],
            "mask": plan.mask[place, self._rows],
            "clip": clip,
        }

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Returns where the images of batches lie in the store, S = stop - start.

        Only for a provider that is a store or a part of one.

        Returns:
          event_rows (S, R, T) and intensity_rows (S, R, N) int32, rows of
          `Store.event_frames` and `.intensity_frames`; label, mask and clip (S, R), as
          `batch` has them.
        """
        clips, masks, indices = [], [], []
        for number in range(start, stop):
            epoch, place = divmod(number, len(self))
            plan = self._cached_plan(epoch)
            clips.append(plan.clip[place, self._rows])
            masks.append(plan.mask[place, self._rows])
            indices.append(plan.event_index[place, self._rows])
        clip, mask, event_index = map(np.stack, (clips, masks, indices))
        event_rows = self.provider.rows(clip, event_index)
        return {
            "event_rows": event_rows,
            "intensity_rows": windows.intensity_indices(
                event_rows, self.intensity_places
            ),
            "label": self.provider.records.label_index[clip],
            "mask": mask,
            "clip": clip,
        }

    def iterate(
        self,
        start: int = 0,
        stop: int = sys.maxsize,
        num_threads: int = 2,
        num_ahead: int = 8,
    ) -> Any:
        """Returns a grain iterator over batches start to stop - 1, read ahead.

        `get_state()` gives a small dict that JSON can hold; `set_state` with it, on an
        iterator made by the same arguments, continues exactly there.

        Args:
          start, stop: numbers of batches; epoch e begins at e * len(batches).
          num_threads: that gather or decode.
          num_ahead: batches that are kept ready.
        """
        import grain  # only here: the rest runs without it

        options = grain.ReadOptions(
            num_threads=num_threads, prefetch_buffer_size=num_ahead
        )
        numbers = grain.MapDataset.range(start, stop)
        return iter(numbers.map(self.batch).to_iter_dataset(options))
