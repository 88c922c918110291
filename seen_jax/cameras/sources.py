"""The one way in: a SOURCE, as a person writes it, -> packets.

    FILE                     a recording, see `seen_jax.cameras.formats`
    tcp://HOST:PORT[,PORT]   see `seen_jax.cameras.network`
    unix:PATH,PATH           the same by local sockets
    usb                      a camera at this computer
    simulator[:SEED]         a virtual volunteer before a virtual camera, in real time

Everything downstream works on packets, and cannot tell their source.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from seen_jax.cameras.child import LIMIT_S, read_in_child
from seen_jax.cameras.network import is_live
from seen_jax.cameras.packets import Packets, gather
from seen_jax.cameras.simulated import is_simulated
from seen_jax.errors import UserError, counted, refuse
from seen_jax.events import Recording

_CONNECT_S, _COMPILE_S = 10.0, 120.0
_RECONNECT_S, _RETRY_S = 30.0, 0.3


def open_source(
    source: str | os.PathLike, *, recover: bool = False, limit_s: float = LIMIT_S
) -> Iterator[Recording]:
    """Yields the packets of a source; the last one of a file holds its notes.

    When a live source ends, this tries to reconnect for 30 s; the first packet of the
    new connection has a note. Its timestamps may be earlier, see `periods`. Meanwhile
    empty packets are yielded, so that the reader can stop.

    Args:
      recover: whether to read what is left of an incomplete file.
      limit_s: seconds within which every packet has to come.

    Raises:
      UserError: there is no such source, or it is broken; packets before that are
        valid.
    """
    source = os.fspath(source)
    if is_simulated(source):
        yield from read_in_child(source, limit_s=max(limit_s, _COMPILE_S))
    elif is_live(source):
        yield from _reconnected(source, min(limit_s, _CONNECT_S))
    else:
        yield from read_in_child(source, recover, limit_s)


def _reconnected(source: str, limit_s: float) -> Iterator[Recording]:
    """Reads a live source; where it ends, waits for it to come back."""
    last = None  # when a packet came
    while True:
        notes, count = (), 0
        if last is not None:
            notes = ("the stream ended and came back: what it sent meanwhile is lost",)
        try:
            for packet in read_in_child(source, limit_s=limit_s):
                yield replace(packet, notes=packet.notes + notes)
                last, notes, count = time.monotonic(), (), count + 1
        except UserError:  # with packets before it, it is about what they hold
            if last is None or count or time.monotonic() - last > _RECONNECT_S:
                raise
        if last is not None:
            yield Packets(packet.resolution).nothing()
        time.sleep(_RETRY_S)


def read_recording(
    source: str | os.PathLike, *, recover: bool = False, limit_s: float = LIMIT_S
) -> Recording:
    """Reads a source that ends, to its end; arguments as of `open_source`.

    With `recover`, what comes before a packet that cannot be read is enough.

    Raises:
      UserError: as `open_source`, or it lacks events or intensity frames, or timestamps
        decrease.
    """
    if is_live(os.fspath(source)) or is_simulated(os.fspath(source)):
        refuse(source, "a recording", "a stream without an end", "record it first")
    packets, lost = [], ()
    try:
        for packet in open_source(source, recover=recover, limit_s=limit_s):
            packets.append(packet)
    except UserError as error:
        if not recover or not packets:
            raise
        lost = (f"lost after {counted(len(packets), 'packet')}: {error}",)
    try:
        recording = gather(packets)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    return replace(recording, notes=recording.notes + lost)


@functools.lru_cache(maxsize=1)
def read_once(path: Path, recover: bool = False) -> Recording:
    """Reads as `read_recording`, and keeps the latest recording of this process."""
    return read_recording(path, recover=recover)
