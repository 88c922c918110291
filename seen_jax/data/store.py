"""The decoded store: every frame of a split as uint8 at 90 x 90, memory-mapped.

Records become one plain `.npy` file beside them, (2, frames, H, W): event frames, then
intensity frames, clip after clip. The file's name carries the records' fingerprint, and
it gets that name by one rename when it is complete: a build that was killed leaves
nothing that could be taken for a store, and new records never meet an old one.

What a reader would get wrong: all frames of a clip are kept, not only its segment, so
a frame's row is the clip's first row plus the frame's number.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import pickle
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seen_jax import see
from seen_jax.data import windows
from seen_jax.data.decode import KINDS, decode_frames, jpegs_of
from seen_jax.files import held
from seen_jax.processes import map_in_processes

if TYPE_CHECKING:  # TFDS is not needed for a store that is there
    from seen_jax.data.records import Records

FEW_CLIPS = 64  # decoded by this process: another would cost more than it saves


@dataclass(frozen=True)
class Store:
    """Decoded frames of a split.

    Attributes:
      records: what was decoded; names, labels and segments are read there.
      path: the file.
      event_frames, intensity_frames: (frames, H, W) uint8, mapped, not in memory.
      first_rows: (N,) int32, the row of each clip's first frame.
    """

    records: Records
    path: Path
    event_frames: np.ndarray
    intensity_frames: np.ndarray
    first_rows: np.ndarray

    @property
    def store(self) -> Store:
        return self

    def rows(self, clip: np.ndarray, event_index: np.ndarray) -> np.ndarray:
        """Returns the rows of windows in the frame arrays.

        Args:
          clip: (...) integers.
          event_index: (..., T) integers, frame numbers within each clip.

        Returns:
          (..., T) int32. The intensity pair is at the first and the last of them.
        """
        return self.first_rows[clip][..., None] + event_index

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
        rows = self.rows(clip, event_index)
        shown = windows.intensity_indices(rows, intensity_places)
        return self.event_frames[rows], self.intensity_frames[shown]


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
      records: the split.
      directory: where the store is kept; None keeps it beside the records.
      num_workers: processes that decode; None takes one per processor.
      progress: shows a progress bar over the clips while decoding.

    Raises:
      OSError: the directory cannot be written, or has no room.
      ValueError: a record cannot be decoded.
    """
    directory = Path(records.directory if directory is None else directory)
    path = directory / f"decoded-{records.split}-{records.fingerprint[:16]}.npy"
    first_rows = _first_rows(records)
    shape = (2, int(first_rows[-1]), see.INPUT_SIZE, see.INPUT_SIZE)
    frames = _mapped(path, shape)
    if frames is None:
        with _reported(path, shape):
            directory.mkdir(parents=True, exist_ok=True)
            lock = directory / f"decoded-{records.split}.lock"
            lock.touch()
            with held(lock):
                frames = _mapped(path, shape)  # another process may have been faster
                if frames is None:
                    _build(records, path, first_rows, shape, num_workers, progress)
                    frames = _mapped(path, shape)
    assert frames is not None
    return Store(records, path, frames[0], frames[1], first_rows[:-1])


def _first_rows(records: Records) -> np.ndarray:
    """Returns (N + 1,) int32: the row of each clip's first frame, then their number."""
    lengths = [see.ClipName.parse(name).length for name in records.names]
    return np.cumsum([0, *lengths]).astype(np.int32)


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Maps a store read-only; None where it is missing, cut short or another array."""
    try:
        frames = np.load(path, mmap_mode="r")
    except (FileNotFoundError, NotADirectoryError, ValueError, EOFError):
        return None
    if frames.shape != shape or frames.dtype != np.uint8:
        return None
    return frames.view(np.ndarray)  # a memmap's own indexing is slower


@contextlib.contextmanager
def _reported(path: Path, shape: tuple[int, ...]):
    """Says what was being written, and what to do, where that fails."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path}: expected a folder with room for {np.prod(shape) / 1e6:.1f} MB of "
            f"decoded frames, got {error.strerror or error}; make room, name another "
            "directory, or stream from the records",
        ) from error


def _build(
    records: Records,
    path: Path,
    first_rows: np.ndarray,
    shape: tuple[int, ...],
    num_workers: int | None,
    progress: bool,
) -> None:
    """Decodes all clips into a file of another name, then gives it its own."""
    prefix = f"decoded-{records.split}-"
    for left in path.parent.glob(f"{prefix}*.tmp"):  # of builds that were killed
        left.unlink()
    if shutil.disk_usage(path.parent).free < np.prod(shape):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    handle, name = tempfile.mkstemp(".tmp", prefix, path.parent)
    os.close(handle)
    building = Path(name)
    try:
        np.lib.format.open_memmap(building, "w+", np.uint8, shape)
        decoding = pickle.dumps(_Decoding(records, building, first_rows))
        for _ in map_in_processes(
            functools.partial(_decode, decoding),
            range(len(records)),
            f"decode {records.split}",
            num_workers,
            progress,
            FEW_CLIPS,
        ):
            pass
        with open(building, "rb+") as file:
            os.fsync(file.fileno())
        building.chmod(0o644)
        os.replace(building, path)
    finally:
        building.unlink(missing_ok=True)
    if path.parent == records.directory:  # elsewhere, stores of other sets may lie too
        for old in path.parent.glob(f"{prefix}*.npy"):
            if old != path:
                old.unlink()


@dataclass(frozen=True)
class _Decoding:
    """The work of one build, of which every worker process gets a copy."""

    records: Records
    file: Path
    first_rows: np.ndarray

    def decode(self, clip: int) -> None:
        """Writes one clip's frames into their rows of the file."""
        record, num_frames = self.records[clip], int(self.first_rows[-1])
        first, end = self.first_rows[clip : clip + 2].tolist()
        for modality, kind in enumerate(KINDS):
            num_images = len(jpegs_of(record, kind))
            if num_images != end - first:
                raise ValueError(
                    f"{record.name}: expected {end - first} {kind} images, got "
                    f"{num_images}; build the records again"
                )
            frames = decode_frames(record, kind, range(num_images))
            rows_left = (2 - modality) * num_frames - first
            # Written, not assigned to a map: a full disk is then an error, not a signal
            # that ends the process.
            with open(self.file, "rb+") as file:
                file.seek(-rows_left * frames[0].size, os.SEEK_END)
                file.write(frames)


@functools.lru_cache(maxsize=1)
def _unpickled(decoding: bytes) -> _Decoding:
    return pickle.loads(decoding)


def _decode(decoding: bytes, clip: int) -> None:
    """Decodes one clip; a worker opens the records once, not once per clip."""
    _unpickled(decoding).decode(clip)
