"""Messages -> a process that shows them, without blocking the sender."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from seen_jax.cameras.child import python_path


class Outlet:
    """A module in a process of its own, fed through a pipe.

    The module's first two arguments are descriptors: messages come from one, answers go
    to the other. It ends when the pipe closes.

    Attributes:
      failure: why it ended before it was closed, or "".
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[object] = (),
        descriptors: Sequence[int] = (),
        max_waiting: int = 8,
        on_answer: Callable[[Any], None] = lambda answer: None,
    ):
        """Starts the process.

        Args:
          module: such as "seen_jax.live.page".
          arguments: of the module, behind the two descriptors.
          descriptors: that the process inherits.
          max_waiting: messages that may wait; with one more, the oldest is dropped.
          on_answer: called with what the process sends, in a thread.
        """
        self.failure, self._on_answer = "", on_answer
        self._waiting: queue.Queue = queue.Queue(max_waiting)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115, closed by `close`
        things, ours = os.pipe()
        answers, theirs = os.pipe()
        command = [sys.executable, "-P", "-m", module, str(things), str(theirs)]
        self._process = subprocess.Popen(
            [*command, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": python_path()},
            pass_fds=[things, theirs, *descriptors],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C ends its feeder, and that ends it
        )
        os.close(things), os.close(theirs)
        pipes = Connection(ours, readable=False), Connection(answers, writable=False)
        feeder, self._listener = [
            threading.Thread(target=work, args=(pipe,), daemon=True)
            for work, pipe in zip((self._feed, self._listen), pipes, strict=True)
        ]
        feeder.start(), self._listener.start()

    def put(self, thing: Any, wait: bool = False) -> None:
        """Queues a message, to be pickled; waits for room, or drops the oldest."""
        while not self.failure:
            try:
                return self._waiting.put(thing, timeout=0.1 if wait else 0)
            except queue.Full:
                if not wait:
                    with contextlib.suppress(queue.Empty):
                        self._waiting.get_nowait()

    def close(self, timeout_s: float = 60.0) -> None:
        """Lets the process finish its queue; kills it after the timeout."""
        deadline_s = time.monotonic() + timeout_s
        if not self.failure:
            with contextlib.suppress(queue.Full):  # its process takes nothing any more
                self._waiting.put(None, timeout=timeout_s)
        self._listener.join(max(0.0, deadline_s - time.monotonic()))
        if self._listener.is_alive():
            self._process.kill()
            self._listener.join()
        self._said.close()

    def _feed(self, pipe: Connection) -> None:
        with pipe, contextlib.suppress(OSError):  # its process has ended
            for thing in iter(self._waiting.get, None):
                pipe.send(thing)

    def _listen(self, pipe: Connection) -> None:
        with pipe, contextlib.suppress(EOFError, OSError):
            while True:
                self._on_answer(pipe.recv())
        if status := self._process.wait():
            self._said.seek(0)
            said = self._said.read().decode(errors="replace").strip()
            died = f"its process ended with {status}"
            if status < 0:
                died = f"its process died of {signal.Signals(-status).name}"
            self.failure = said[-2000:] or died
