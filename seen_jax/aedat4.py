"""AEDAT4 files <-> recordings, through iniVation's dv-processing.

What a reader would get wrong: an AEDAT4 file ends with a table of its packets, and a
recorder that dies never writes it. dv-processing opens such a file without a word and
gives back the packets that happened to arrive, so `read_aedat4` looks for the table
first. A file that was closed and cut later is refused by dv-processing itself. Bytes
changed within a packet are not looked for: packets carry no checksum, and the library
(2.0.4) may not come back from decompressing them.

Reference: iniVation, AEDAT 4.0 file format (header, packets, file data table).
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections import deque
from pathlib import Path

import dv_processing as dv
import numpy as np

from seen_jax.events import Events, Recording

_MAGIC = b"#!AER-DAT4.0\r\n"


def read_aedat4(path: str | os.PathLike) -> Recording:
    """Reads all events and intensity frames of a DAVIS recording.

    The time of an intensity frame is the begin of its exposure; the general timestamp
    in a file means that in some of them and the middle of the exposure in others.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no complete AEDAT4 file, has no events or no intensity frames,
        or they are not as `Recording` wants them.
    """
    path = Path(path)
    _check_closed(path)
    try:
        camera = dv.io.MonoCameraRecording(str(path))
        if not camera.isEventStreamAvailable():
            raise _error(path, "an event stream", "none", "record the camera's events")
        if not camera.isFrameStreamAvailable():
            found, remedy = "none", "record both modalities with a DAVIS camera"
            raise _error(path, "a stream of intensity frames", found, remedy)
        t, x, y, p = _read_events(camera)
        times_us, images = _read_intensity_frames(camera)
        resolution = tuple(camera.getEventResolution())
    except RuntimeError as error:
        # One line of the reader's; a trace of addresses may stand around it.
        why = str(error).partition("\nStacktrace")[0].splitlines()[-1]
        raise _error(path, "a complete AEDAT4 file", why, "copy it again") from error
    if not len(t) or not len(images):
        found = f"{len(t)} events and {len(images)} intensity frames"
        raise _error(path, "at least one of each", found, "record both modalities")
    try:
        events = Events(t, x, y, p)
        return Recording(events, times_us, _stack(images), resolution)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


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
      path: in a folder that exists; the reader wants the ending `.aedat4`.
      events: inside of the intensity frames' pixels.
      times_us: int64 (F,), timestamps of the intensity frames, never decreasing.
      intensity_frames: uint8 (F, H, W); the file names (W, H) as the sensor's size.

    Raises:
      ValueError: the arrays make no `Recording`, or a timestamp is negative.
    """
    path = Path(path)
    resolution = intensity_frames.shape[:0:-1]
    recording = Recording(events, times_us, intensity_frames, resolution)
    earliest = min([0, *events.t[:1].tolist(), *times_us[:1].tolist()])
    if earliest < 0:
        found = f"{earliest} us"
        raise _error(path, "timestamps from 0", found, "shift both modalities")
    with tempfile.TemporaryDirectory(
        prefix=f".{path.name}.", dir=path.parent
    ) as folder:
        # The library ends the whole process where a name has another ending.
        part = Path(folder) / "part.aedat4"
        _write(part, recording)
        os.replace(part, path)


def _check_closed(path: Path) -> None:
    """Raises if the file is not AEDAT4 or its recorder never wrote the packet table."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected an .aedat4 file, got no such file; check the path"
        )
    if path.suffix != ".aedat4":
        remedy = "rename it"
        raise _error(path, "a name that ends in .aedat4", repr(path.suffix), remedy)
    with path.open("rb") as file:
        magic = file.read(len(_MAGIC))
        if magic != _MAGIC:
            found = f"{path.stat().st_size} bytes that start with {magic!r}"
            remedy = "give a recording of the camera's software"
            raise _error(path, f"an AEDAT4 file, {_MAGIC!r}", found, remedy)
        (size,) = struct.unpack("<I", file.read(4).ljust(4, b"\0"))
        header = file.read(size)
    if not size or len(header) < size:
        found = "an end within the header"
        raise _error(path, "a complete AEDAT4 file", found, "copy it again")
    try:
        position = _table_position(header)
    except struct.error as error:
        found = f"a broken header ({error})"
        raise _error(path, "a complete AEDAT4 file", found, "copy it again") from error
    if position < 0:
        found = "none: the recorder was stopped before it closed the file"
        remedy = "events may be missing; record again, or save it anew with DV"
        raise _error(path, "a table of packets at the end", found, remedy)


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
        raise ValueError(
            f"intensity frames: expected one shape, got {shapes}; "
            "record without a region of interest"
        )
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


def _error(path: Path, expected: str, found: str, remedy: str) -> ValueError:
    return ValueError(f"{path}: expected {expected}, got {found}; {remedy}")
