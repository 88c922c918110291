"""Packets -> AEDAT4 files in a folder, written by a process of its own.

    python -m seen_jax.cameras.recorder FOLDER FD PART_S

    FOLDER/00000.aedat4         complete, with its SHA-256 beside it; then 00001, ...
    FOLDER/00001.part.aedat4    being written

However the program that records ends, the pipe to this process ends with it, and the
file is finished. A part is left only where this process is killed, too, or the power
goes; `--recover` reads what is in it. A new file begins every ten minutes and where the
timestamps or the sensor are others.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from seen_jax.cameras import digest
from seen_jax.cameras.child import python_path, receive, send, unpacked
from seen_jax.errors import run_command
from seen_jax.events import Recording
from seen_jax.files import explained

PART_S = 600.0  # of the camera's time, in a file
_MAX_WAITING = 4096  # packets, some seconds


class Recorder:
    """Records what it is given, without letting anyone wait.

    Attributes:
      files: names of those that are complete; known when it is closed.
      failure: why it ended before, or "".
    """

    def __init__(self, folder: str | os.PathLike, part_s: float = PART_S):
        """Starts the process.

        Args:
          folder: is made; recordings in it stay, and the numbers continue.
          part_s: length of a file, seconds.

        Raises:
          UserError: the folder cannot be written.
        """
        with explained(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        self._folder, self.files, self.failure, self._is_said = folder, [], "", False
        self._waiting: queue.Queue = queue.Queue(_MAX_WAITING)
        theirs, ours = os.pipe()
        command = [sys.executable, "-P", "-m", "seen_jax.cameras.recorder"]
        self._process = subprocess.Popen(
            [*command, os.path.abspath(folder), str(theirs), str(part_s)],
            env={**os.environ, "PYTHONPATH": python_path()},
            pass_fds=[theirs],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # what ends a group of processes spares it
            text=True,
        )
        os.close(theirs)
        pipe = Connection(ours, readable=False)
        self._thread = threading.Thread(target=self._run, args=(pipe,), daemon=True)
        self._thread.start()

    def write(self, packet: Recording) -> tuple[str, ...]:
        """Takes a packet; returns a note where the recording has ended, once."""
        if not self.failure:
            try:
                self._waiting.put_nowait(packet)
            except queue.Full:
                self.failure = "the disk takes longer than the camera"
        if not self.failure or self._is_said:
            return ()
        self._is_said = True
        return (f"the recording ended: {self.failure}",)

    def close(self) -> None:
        """Returns when all that was taken is written."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self, pipe: Connection) -> None:
        try:
            with pipe:
                for packet in iter(self._waiting.get, None):
                    send(pipe, packet)
        except OSError:  # its process has ended, and says why
            self._wait()
            for _ in iter(self._waiting.get, None):
                pass
        else:
            self._wait()

    def _wait(self) -> None:
        out, err = self._process.communicate()
        self.files = out.splitlines()
        status = self._process.returncode
        if status < 0:  # the library ends its process where the disk is full
            free = shutil.disk_usage(self._folder).free / 1e6
            died = f"its process died of {signal.Signals(-status).name}"
            self.failure = f"{died}; {self._folder} has {free:.0f} MB free"
        elif status:
            self.failure = err.strip() or f"its process ended with {status}"


class _Part:
    """A file that is being written.

    Args:
      folder: where.
      packet: the first one of it.
      part_s: see `Recorder`.
    """

    def __init__(self, folder: Path, packet: Recording, part_s: float):
        from seen_jax.cameras.aedat4 import Writer

        number = 0
        while any(x.exists() for x in _names(folder, number)):
            number += 1
        self._path, self._part = _names(folder, number)
        self._resolution = packet.resolution
        self._end_us = min(_firsts(packet)) + part_s * 1e6
        self._last_us = [-1, -1]
        self._writer = Writer(self._part, packet.resolution)

    def takes(self, packet: Recording) -> bool:
        """Tells whether a packet belongs into this file."""
        pairs = zip(_times(packet), self._last_us, strict=True)
        follows = all(t[0] >= last for t, last in pairs if len(t))
        is_same = packet.resolution == self._resolution
        return follows and is_same and min(_firsts(packet)) < self._end_us

    def write(self, packet: Recording) -> None:
        self._writer.write(packet)
        for i, t in enumerate(_times(packet)):
            if len(t):
                self._last_us[i] = t[-1]

    def finish(self) -> None:
        """Closes the file, puts it in its place, and prints its path."""
        self._writer.close()
        with explained(self._path):
            with open(self._part, "rb") as file:
                os.fsync(file.fileno())
            digest.replace(self._part, self._path)
        print(self._path, flush=True)


def _names(folder: Path, number: int) -> tuple[Path, Path]:
    return tuple(folder / f"{number:05d}{x}.aedat4" for x in ("", ".part"))


def _times(packet: Recording):
    return packet.events.t, packet.times_us


def _firsts(packet: Recording) -> list[int]:
    return [int(t[0]) for t in _times(packet) if len(t)]


def _packets(pipe: Connection):
    """Yields packets that are not empty, until the pipe ends, within one or not."""
    while True:
        try:
            packet = unpacked(*receive(pipe))
        except (EOFError, OSError):
            return
        if _firsts(packet):
            yield packet


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("fd", type=int)
    parser.add_argument("part_s", type=float)
    args = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    part, finished = None, []
    # Digests are computed while the next file is written.
    with Connection(args.fd, writable=False) as pipe, ThreadPoolExecutor(1) as pool:
        for packet in _packets(pipe):
            if part is not None and not part.takes(packet):
                finished.append(pool.submit(part.finish))
                part = None
            part = part or _Part(args.folder, packet, args.part_s)
            part.write(packet)
        if part is not None:
            finished.append(pool.submit(part.finish))
    for each in finished:
        each.result()


if __name__ == "__main__":
    sys.exit(run_command(main, (RuntimeError,)))
