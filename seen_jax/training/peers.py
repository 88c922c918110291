"""Who else is in the job: noticing a process that is gone.

Each process counts up a number in the key-value store of JAX's coordination service
and watches the numbers of the others. JAX has heartbeats too, but answers a missed one
by aborting the process with a stack dump, and Python cannot be called instead.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import Any, NoReturn

BEAT_S = 0.25
GONE_S = 1  # without a beat, after an error that a lost process would explain
NOTE_S = 5  # in which a process ends by itself once another says that it failed
AGAIN = "read its log, then run the same commands again to resume from the checkpoint"


class Peers:
    """The other processes, watched from two threads until this process leaves.

    One thread exchanges numbers with the service and may hang in that; the other one
    counts for how long each number stood still.

    Args:
      client: `coordinator.CLIENT`, with its methods `CLIENT_METHODS`.
      heartbeat_s: silence after which another process counts as gone.
    """

    def __init__(self, client: Any, index: int, count: int, heartbeat_s: int):
        self._client = client
        self._index = index
        self._heartbeat_s = heartbeat_s
        self._silent_s = {peer: 0.0 for peer in range(count) if peer != index}
        self._notes: dict[int, str] = {}  # why a process ended; empty if it is done
        self._is_over = False
        self._threads = [
            threading.Thread(target=target, name="peers", daemon=True)
            for target in (self._beat, self._watch)
        ]
        for thread in self._threads:
            thread.start()

    def note(self, text: str) -> None:
        """Tells the others that this process ends, and why; empty text: it is done."""
        with contextlib.suppress(Exception):  # the service may be gone
            self._client.key_value_set(f"seen/note/{self._index}", text)

    def leave(self) -> None:
        """Ends the watch.

        Otherwise a call to the service could return while Python takes itself apart,
        which aborts the process.
        """
        self._is_over = True
        for thread in self._threads:
            thread.join(GONE_S)

    def failed(self) -> str | None:
        """Says which process ended first; takes a second or two, None if none did."""
        for _ in range(int(2 * GONE_S / BEAT_S)):
            if text := self._noted() or self._silent(GONE_S):
                return text
            time.sleep(BEAT_S)
        return None

    def _noted(self) -> str | None:
        for peer, text in sorted(self._notes.items()):
            if text:
                return f"process {peer} ended: {text}"
        return None

    def _silent(self, limit_s: float) -> str | None:
        peers = [
            peer
            for peer, seconds in self._silent_s.items()
            if seconds > limit_s and self._notes.get(peer) != ""
        ]
        if not peers:
            return None
        if len(peers) == len(self._silent_s) > 1 and self._index:
            return f"no other process can be reached; {AGAIN}"
        names = ", ".join(map(str, peers))
        return f"process {names} is gone or stopped; {AGAIN}"

    def _beat(self) -> None:
        number, last = 0, {}
        while not self._is_over:
            number += 1
            try:
                self._client.key_value_set(
                    f"seen/beat/{self._index}", str(number), allow_overwrite=True
                )
                pairs = self._client.key_value_dir_get("seen/")
            except Exception:  # JAX has left the job, or is about to abort
                self._is_over = True
                return
            for key, value in pairs:
                _, kind, peer = key.rsplit("/", 2)
                if int(peer) == self._index:
                    continue
                if kind == "note":
                    self._notes[int(peer)] = value
                elif last.get(key) != value:
                    last[key] = value
                    self._silent_s[int(peer)] = 0
            time.sleep(BEAT_S)

    def _watch(self) -> None:
        noted_s = 0.0
        while not self._is_over:
            # Counted, not timed: a process that was suspended itself blames no one.
            time.sleep(BEAT_S)
            for peer in self._silent_s:
                self._silent_s[peer] += BEAT_S
            if text := self._silent(self._heartbeat_s):
                end_process(f"process {self._index}: {text}")
            if text := self._noted():
                noted_s += BEAT_S
                if noted_s > NOTE_S:
                    end_process(f"process {self._index}: {text}")


def end_process(text: str, code: int = 1) -> NoReturn:
    """Prints why, and ends: an ordinary exit would wait for the others."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)
    os._exit(code)
