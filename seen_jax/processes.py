"""The one place that starts worker processes: a function over many items, in order.

Two things would go wrong with the standard library's pool. Its workers run the caller's
script once more where that has no `if __name__ == "__main__"`; loky's do not. And a
worker outlives a parent that is killed, so each one watches its parent.
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
      fn: can be pickled: a function of a module, or a `functools.partial` of one.
      items: can be pickled.
      what: a word for the progress bar.
      num_workers: processes; None takes one per processor, 1 computes in this one.
      progress: shows a progress bar where the output is a terminal.
      few: with fewer items than these, too, it computes in this process; 0 never does.
      env: environment variables of the workers, beside those of this process.

    Raises:
      ValueError: fewer than one worker; and whatever fn raises.
    """
    if num_workers is None:
        num_workers = loky.cpu_count()
    if num_workers < 1:
        raise ValueError(f"workers: expected at least 1, got {num_workers}")
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
        yield from pool.map(fn, items, chunksize=chunk)


def _watch(parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
