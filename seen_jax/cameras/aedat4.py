"""AEDAT4 files <-> packets, through iniVation's dv-processing.

Note: the library (2.0.4) may hang on a corrupted packet, or end the process, and
packets carry no checksum; `seen_jax.cameras.sources` reads in a child process.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import dv_processing as dv
import numpy as np

from seen_jax.cameras import aedat4_bytes, digest
from seen_jax.cameras.packets import RECORD_BOTH, Packets, in_time
from seen_jax.errors import refuse
from seen_jax.events import Events, Recording
from seen_jax.files import RECOPY, explained


def packets_of(path: Path, recover: bool = False) -> Iterator[Recording]:
    """Reads a DAVIS recording, in the order of the first timestamps.

    The time of an intensity frame is when its exposure begins; the general timestamp of
    a frame is that in some files and the middle of the exposure in others.

    Args:
      path: AEDAT4, by its first bytes.
      recover: whether to read the whole packets of an incomplete file, and a file that
        does not match its digest.

    Raises:
      UserError: it is incomplete or does not match the digest beside it, and `recover`
        is false; or it lacks a modality.
    """
    layout = aedat4_bytes.read_layout(path)
    with tempfile.TemporaryDirectory() as folder:
        notes, readable = (), path
        if recover and not layout.is_complete:
            readable = Path(folder) / "recovered.aedat4"
            notes = (aedat4_bytes.recover(path, layout, readable),)
        elif not recover:
            aedat4_bytes.check_closed(path, layout)
            digest.check(path)
        try:
            camera = dv.io.MonoCameraRecording(str(readable))
            yield from _read(camera, path, notes)
        except RuntimeError as error:
            # The library puts a trace of addresses around its one line.
            why = str(error).partition("\nStacktrace")[0].splitlines()[-1]
            refuse(path, "a complete AEDAT4 file", why, RECOPY)


def _read(camera: dv.io.MonoCameraRecording, path, notes) -> Iterator[Recording]:
    if not camera.isEventStreamAvailable():
        refuse(path, "an event stream", "none", "record the camera's events")
    if not camera.isFrameStreamAvailable():
        refuse(path, "a stream of intensity frames", "none", RECORD_BOTH)
    packets = Packets(camera.getEventResolution())
    yield from in_time(
        (packet_of(packets, item) for item in iter(camera.getNextEventBatch, None)),
        (packet_of(packets, item) for item in iter(camera.getNextFrame, None)),
    )
    yield packets.end(*notes)


def packet_of(packets: Packets, item: dv.EventStore | dv.Frame) -> Recording:
    """Makes a packet of what dv-processing gives, from a file, a wire or a camera."""
    if isinstance(item, dv.Frame):
        place = item.positionX, item.positionY
        return packets.frame(item.timestamp, np.array(item.image), place)
    batch = item.numpy()
    names = ("timestamp", "x", "y", "polarity")
    return packets.events(*(batch[name] for name in names))


def write_aedat4(
    path: str | os.PathLike,
    events: Events,
    times_us: np.ndarray,
    intensity_frames: np.ndarray,
) -> None:
    """Writes a recording and its SHA-256 beside it; reading it gives the same arrays.

    The same arrays make the same bytes. The file appears when it is complete, and
    replaces one of that name.

    Args:
      path: in a folder that exists; the reader requires the ending `.aedat4`.
      events: inside of the intensity frames' pixels.
      times_us: int64 (F,), timestamps of the intensity frames, never decreasing.
      intensity_frames: uint8 (F, H, W); the file names (W, H) as the sensor's size.

    Raises:
      UserError: the arrays are not a valid `Recording`, a timestamp is negative, or the
        file cannot be written.
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
        writer = Writer(part, resolution)
        writer.write(recording)
        writer.close()
        digest.replace(part, path)


class Writer:
    """Writes a recording packet by packet, without a digest.

    Args:
      path: ends in `.aedat4`; complete when it is closed.
      resolution: (width, height) of all packets.
    """

    def __init__(self, path: Path, resolution: tuple[int, int]):
        config = dv.io.MonoCameraWriter.Config("DAVIS346")
        config.addEventStream(resolution)
        config.addFrameStream(resolution)
        self._writer = dv.io.MonoCameraWriter(str(path), config)

    def write(self, packet: Recording) -> None:
        """Writes events and intensity frames that follow those before."""
        if len(packet.events):
            self._writer.writeEvents(event_store(packet.events))
        for time_us, image in zip(
            packet.times_us.tolist(), packet.intensity_frames, strict=True
        ):
            self._writer.writeFrame(dv.Frame(time_us, np.ascontiguousarray(image)))

    def close(self) -> None:
        """Writes the table of packets and closes the file."""
        del self._writer


def event_store(events: Events) -> dv.EventStore:
    """Makes dv-processing's events."""
    # The library takes no arrays; a mapped C++ call costs 0.3 us an event.
    store = dv.EventStore()
    columns = (events.t, events.x, events.y, events.p)
    deque(map(store.push_back, *(column.tolist() for column in columns)), maxlen=0)
    return store
