"""The decoded store: every frame of a split as uint8 at 90 x 90, memory-mapped.

Records become one plain `.npy` file beside them, (2, frames, H, W): event frames, then
intensity frames, clip after clip, all frames of a clip. The file's name carries the
records' fingerprint, and it gets that name by one rename when it is complete: a killed
build leaves nothing that could be taken for a store, and new records never use an old
one.

Note: a store that is damaged at its full length is not noticed; records are.
"""

from __future__ import annotations

import errno
import functools
import os
import pickle
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seen_jax import see
from seen_jax.data.clips import Clips
from seen_jax.data.record import KINDS
from seen_jax.errors import counted, refuse
from seen_jax.files import explained, held, new_file
from seen_jax.processes import map_in_processes

if TYPE_CHECKING:  # TFDS is not needed to open an existing store
    from seen_jax.data.records import Records

FEW_CLIPS = 64  # decoded by this process: another would cost more than it saves


@dataclass(frozen=True)
class Store:
    """The frames of a split, (frames, H, W) uint8 of each kind, mapped from disk."""

    clips: Clips
    path: Path
    event_frames: np.ndarray
    intensity_frames: np.ndarray

    def windows(
        self,
        clips: Clips,
        clip: np.ndarray,
        event_index: np.ndarray,
        places: Sequence[int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns event frames (B, T, H, W) and intensity frames (B, I, H, W), uint8.

        Args:
          clip: (B,) integers, rows of `clips`, which are of this store.
          event_index: (B, T) integers, frame numbers within each clip.
          places: of the I intensity frames among the T (`windows.intensity_places`).
        """
        rows = clips.rows(clip, event_index)
        return self.event_frames[rows], self.intensity_frames[rows[:, [*places]]]


def open_store(
    records: Records,
    directory: str | os.PathLike | None = None,
    num_workers: int | None = None,
    progress: bool = False,
) -> Store:
    """Opens the store of a split, decoding the records first if that was not done.

    A store whose size is wrong is replaced; beside the records, so is one of earlier
    records.

    Args:
      directory: where the store is kept; None keeps it beside the records.

    Raises:
      UserError: the directory cannot be written or has no room, or a record cannot be
        decoded.
    """
    directory = Path(records.directory if directory is None else directory)
    clips = records.clips
    path = directory / f"decoded-{clips.split}-{clips.fingerprint[:16]}.npy"
    num_frames = int(clips.num_frames.sum())
    shape = (2, num_frames, see.INPUT_SIZE, see.INPUT_SIZE)
    frames = _mapped(path, shape)
    if frames is None:
        remedy = (
            "make room, name a folder that can be written with --config.store_dir=DIR "
            "(--store_dir=DIR of eval.py and export), or train on the records "
            "themselves with --config.images=records"
        )
        with explained(f"{path} ({np.prod(shape) / 1e6:.1f} MB)", remedy):
            directory.mkdir(parents=True, exist_ok=True)
            lock = directory / f"decoded-{clips.split}.lock"
            lock.touch()
            with held(lock):
                frames = _mapped(path, shape)  # another process may have been faster
                if frames is None:
                    _build(records, path, shape, num_workers, progress)
                    frames = _mapped(path, shape)
    assert frames is not None
    return Store(clips, path, frames[0], frames[1])


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Maps a store read-only; None where it is missing, cut short or another array."""
    try:
        frames = np.load(path, mmap_mode="r")
    except (FileNotFoundError, NotADirectoryError, ValueError, EOFError):
        return None
    if frames.shape != shape or frames.dtype != np.uint8:
        return None
    return frames.view(np.ndarray)  # a memmap's own indexing is slower


def _build(
    records: Records,
    path: Path,
    shape: tuple[int, ...],
    num_workers: int | None,
    progress: bool,
) -> None:
    """Decodes all clips into a file of another name, then gives it its own."""
    prefix = f"decoded-{records.clips.split}-"
    for pattern in (f".{prefix}*.part", f"{prefix}*.tmp"):  # as now, as before
        for left in path.parent.glob(pattern):  # of builds that were killed
            left.unlink()
    if shutil.disk_usage(path.parent).free < np.prod(shape):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with new_file(path) as building:
        np.lib.format.open_memmap(building, "w+", np.uint8, shape)
        for _ in map_in_processes(
            functools.partial(_decode, pickle.dumps((records, building))),
            range(len(records)),
            f"decode {records.clips.split}",
            num_workers,
            progress,
            FEW_CLIPS,
        ):
            pass
    if path.parent == records.directory:  # elsewhere, stores of other sets may lie too
        for old in path.parent.glob(f"{prefix}*.npy"):
            if old != path:
                old.unlink()


# A worker opens the records once, not once per clip.
_unpickled = functools.lru_cache(maxsize=1)(pickle.loads)


def _decode(records_and_file: bytes, clip: int) -> None:
    """Writes one clip's frames into their rows of the file."""
    records, path = _unpickled(records_and_file)
    clips, record = records.clips, records[clip]
    first, length = int(clips.first_rows[clip]), int(clips.num_frames[clip])
    for modality, kind in enumerate(KINDS):
        num_images = len(record.jpegs(kind))
        if num_images != length:
            rule = counted(length, f"{kind} image")
            refuse(record.name, rule, num_images, "build the records again")
        frames = record.decode(kind, range(num_images))
        rows_left = (2 - modality) * int(clips.num_frames.sum()) - first
        # Written, not assigned to a map: a full disk is then an error, not a signal
        # that ends the process.
        with open(path, "rb+") as file:
            file.seek(-rows_left * frames[0].size, os.SEEK_END)
            file.write(frames)
