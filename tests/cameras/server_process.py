"""Starts `tests.cameras.server` and says what it sends."""

import contextlib
import socket
import subprocess
import sys

import numpy as np

from seen_jax.events import Events, Recording
from tests.helpers import ROOT

ORIGIN = 10**15


def free_ports():
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in both:
            one.bind(("127.0.0.1", 0))
        return [str(x.getsockname()[1]) for x in both]


def free_pair():
    """A free port whose next one is free, too."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = first.getsockname()[1]
            with (
                contextlib.suppress(OSError, OverflowError),
                socket.create_server(("127.0.0.1", port + 1)),
            ):
                return port


@contextlib.contextmanager
def served(*arguments):
    command = [sys.executable, "-m", "tests.cameras.server", *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        try:
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            process.kill()


def sent(origin=ORIGIN):
    """All that the server sends."""
    i, j = np.divmod(np.arange(30_000), 1_000)
    x, y = (array.astype(np.int16) for array in (j % 40, i))
    levels = np.arange(30, dtype=np.uint8)[:, None, None]
    events = Events(origin + 10_000 * i + 10 * j, x, y, j % 3 == 0)
    frames = np.broadcast_to(levels, (30, 30, 40))
    return Recording(events, origin + 10_000 * np.arange(30), frames, (40, 30))
