"""AEDAT4 files <-> recordings, through iniVation's dv-processing.

An AEDAT4 file ends with a table of its packets, which a recorder that dies never
writes. dv-processing silently opens such a file and returns the packets that happen to
be there, so `read_aedat4` looks for the table first. dv-processing itself refuses a
file that was closed and cut later.

Note: bytes changed within a packet are not detected: packets carry no checksum, and the
library (2.0.4) may never return from decompressing them.

Reference: iniVation, AEDAT 4.0 file format (header, packets, file data table).
"""

from __future__ import annotations

import functools
import os
import struct
import tempfile
from collections import deque
from pathlib import Path

import dv_processing as dv
import numpy as np

from seen_jax.errors import UserError, refuse
from seen_jax.events import Events, Recording
from seen_jax.files import RECOPY, explained

_MAGIC = b"#!AER-DAT4.0\r\n"


def read_aedat4(path: str | os.PathLike) -> Recording:
    """Reads all events and intensity frames of a DAVIS recording.

    The time of an intensity frame is when its exposure begins; the general timestamp of
    a frame is that in some files and the middle of the exposure in others.

    Raises:
      UserError: there is no such file, it is no complete AEDAT4 file, has no events or
        no intensity frames, or `Recording` refuses them.
    """
    path = Path(path)
    _check_closed(path)
    try:
        camera = dv.io.MonoCameraRecording(str(path))
        if not camera.isEventStreamAvailable():
            refuse(path, "an event stream", "none", "record the camera's events")
        if not camera.isFrameStreamAvailable():
            remedy = "record both modalities with a DAVIS camera"
            refuse(path, "a stream of intensity frames", "none", remedy)
        t, x, y, p = _read_events(camera)
        times_us, images = _read_intensity_frames(camera)
        resolution = tuple(camera.getEventResolution())
    except RuntimeError as error:
        # The library puts a trace of addresses around its one line.
        why = str(error).partition("\nStacktrace")[0].splitlines()[-1]
        refuse(path, "a complete AEDAT4 file", why, RECOPY)
    if not len(t) or not len(images):
        got = f"{len(t)} events and {len(images)} intensity frames"
        refuse(path, "at least one of each", got, "record both modalities")
    try:
        events = Events(t, x, y, p)
        return Recording(events, times_us, _stack(images), resolution)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


@functools.lru_cache(maxsize=1)
def read_once(path: Path) -> Recording:
    """Reads as `read_aedat4`, and keeps the latest recording of this process."""
    return read_aedat4(path)


def write_aedat4(
    path: str | os.PathLike,
    events: Events,
    times_us: np.ndarray,
    intensity_frames: np.ndarray,
) -> None:
    """Writes a recording; `read_aedat4` gives the same arrays back.

    The same arrays make the same bytes. The file appears when it is complete, and
    replaces one of that name.

    Args:
      path: in a folder that exists; the reader requires the ending `.aedat4`.
      events: inside of the intensity frames' pixels.
      times_us: int64 (F,), timestamps of the intensity frames, never decreasing.
      intensity_frames: uint8 (F, H, W); the file names (W, H) as the sensor's size.

    Raises:
      UserError: the arrays make no `Recording`, a timestamp is negative, or the file
        cannot be written.
    """
    path = Path(path)
    resolution = intensity_frames.shape[:0:-1]
    recording = Recording(events, times_us, intensity_frames, resolution)
    earliest = min([0, *events.t[:1].tolist(), *times_us[:1].tolist()])
    if earliest < 0:
        remedy = "shift both modalities"
        refuse(path, "timestamps from 0", f"{earliest} us", remedy)
    with (
        explained(path),
        tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder,
    ):
        # The library ends the whole process where a name has another ending.
        part = Path(folder) / "part.aedat4"
        _write(part, recording)
        os.replace(part, path)


def _check_closed(path: Path) -> None:
    """Raises if the file is not AEDAT4 or its recorder never wrote the packet table."""
    if not path.is_file():
        refuse(path, "an .aedat4 file", "no such file", "check the path")
    if path.suffix != ".aedat4":
        refuse(path, "a name that ends in .aedat4", repr(path.suffix), "rename it")
    with path.open("rb") as file:
        magic = file.read(len(_MAGIC))
        if magic != _MAGIC:
            got = f"{path.stat().st_size} bytes that start with {magic!r}"
            remedy = "give a recording of the camera's software"
            refuse(path, f"an AEDAT4 file, {_MAGIC!r}", got, remedy)
        (size,) = struct.unpack("<I", file.read(4).ljust(4, b"\0"))
        header = file.read(size)
    if not size or len(header) < size:
        refuse(path, "a complete AEDAT4 file", "an end within the header", RECOPY)
    try:
        position = _table_position(header)
    except struct.error as error:
        refuse(path, "a complete AEDAT4 file", f"a broken header ({error})", RECOPY)
    if position < 0:
        got = "none: the recorder was stopped before it closed the file"
        remedy = "events may be missing; record again, or save it anew with DV"
        refuse(path, "a table of packets at the end", got, remedy)


def _table_position(header: bytes) -> int:
    """Reads `dataTablePosition`, field 1 of the FlatBuffer, whose default is -1."""
    (root,) = struct.unpack_from("<I", header)
    (back,) = struct.unpack_from("<i", header, root)
    size, _, _, field = struct.unpack_from("<4H", header, root - back)
    if size < 8 or not field:
        return -1
    return struct.unpack_from("<q", header, root + field)[0]


def _read_events(camera: dv.io.MonoCameraRecording) -> tuple[np.ndarray, ...]:
    """Reads to the end; t int64, x and y int16, p bool, in the file's order."""
    batches = []
    while (batch := camera.getNextEventBatch()) is not None:
        batches.append(batch.numpy())
    if not batches:
        batches = [dv.EventStore().numpy()]
    names = ("timestamp", "x", "y", "polarity")
    t, x, y, p = (np.concatenate([batch[name] for batch in batches]) for name in names)
    return t, x, y, p.astype(bool)


def _read_intensity_frames(
    camera: dv.io.MonoCameraRecording,
) -> tuple[np.ndarray, list[np.ndarray]]:
    times_us, images = [], []
    while (frame := camera.getNextFrame()) is not None:
        times_us.append(frame.timestamp)
        images.append(np.array(frame.image))
    return np.array(times_us, np.int64), images


def _stack(images: list[np.ndarray]) -> np.ndarray:
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        remedy = "record without a region of interest"
        refuse("intensity frames", "one shape", shapes, remedy)
    return np.stack(images)


def _write(path: Path, recording: Recording) -> None:
    config = dv.io.MonoCameraWriter.Config("DAVIS346")
    config.addEventStream(recording.resolution)
    config.addFrameStream(recording.resolution)
    writer = dv.io.MonoCameraWriter(str(path), config)
    writer.writeEvents(_event_store(recording.events))
    for time_us, image in zip(
        recording.times_us.tolist(), recording.intensity_frames, strict=True
    ):
        writer.writeFrame(dv.Frame(time_us, np.ascontiguousarray(image)))
    del writer  # its end writes the packet table and closes the file


def _event_store(events: Events) -> dv.EventStore:
    # The library takes no arrays; a mapped C++ call costs 0.3 us an event.
    store = dv.EventStore()
    columns = (events.t, events.x, events.y, events.p)
    deque(map(store.push_back, *(column.tolist() for column in columns)), maxlen=0)
    return store
