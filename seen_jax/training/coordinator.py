"""The coordination service of a job, in a process of its own beside process 0.

    python -m seen_jax.training.coordinator PORT NUM_PROCESSES TIMEOUT_S

JAX would run it inside process 0. A killed process 0 would then take it along, and
JAX's runtime aborts every process that loses its service, before Python can say why.
Here the service stays up for `LINGER_S` after process 0 has ended, in whichever way,
so that the others end with a message.
"""

from __future__ import annotations

import importlib
import operator
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from typing import Any

from seen_jax.errors import refuse

# The parts of JAX used here that it offers no public way to; `private` reads them.
# The service, started alone: `jax.distributed.initialize` starts it in process 0.
SERVICE = "jaxlib._jax", "get_distributed_runtime_service"
# The client of that service, whose key-value store carries the beats of `peers`.
CLIENT = "jax._src.distributed", "global_state.client"
CLIENT_METHODS = "key_value_set", "key_value_dir_get"
LINGER_S = 8  # longer than `peers.NOTE_S`, after which the others have ended


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


def start(port: int, num_processes: int, timeout_s: int) -> subprocess.Popen:
    """Starts the service, which ends after this process has ended.

    Args:
      timeout_s: of JAX's own heartbeats and of its shutdown.

    Raises:
      UserError: this release of JAX has no such service.
    """
    private(*SERVICE)  # here, since nobody reads the errors of the other process
    arguments = map(str, (port, num_processes, timeout_s))
    return subprocess.Popen(
        [sys.executable, "-m", "seen_jax.training.coordinator", *arguments],
        stdin=subprocess.PIPE,  # closes when this process ends
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def main(port: str, num_processes: str, timeout_s: str) -> None:
    """Serves until the standard input closes."""
    for number in (signal.SIGINT, signal.SIGTERM):  # which Slurm sends to all
        signal.signal(number, signal.SIG_IGN)
    service = private(*SERVICE)(
        f"[::]:{port}",
        int(num_processes),
        heartbeat_timeout=int(timeout_s),
        shutdown_timeout=int(timeout_s),
    )
    sys.stdin.buffer.read()
    time.sleep(LINGER_S)
    del service
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
