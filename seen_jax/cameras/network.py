"""Streams of a server that speaks iniVation's protocol -> packets without an end.

    tcp://HOST:PORT[,PORT]   each stream has a port; without the second it is PORT + 1
    unix:PATH,PATH           likewise by local sockets

Which port has the events and which the intensity frames is detected. While nothing
arrives, empty packets are yielded, so that the reader can do something else.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from typing import Any

from seen_jax.cameras.packets import Packets
from seen_jax.errors import refuse
from seen_jax.events import Recording

_TCP = re.compile(r"tcp://(\[[^\]]+\]|[^:,/\[\]]+):([0-9]+)(?:,([0-9]+))?")
_UNIX = re.compile(r"unix:([^,]+),([^,]+)")
_FORMS = "tcp://HOST:PORT,PORT or unix:PATH,PATH"
_BEAT_S, _NAP_S = 0.2, 0.002


def is_live(source: str) -> bool:
    """Tells whether a SOURCE is a server or a camera; otherwise it is a file."""
    return source == "usb" or source.startswith(("tcp:", "unix:"))


def addresses(source: str) -> list[tuple]:
    """Reads tcp://HOST:PORT[,PORT] or unix:PATH,PATH.

    Returns:
      (host, port) or (path,) of the two streams.

    Raises:
      UserError: it is neither, or a port is not within 1 to 65535.
    """
    if unix := _UNIX.fullmatch(source):
        return [(path,) for path in unix.groups()]
    tcp = _TCP.fullmatch(source)
    if not tcp:
        refuse("source", _FORMS, repr(source), "write it so")
    host, first, second = tcp.groups()
    ports = [int(first), int(second) if second else int(first) + 1]
    for port in ports:
        if not 0 < port < 1 << 16:
            refuse("source", "ports from 1 to 65535", port, "give another one")
    return [(host.strip("[]"), port) for port in ports]


def packets_of(source: str) -> Iterator[Recording]:
    """Reads a live source until it ends, in this process.

    Raises:
      UserError: it cannot be reached, or lacks a modality.
    """
    import dv_processing as dv

    readers = [_connected(source, dv, address) for address in addresses(source)]
    events = [x for x in readers if x.isEventStreamAvailable()]
    frames = [x for x in readers if x.isFrameStreamAvailable()]
    if not events or not frames:
        kind = "two of events" if events else "none of events"
        rule = "a stream of events and one of intensity frames"
        refuse(source, rule, kind, "give the ports of both")
    (events, *_), (frames, *_) = events, frames
    yield from poll(events, frames, events.getEventResolution())


def _connected(source: str, dv, address: tuple) -> Any:
    try:
        return dv.io.NetworkReader(*address)
    except RuntimeError as error:
        why = str(error).partition(" [")[0]
        what = ":".join(map(str, address))
        remedy = "start the camera's software, or give the ports it serves"
        refuse(source, f"a server at {what}", why, remedy)


def poll(events: Any, frames: Any, resolution: tuple[int, int]) -> Iterator[Recording]:
    """Polls two streams in turn, without blocking, until one has ended.

    Args:
      events, frames: with dv-processing's interface of a camera; perhaps the same.
      resolution: (width, height) of the sensor, pixels.
    """
    from seen_jax.cameras.aedat4 import packet_of

    packets, beat = Packets(resolution), time.monotonic()
    frame, last_us = None, -math.inf
    while True:
        running = events.isRunning() and frames.isRunning()
        batch = events.getNextEventBatch()
        frame = frames.getNextFrame() if frame is None else frame
        if batch is not None:
            last_us = batch.getHighestTime()
            yield packet_of(packets, batch)
        # Where many wait, a frame does not overtake the batches of events before it.
        if frame is not None and (batch is None or frame.timestamp <= last_us):
            yield packet_of(packets, frame)
            frame, beat = None, time.monotonic()
        elif batch is not None:
            beat = time.monotonic()
        elif not running:
            return
        elif time.monotonic() - beat > _BEAT_S:
            beat = time.monotonic()
            yield packets.nothing()
        else:
            time.sleep(_NAP_S)
