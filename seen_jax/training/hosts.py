"""Several processes as one job: joining it, sharing a state, stopping together.

JAX's distributed runtime does the work. Process 0 is the main one: it alone writes.

The processes draw the same windows in the same order and take the same steps as one
process with as many devices. One process with fewer devices adds the same numbers up in
another order: equal but for rounding, which in float64 stays below 1e-9 of every value,
while in float32 it may flip a spike, after which two runs are as two seeds.

Note: an error in one process must end that process at once, since the others wait for
it inside a sum over all devices; `ends_together` does that.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
import time
import traceback
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import multihost

from seen_jax.errors import UserError, counted, refuse
from seen_jax.training import coordinator as coordinator_lib
from seen_jax.training import rendezvous
from seen_jax.training.peers import Peers, end_process

HEARTBEAT_S = 60  # a process that was silent for this long counts as gone
JOIN_S = 300  # in which all processes have to come
READY_S = 3600  # that a process may prepare its data longer than another
CONNECT_S = 60  # in which all that have come connect to JAX's service
MAX_S = 7 * 24 * 3600  # that may be asked for as the first two

_peers: Peers | None = None  # of the job that this process has joined
_service: subprocess.Popen | None = None  # of process 0; ends when this goes


def join(
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    heartbeat_s: int = HEARTBEAT_S,
    join_s: int = JOIN_S,
) -> None:
    """Joins the job; returns at once where the first three are None.

    Args:
      coordinator: HOST:PORT of process 0, a port that is free there.
      heartbeat_s: seconds of silence after which a process counts as gone, and the
        others end.

    Raises:
      UserError: some of the first three are missing or do not fit each other or the
        other processes, the port is in use, the processes do not all come in time, or
        this release of JAX has no way to watch them.
    """
    job = (coordinator, num_processes, process_id)
    if job == (None, None, None):
        return
    if None in job or not 0 <= process_id < num_processes:
        refuse(
            "coordinator, num_processes and process_id",
            "all three, with process_id from 0 to num_processes - 1",
            job,
        )
    if not 1 <= min(heartbeat_s, join_s) <= max(heartbeat_s, join_s) <= MAX_S:
        got = f"{heartbeat_s} and {join_s}"
        refuse("heartbeat_s and join_s", f"1 to {MAX_S}, a week", got)
    coordinator_lib.private(*coordinator_lib.CLIENT)  # before any process waits
    _, port = rendezvous.split_address(coordinator)
    end = time.time() + join_s
    awaited = f"process 0 at {coordinator} and all others"
    if process_id == 0:
        awaited = f"{counted(num_processes - 1, 'other')} at {coordinator}"
    until = time.strftime("%H:%M:%S", time.localtime(end))
    print(
        f"process {process_id} of {num_processes} waits for {awaited} until {until} "
        f"(--join_s={join_s})",
        flush=True,
    )
    global _peers, _service
    if process_id == 0:
        listener = rendezvous.listen(port)
        _service = coordinator_lib.start(listener, num_processes, 2 * heartbeat_s)
    rendezvous.meet(coordinator, process_id, num_processes, join_s)
    # JAX would abort with a stack dump; its own limit must not be reached.
    late = (
        f"process {process_id}: expected an answer of all processes in {CONNECT_S} s, "
        "got none of some; read their logs, and run the same commands again"
    )
    limit = threading.Timer(CONNECT_S, end_process, [late])
    limit.daemon = True
    limit.start()
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            cluster_detection_method="deactivate",  # the arguments say it all
            initialization_timeout=CONNECT_S + 60,
            heartbeat_timeout_seconds=2 * heartbeat_s,  # `Peers` is to notice first
            shutdown_timeout_seconds=2 * heartbeat_s,
            # JAX starts a service in process 0, which nobody asks: on any free port.
            coordinator_bind_address="127.0.0.1:0",
        )
    finally:
        limit.cancel()
    module, client = coordinator_lib.CLIENT
    for method in coordinator_lib.CLIENT_METHODS:  # missing, no beat would be sent
        coordinator_lib.private(module, f"{client}.{method}")
    client = coordinator_lib.private(module, client)
    _peers = Peers(client, process_id, num_processes, heartbeat_s)


def is_main() -> bool:
    return jax.process_index() == 0


def from_main(tree: Any) -> Any:
    """Returns process 0's arrays in every process; shapes agree everywhere."""
    return multihost_utils.broadcast_one_to_all(tree, is_source=is_main())


def facts_of_main(facts: dict[str, Any]) -> dict[str, Any]:
    """Waits until every process is here; returns process 0's facts (JSON) in each.

    A first sum over all devices would wait half a minute and no longer, while one
    process may have a store to decode.
    """
    if jax.process_count() == 1:
        return facts
    processes = set(range(jax.process_count()))
    multihost.sync_global_processes("facts", timeout=READY_S, processes=processes)
    text = json.dumps(facts).encode()
    size = int(from_main(np.int32(len(text))))
    sent = np.zeros(size, np.uint8)
    sent[: len(text)] = np.frombuffer(text, np.uint8)[:size]
    return json.loads(bytes(from_main(sent)))


def everywhere(here: bool) -> bool:
    """Whether a condition holds in all processes, each of which calls this."""
    if jax.process_count() == 1:
        return here
    return bool(multihost_utils.process_allgather(np.array(here)).all())


@contextlib.contextmanager
def ends_together():
    """Ends this process at once when an error leaves the block, if there are others.

    An ordinary exit would wait for the others, who wait for this one. An error that
    the loss of another process explains becomes a line that names that process.
    """
    try:
        yield
        if _peers is not None:
            _peers.note("")
            jax.distributed.shutdown()  # waits for the others, while they are watched
            _peers.leave()
    except BaseException as error:
        if _peers is None:
            raise
        _end(error)


def _end(error: BaseException):
    who = f"process {jax.process_index()}"
    text = str(error).removeprefix(f"{who}: ")  # some errors name it
    if isinstance(error, KeyboardInterrupt):
        _peers.note("interrupted")
        end_process(f"{who}: interrupted", 130)
    if not isinstance(error, (UserError, OSError, FloatingPointError)):
        if lost := _peers.failed():
            end_process(f"{who}: {lost}")
        traceback.print_exception(error)
        text = f"{type(error).__name__}, see the traceback in its log"
    _peers.note(text)
    end_process(f"{who}: {text}")


class Stop:
    """Notices that the run is to end: SIGTERM, and Ctrl-C where it runs alone.

    With several processes a SIGTERM to any of them counts for all, and all stop after
    the same step.

    Attributes:
      signal: number of the signal that came, 0 if none did.
    """

    def __init__(self):
        self.signal = 0
        self._num_asked = 0
        self._alone = jax.process_count() == 1
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if self._alone:  # otherwise JAX's runtime listens for SIGTERM
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        if self.signal:  # a second time: do not wait for the checkpoint
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.signal = number

    def asked(self) -> bool:
        """Says whether to stop now; all processes ask equally often."""
        self._num_asked += 1
        if not self._alone and multihost_utils.reached_preemption_sync_point(
            self._num_asked
        ):
            self.signal = signal.SIGTERM
        return self.signal != 0
