"""Packets -> AEDAT4 files in a folder, written by a process of its own.

    python -m seen_jax.cameras.recorder FOLDER FD PART_S

    FOLDER/00000.aedat4         complete, with its SHA-256 beside it; then 00001, ...
    FOLDER/00001.part.aedat4    being written
    FOLDER/CLIPS.csv            clips that were marked, for `seen_jax.recordings`

However the recording program ends, its pipe to this process closes, and this process
finishes the file. A .part file remains only if this process is killed too, or the power
fails; `--recover` reads it. A new file begins every ten minutes, and when the sensor
changes or the timestamps go back.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from seen_jax.cameras import digest
from seen_jax.cameras.child import python_path, receive, send, unpacked
from seen_jax.errors import run_command
from seen_jax.events import Recording
from seen_jax.files import explained

PART_S = 600.0  # of the camera's time, in a file
_MAX_WAITING = 4096  # packets, some seconds
_LITTLE_BYTES = 100e6  # of a disk; with less, that is likely why its process died
CLIPS = "CLIPS.csv"
COLUMNS = "recording", "start_s", "end_s", "label", "volunteer", "crop"


@dataclasses.dataclass(frozen=True)
class Clip:
    """A part of a stream that somebody named.

    Attributes:
      start_us, end_us: by the camera's clock.
      label, volunteer: of it.
      crop: "X,Y,SIZE" in pixels.
      least_us: a part of it in one file that is shorter than this gets no row.
    """

    start_us: int
    end_us: int
    label: str
    volunteer: str
    crop: str
    least_us: int = 1


class Recorder:
    """Records packets without blocking the caller.

    Attributes:
      files: names of those that are complete; known when it is closed.
      failure: why it ended early, or "".
      is_on: whether packets are recorded; a file ends where this is set to False.
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
        self._folder, self._old_parts = Path(folder), _parts(folder)
        self.files, self.failure, self._is_said = [], "", False
        self._is_on = True
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
            start_new_session=True,  # a signal to the process group does not reach it
            text=True,
        )
        os.close(theirs)
        pipe = Connection(ours, readable=False)
        self._thread = threading.Thread(target=self._run, args=(pipe,), daemon=True)
        self._thread.start()

    @property
    def is_on(self) -> bool:
        return self._is_on and not self.failure

    @is_on.setter
    def is_on(self, value: bool) -> None:
        if self._is_on and not value:
            self._put({"ends": True})
        self._is_on = value

    def mark(self, clip: Clip) -> None:
        """Adds a clip to the table, a row for each file that has a part of it."""
        self._put({"clip": dataclasses.asdict(clip)})

    def write(self, packet: Recording) -> tuple[str, ...]:
        """Takes a packet; returns a note, once, if the recording has ended."""
        if self._is_on:
            self._put(packet)
        if not self.failure or self._is_said:
            return ()
        self._is_said = True
        return (f"the recording ended: {self.failure}",)

    def _put(self, item: Recording | dict) -> None:
        if not self.failure:
            try:
                self._waiting.put_nowait(item)
            except queue.Full:
                self.failure = "writing takes longer than the camera sends"

    def close(self) -> None:
        """Waits until everything is written."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self, pipe: Connection) -> None:
        try:
            with pipe:
                for item in iter(self._waiting.get, None):
                    send(pipe, item)
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
        if not status:
            return
        failure = err.strip() or f"its process ended with {status}"
        if status < 0:  # the library ends its process where the disk is full
            failure = f"its process died of {signal.Signals(-status).name}"
            free = shutil.disk_usage(self._folder).free
            if free < _LITTLE_BYTES:
                failure += f"; {self._folder} has {free / 1e6:.0f} MB free"
        if parts := sorted(_parts(self._folder) - self._old_parts):
            names = " and ".join(map(str, parts))
            failure += f"; read what is left, {names}, with --recover"
        self.failure = failure


class _Part:
    """A file that is being written."""

    def __init__(self, folder: Path, packet: Recording, part_s: float):
        from seen_jax.cameras.aedat4 import Writer

        number = 0
        while any(x.exists() for x in _names(folder, number)):
            number += 1
        self._path, self._part = _names(folder, number)
        self._resolution = packet.resolution
        self._first_us = min(_firsts(packet))
        self._end_us = self._first_us + part_s * 1e6
        self._last_us = [-1, -1]
        self._clips: list[Clip] = []
        self._writer = Writer(self._part, packet.resolution)

    def continues(self, packet: Recording) -> bool:
        """Tells whether a packet is of the same sensor and clock."""
        pairs = zip(_times(packet), self._last_us, strict=True)
        follows = all(t[0] >= last for t, last in pairs if len(t))
        return follows and packet.resolution == self._resolution

    def is_full(self, packet: Recording) -> bool:
        """Tells whether a packet belongs in the next file."""
        return min(_firsts(packet)) >= self._end_us

    def write(self, packet: Recording) -> None:
        self._writer.write(packet)
        for i, t in enumerate(_times(packet)):
            if len(t):
                self._first_us = min(self._first_us, int(t[0]))
                self._last_us[i] = int(t[-1])

    def mark(self, clip: Clip) -> None:
        """Takes a clip, which may extend into packets to come."""
        self._clips.append(clip)

    def rows(self, is_over: bool = False) -> Iterator[tuple]:
        """Yields the rows of complete clips, once each; at the end, of all clips."""
        waiting, last_us = [], min(self._last_us)
        for clip in self._clips:
            if clip.end_us > last_us and not is_over:
                waiting.append(clip)
                continue
            begin = max(clip.start_us, self._first_us)
            end = min(clip.end_us, max(self._last_us))
            if last_us >= 0 and end - begin >= clip.least_us:
                times = (f"{(x - self._first_us) / 1e6:.6f}" for x in (begin, end))
                yield self._path.name, *times, clip.label, clip.volunteer, clip.crop
        self._clips = waiting

    def finish(self) -> None:
        """Closes the file, puts it in its place, and prints its path."""
        self._writer.close()
        with explained(self._path):
            digest.replace(self._part, self._path)
        print(self._path, flush=True)


def _names(folder: Path, number: int) -> tuple[Path, Path]:
    return tuple(folder / f"{number:05d}{x}.aedat4" for x in ("", ".part"))


def _parts(folder: str | os.PathLike) -> set[Path]:
    return set(Path(folder).glob("*.part.aedat4"))


def _times(packet: Recording):
    return packet.events.t, packet.times_us


def _firsts(packet: Recording) -> list[int]:
    return [int(t[0]) for t in _times(packet) if len(t)]


def _items(pipe: Connection) -> Iterator[Recording | dict]:
    """Yields packets that are not empty and what `_put` took, until the pipe ends."""
    while True:
        try:
            head, content = receive(pipe)
        except (EOFError, OSError):
            return
        item = unpacked(head, content) if content else head
        if not content or _firsts(item):
            yield item


class _Folder:
    """The files, one after the other.

    Args:
      pool: finishes a file while the next one is written.
    """

    def __init__(self, folder: Path, part_s: float, pool: ThreadPoolExecutor):
        self._folder, self._part_s, self._pool = folder, part_s, pool
        self._before: _Part | None = None  # a clip is known only when it is over
        self._part: _Part | None = None
        self._clips: list[Clip] = []  # the next file may have a part of them
        self._finished: list[Future] = []

    def take(self, item: Recording | dict) -> None:
        if isinstance(item, Recording):
            self._write(item)
        elif "clip" in item:
            self._clips.append(clip := Clip(**item["clip"]))
            for part in filter(None, (self._before, self._part)):
                part.mark(clip)
            if self._before:
                self._append(self._before.rows(is_over=True))
        else:
            self.end()
        if self._part:
            self._append(self._part.rows())

    def end(self) -> None:
        """Ends the file that is being written; no clip reaches into the next one."""
        self._close()
        self._before, self._clips = None, []

    def wait(self) -> None:
        """Waits until all files are in their places.

        Raises:
          UserError: one could not be written.
        """
        for each in self._finished:
            each.result()

    def _write(self, packet: Recording) -> None:
        if self._part is not None:
            if not self._part.continues(packet):
                self.end()  # the two files have different clocks or sensors
            elif self._part.is_full(packet):
                self._close()
        if self._part is None:
            self._part = _Part(self._folder, packet, self._part_s)
            self._clips = [x for x in self._clips if x.end_us > min(_firsts(packet))]
            for clip in self._clips:
                self._part.mark(clip)
        self._part.write(packet)

    def _close(self) -> None:
        if self._part is not None:
            self._append(self._part.rows(is_over=True))
            self._finished.append(self._pool.submit(self._part.finish))
            self._before, self._part = self._part, None

    def _append(self, rows: Iterator[tuple]) -> None:
        if not (rows := [*rows]):
            return
        path = self._folder / CLIPS
        with explained(path), open(path, "a", encoding="utf-8", newline="") as file:
            if not file.tell():
                csv.writer(file, lineterminator="\n").writerow(COLUMNS)
            csv.writer(file, lineterminator="\n").writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("fd", type=int)
    parser.add_argument("part_s", type=float)
    args = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with Connection(args.fd, writable=False) as pipe, ThreadPoolExecutor(1) as pool:
        folder = _Folder(args.folder, args.part_s, pool)
        for item in _items(pipe):
            folder.take(item)
        folder.end()
    folder.wait()


if __name__ == "__main__":
    sys.exit(run_command(main, (RuntimeError,)))
