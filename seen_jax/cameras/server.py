"""Packets -> a server of iniVation's protocol, which any of its clients can read."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable

import dv_processing as dv
import numpy as np

from seen_jax.cameras.aedat4 import event_store
from seen_jax.errors import refuse
from seen_jax.events import Recording

_CAMERA = "DAVIS346_simulated"


def parse_address(text: str) -> tuple[str, int]:
    """Reads HOST:PORT."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65535:
        raise argparse.ArgumentTypeError(
            f"expected HOST:PORT with a port from 1 to 65534, got {text!r}; write "
            "127.0.0.1:7777"
        )
    return host.strip("[]"), int(port)


def serve(packets: Iterable[Recording], host: str, port: int) -> None:
    """Sends packets to all clients as they come: events on a port, frames on the next.

    Raises:
      UserError: a port is not available.
    """
    writers = None
    try:
        for packet in packets:
            if writers is None:
                writers = _writers(host, port, packet.resolution)
                print(
                    f"serving tcp://{host}:{port},{port + 1}; Ctrl-C ends", flush=True
                )
            _write(packet, *writers)
    except KeyboardInterrupt:
        # The library waits for its clients when its objects are deleted.
        os._exit(130)


def _writers(host: str, port: int, size: tuple[int, int]):
    kinds, server = dv.io.Stream, dv.io.NetworkWriter
    try:
        return (
            server(host, port, kinds.EventStream(0, "events", _CAMERA, size)),
            server(host, port + 1, kinds.FrameStream(1, "frames", _CAMERA, size)),
        )
    except RuntimeError as error:
        why = str(error).partition(" [")[0]
        refuse(f"{host}:{port}", "two free ports", why, "give another address")


def _write(packet: Recording, events, frames) -> None:
    if len(packet.events):
        events.writeEvents(event_store(packet.events))
    for time_us, image in zip(
        packet.times_us.tolist(), packet.intensity_frames, strict=True
    ):
        frames.writeFrame(dv.Frame(time_us, np.ascontiguousarray(image)))
