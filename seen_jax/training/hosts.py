"""Several processes as one job: joining it, sharing a state, stopping together.

JAX's own distributed runtime does the work. Process 0 is the main one: it alone writes.
What a reader would get wrong: an error in one process must end that process at once,
since the others wait for it inside a sum over all devices; `ends_together` does that.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import multihost

HEARTBEAT_S = 60  # a process that was silent for this long counts as dead
READY_S = 3600  # that a process may prepare its data longer than another


def join(
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    heartbeat_s: int = HEARTBEAT_S,
) -> None:
    """Joins the job; returns at once where all three are None.

    Args:
      coordinator: HOST:PORT of process 0, a port that is free there.
      num_processes: of the job.
      process_id: from 0.
      heartbeat_s: seconds of silence after which a process counts as dead, and the
        others end.

    Raises:
      ValueError: some of the three are missing, or do not fit each other.
    """
    given = (coordinator, num_processes, process_id)
    if given == (None, None, None):
        return
    if None in given or not 0 <= process_id < num_processes:
        raise ValueError(
            "coordinator, num_processes and process_id: expected all three, with "
            f"process_id from 0 to num_processes - 1, got {given}"
        )
    jax.distributed.initialize(
        coordinator,
        num_processes,
        process_id,
        cluster_detection_method="deactivate",  # the arguments say it all
        heartbeat_timeout_seconds=heartbeat_s,
        shutdown_timeout_seconds=heartbeat_s,
    )


def is_main() -> bool:
    return jax.process_index() == 0


def from_main(tree: Any) -> Any:
    """Returns process 0's arrays in every process; shapes agree everywhere."""
    if jax.process_count() == 1:
        return tree
    return multihost_utils.broadcast_one_to_all(tree, is_source=is_main())


def facts_of_main(facts: dict[str, Any]) -> dict[str, Any]:
    """Waits until every process is here, and returns process 0's facts in each.

    A first sum over all devices would wait half a minute and no longer, while one
    process may have a store to decode.

    Args:
      facts: what JSON can hold.
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
    """Whether it is so in all processes, each of which calls this."""
    if jax.process_count() == 1:
        return here
    return bool(multihost_utils.process_allgather(np.array(here)).all())


@contextlib.contextmanager
def ends_together():
    """Ends this process at once when an error leaves the block, if there are others.

    An ordinary exit would wait for the others, who wait for this one.
    """
    try:
        yield
    except BaseException:
        if jax.process_count() == 1:
            raise
        traceback.print_exc()
        print(
            f"process {jax.process_index()} ends, and with it the job; if the error "
            "names a connection, another process ended first and its log says why",
            file=sys.stderr,
        )
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


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
        if self._alone:  # else JAX's runtime listens for SIGTERM
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
