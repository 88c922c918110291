"""The one place that starts worker processes: a function over many items, in order.

Loky's workers, unlike those of the standard library's pool, do not run the caller's
script again where it has no `if __name__ == "__main__"`. A worker of either outlives a
parent that is killed, so each one watches its parent.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import loky
import tqdm

from seen_jax.errors import refuse

_CHUNK = 4  # items that travel together
FEW = 16  # items for which a process costs more than it saves


def map_in_processes(
    fn: Callable[[Any], Any],
    items: Sequence[Any],
    what: str,
    num_workers: int | None = None,
    progress: bool = False,
    few: int = FEW,
    env: dict[str, str] | None = None,
) -> Iterator[Any]:
    """Yields fn(item) of every item, in their order.

    Args:
      fn: a function of a module or a `functools.partial` of one, to be pickled.
      items: to be pickled too.
      what: a word for the progress bar.
      num_workers: processes; None takes one per processor, 1 computes in this one.
      progress: shows a progress bar where the output is a terminal.
      few: with fewer items than this it computes in this process; 0 never does.
      env: environment variables of the workers, beside those of this process.

    Raises:
      UserError: fewer than one worker, or a worker was killed.
      Exception: whatever fn raises.
    """
    if num_workers is None:
        num_workers = loky.cpu_count()
    if num_workers < 1:
        refuse("workers", "at least 1", num_workers)
    bar = tqdm.tqdm(
        total=len(items), desc=what, unit="clip", disable=None if progress else True
    )
    with bar:
        for result in _results(fn, items, num_workers, few, env):
            yield result
            bar.update()


def _results(fn, items, num_workers: int, few: int, env) -> Iterator[Any]:
    if few and (num_workers == 1 or len(items) < few):
        yield from map(fn, items)
        return
    num_workers = max(1, min(num_workers, len(items)))
    chunk = _CHUNK if len(items) >= 2 * _CHUNK * num_workers else 1
    watch = functools.partial(_watch, os.getpid())
    with loky.ProcessPoolExecutor(num_workers, initializer=watch, env=env) as pool:
        try:
            yield from pool.map(fn, items, chunksize=chunk)
        except loky.process_executor.TerminatedWorkerError:
            remedy = "most often memory ran out; take fewer workers"
            refuse("workers", "processes that run to their end", "a dead one", remedy)


def _watch(parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
