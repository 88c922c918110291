"""The one way in: a SOURCE, as a person writes it, -> packets.

    FILE            a recording, see `seen_jax.cameras.formats`

Everything behind works on the packets, and cannot tell which source they are from.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from seen_jax.cameras.child import LIMIT_S, read_in_child
from seen_jax.cameras.packets import gather
from seen_jax.errors import UserError
from seen_jax.events import Recording


def open_source(
    source: str | os.PathLike, *, recover: bool = False, limit_s: float = LIMIT_S
) -> Iterator[Recording]:
    """Yields the packets of a source; the last one of a file holds its notes.

    Args:
      source: see the module.
      recover: whether to read what is left of a file that is not complete.
      limit_s: seconds within which every packet has to come.

    Raises:
      UserError: there is no such source, or it is broken; what came before is good.
    """
    yield from read_in_child(Path(source), recover, limit_s)


def read_recording(
    source: str | os.PathLike, *, recover: bool = False, limit_s: float = LIMIT_S
) -> Recording:
    """Reads a source that ends, to its end; arguments as of `open_source`.

    With `recover`, what comes before a packet that cannot be read is enough.

    Raises:
      UserError: as `open_source`, or it lacks events or intensity frames, or timestamps
        decrease.
    """
    packets, lost = [], ()
    try:
        for packet in open_source(source, recover=recover, limit_s=limit_s):
            packets.append(packet)
    except UserError as error:
        if not recover or not packets:
            raise
        lost = (f"what comes after {len(packets)} packets is lost: {error}",)
    try:
        recording = gather(packets)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    return replace(recording, notes=recording.notes + lost)


@functools.lru_cache(maxsize=1)
def read_once(path: Path, recover: bool = False) -> Recording:
    """Reads as `read_recording`, and keeps the latest recording of this process."""
    return read_recording(path, recover=recover)
