"""The coordination service of a job, in a process of its own beside process 0.

    python -m seen_jax.training.coordinator SOCKET NUM_PROCESSES TIMEOUT_S

JAX would run it inside process 0. A killed process 0 would then take it along, and
JAX's runtime aborts every process that loses its service, before Python can say why.
Here the service stays up for `LINGER_S` after process 0 has ended, in whichever way,
so that the others end with a message. It starts when all processes have come.
"""

from __future__ import annotations

import contextlib
import importlib
import operator
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from typing import Any

from seen_jax.errors import refuse
from seen_jax.training.rendezvous import GO, LINGER_S, gather

# The parts of JAX used here that it offers no public way to; `private` reads them.
# The service, started alone: `jax.distributed.initialize` starts it in process 0.
SERVICE = "jaxlib._jax", "get_distributed_runtime_service"
# The client of that service, whose key-value store carries the beats of `peers`.
CLIENT = "jax._src.distributed", "global_state.client"
CLIENT_METHODS = "key_value_set", "key_value_dir_get"


def private(module: str, name: str) -> Any:
    """Returns a part of JAX that is not public.

    Raises:
      UserError: this release does not have it.
    """
    try:
        return operator.attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError):
        rule = f"a release with {module}.{name}, which a job of processes needs"
        remedy = (
            "run python -m pip install -r requirements.txt, or train in one process"
        )
        refuse("jax", rule, version("jax"), remedy)


def start(
    listener: socket.socket, num_processes: int, timeout_s: int
) -> subprocess.Popen:
    """Starts the service's process, which ends after this process has ended.

    Args:
      listener: of `rendezvous.listen`, closed here.
      timeout_s: of JAX's own heartbeats and of its shutdown.

    Raises:
      UserError: this release of JAX has no such service.
    """
    private(*SERVICE)  # here, since nobody reads the errors of the other process
    with listener:
        arguments = map(str, (listener.fileno(), num_processes, timeout_s))
        return subprocess.Popen(
            [sys.executable, "-m", "seen_jax.training.coordinator", *arguments],
            stdin=subprocess.PIPE,  # closes when this process ends
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
        )


def main(listener: str, num_processes: str, timeout_s: str) -> None:
    """Serves until the standard input closes."""
    for number in (signal.SIGINT, signal.SIGTERM):  # which Slurm sends to all
        signal.signal(number, signal.SIG_IGN)
    services: list[Any] = []
    end = threading.Thread(target=_end_with_input, args=[services])
    end.start()
    with socket.socket(fileno=int(listener)) as meeting:
        address = f"[::]:{meeting.getsockname()[1]}"
        connections = gather(meeting, int(num_processes))
    timeouts = dict.fromkeys(("heartbeat_timeout", "shutdown_timeout"), int(timeout_s))
    services.append(private(*SERVICE)(address, int(num_processes), **timeouts))
    for connection in connections:
        with contextlib.suppress(OSError):  # it has gone, which the others will notice
            connection.sendall(GO)
    end.join()


def _end_with_input(services: list[Any]) -> None:
    sys.stdin.buffer.read()
    if services:
        time.sleep(LINGER_S)
        services.clear()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
