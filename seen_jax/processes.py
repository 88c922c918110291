"""The one place that starts worker processes: a function over many items, in order.

What a reader would get wrong: a worker waits on a queue of its own making and would
outlive a parent that is killed, so each one watches its parent.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from typing import Any

import tqdm

_CHUNK = 4  # items that travel together
FEW = 16  # items for which a process costs more than it saves


def map_in_processes(
    fn: Callable[[Any], Any],
    items: Sequence[Any],
    what: str,
    num_workers: int | None = None,
    progress: bool = False,
    few: int = FEW,
    unit: str = "clip",
) -> Iterator[Any]:
    """Yields fn(item) of every item, in their order.

    Args:
      fn: can be pickled: a function of a module, or a `functools.partial` of one.
      items: can be pickled.
      what: a word for the progress bar.
      num_workers: processes; None takes one per processor, 1 computes in this one.
      progress: shows a progress bar where the output is a terminal.
      few: with fewer items than these, too, it computes in this process; 0 never does.
      unit: what an item is.

    Raises:
      ValueError: fewer than one worker; and whatever fn raises.
    """
    if num_workers is None:
        num_workers = os.cpu_count() or 1
    if num_workers < 1:
        raise ValueError(f"workers: expected at least 1, got {num_workers}")
    bar = tqdm.tqdm(
        total=len(items), desc=what, unit=unit, disable=None if progress else True
    )
    with bar:
        for result in _results(fn, items, num_workers, few):
            yield result
            bar.update()


def _results(fn, items, num_workers: int, few: int) -> Iterator[Any]:
    if few and (num_workers == 1 or len(items) < few):
        yield from map(fn, items)
        return
    # Spawned, since a fork of a process that runs JAX's threads can hang.
    context = multiprocessing.get_context("spawn")
    num_workers = max(1, min(num_workers, len(items)))
    chunk = _CHUNK if len(items) >= 2 * _CHUNK * num_workers else 1
    with concurrent.futures.ProcessPoolExecutor(
        num_workers, context, _watch_parent
    ) as pool:
        yield from pool.map(fn, items, chunksize=chunk)


def _watch_parent() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
