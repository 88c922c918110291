"""Reads a source in a child process, which ends if it makes no progress.

    python -m seen_jax.cameras.child SOURCE FD LIMIT_S [--recover]

The library of a format may loop for ever in a broken file, deaf to Ctrl-C, or end its
process. The child sets the alarm of its process before every packet and leaves the
signal's default in place: the kernel ends it, whatever its threads hold. Each packet
crosses a pipe as a line of JSON and the bytes of its arrays.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from seen_jax.cameras import formats, network, simulated, usb
from seen_jax.cameras.digest import files_of
from seen_jax.cameras.network import is_live
from seen_jax.errors import UserError, counted, refuse
from seen_jax.events import Events, Recording
from seen_jax.files import RECOPY

LIMIT_S = 30.0
_BYTES_PER_S = 10e6  # to open a file: its digest, and its table rebuilt
_WHOLE = "a recording that is not broken"
_TYPES = (np.int64, np.int16, np.int16, np.bool_, np.int64, np.uint8)


def read_in_child(
    source: str, recover: bool = False, limit_s: float = LIMIT_S
) -> Iterator[Recording]:
    """Yields packets as `formats`, `network` and `usb` do, read by a child process.

    Args:
      limit_s: seconds within which every packet has to come; more for a large file.

    Raises:
      UserError: as these, and where the child was ended or ended itself.
    """
    ours, theirs = os.pipe()
    command = [sys.executable, "-P", "-m", "seen_jax.cameras.child"]
    command += [*["--recover"] * recover, "--", source, str(theirs), str(limit_s)]
    # A folder for what the child leaves where it is ended.
    with tempfile.TemporaryDirectory() as folder, Connection(ours) as pipe:
        child = subprocess.Popen(
            command,
            env={**os.environ, "TMPDIR": folder, "PYTHONPATH": python_path()},
            pass_fds=[theirs],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        try:
            yield from _receive(pipe, child, source, limit_s)
        finally:
            child.kill()
            child.wait()


def python_path() -> str:
    """Returns the PYTHONPATH with which a child imports this package and no other."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))


def _receive(
    pipe: Connection, child: subprocess.Popen, source: str, limit_s: float
) -> Iterator[Recording]:
    count = 0
    while True:
        try:
            head, content = receive(pipe)
        except (EOFError, OSError):  # the child has ended, perhaps within a packet
            break
        if "error" in head:
            raise UserError(head["error"])
        if not content:
            return
        yield unpacked(head, content)
        count += 1
    if count and is_live(source):  # as if the stream had ended
        return
    status = -child.wait()
    packets = counted(count, "packet")
    got = f"a reader that ended with {status} after {packets}"
    if status == signal.SIGALRM:
        got = f"a reader without progress for {limit_s:g} s after {packets}"
    elif status > 0:
        got = f"a reader that died of {signal.Signals(status).name}"
        got += f" after {packets}"
    if is_live(source):
        refuse(source, "a server of iniVation's protocol", got, "check the port")
    remedy = f"{RECOPY}, or read what comes before with --recover" if count else RECOPY
    refuse(source, _WHOLE, got, remedy)


def receive(pipe: Connection) -> tuple[dict, list[bytes]]:
    """Receives what `send` sent.

    Raises:
      EOFError, OSError: the other end is closed, perhaps within a packet.
    """
    head = json.loads(pipe.recv_bytes())
    return head, [pipe.recv_bytes() for _ in range(head["arrays"])]


def unpacked(head: dict, content: list[bytes]) -> Recording:
    """Makes a packet of what `receive` returned."""
    width, height = head["resolution"]
    *columns, times_us, pixels = map(np.frombuffer, content, _TYPES)
    frames = pixels.reshape(len(times_us), height, width)
    rest = (width, height), tuple(head["notes"]), head["label"]
    return Recording(Events(*columns), times_us, frames, *rest)


def send(pipe: Connection, packet: Recording | dict) -> None:
    """Sends a packet, or a JSON object alone."""
    if isinstance(packet, dict):
        pipe.send_bytes(json.dumps(packet | {"arrays": 0}).encode())
        return
    head = {name: getattr(packet, name) for name in ("resolution", "notes", "label")}
    pipe.send_bytes(json.dumps(head | {"arrays": len(_TYPES)}).encode())
    events = packet.events
    arrays = (events.t, events.x, events.y, events.p)
    for array in (*arrays, packet.times_us, packet.intensity_frames):
        pipe.send_bytes(np.ascontiguousarray(array).tobytes())


def _opened(source: str, recover: bool) -> tuple[Iterator[Recording], int]:
    """Returns the packets of a source, and bytes that have to be read first."""
    if source == "usb":
        return usb.packets_of(), 0
    if simulated.is_simulated(source):
        return simulated.packets_of(source), 0
    if is_live(source):
        return network.packets_of(source), 0
    path = Path(source)
    size = sum(x.stat().st_size for x in files_of(path)) if path.exists() else 0
    return formats.packets_of(path, recover), size


def _send_all(pipe: Connection, source: str, limit_s: float, recover: bool) -> None:
    try:
        packets, size = _opened(source, recover)
        signal.setitimer(signal.ITIMER_REAL, limit_s + size / _BYTES_PER_S)
        for packet in packets:
            signal.setitimer(signal.ITIMER_REAL, 0)  # the reader may be slow
            send(pipe, packet)
            signal.setitimer(signal.ITIMER_REAL, limit_s)
        answer = {}
    except UserError as error:
        text = str(error)
        answer = {"error": text if source in text else f"{source}: {text}"}
    except BrokenPipeError:  # nobody reads any more
        return
    except Exception as error:  # of a library of a format, in bytes it cannot read
        got = f"{type(error).__name__}: {error}"
        answer = {"error": f"{source}: expected {_WHOLE}, got {got}; {RECOPY}"}
    send(pipe, answer)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("fd", type=int)
    parser.add_argument("limit_s", type=float)
    parser.add_argument("--recover", action="store_true")
    args = parser.parse_args()
    # The kernel's way: a library that loops leaves Python no turn to act on them.
    for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    with Connection(args.fd) as pipe, contextlib.suppress(BrokenPipeError):
        _send_all(pipe, args.source, args.limit_s, args.recover)


if __name__ == "__main__":
    main()
