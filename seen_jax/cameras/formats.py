"""A file of any format that is known -> packets; the format is told by its first bytes.

A format that cannot be read is answered with what it is and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seen_jax.cameras import aedat4_bytes
from seen_jax.cameras.packets import RECORD_BOTH
from seen_jax.errors import refuse
from seen_jax.events import Recording

_NUM_FIRST_BYTES = 16
_CONVERT = "open it with iniVation's DV and record it again as AEDAT4"
_WANTED = "a recording with events and intensity frames (AEDAT4)"
# Formats of event cameras that are not read: first bytes, what it is, what to do.
_OTHERS = (
    (b"#!AER-DAT", "an older AEDAT file, {}", _CONVERT),
    (b"% ", "a Prophesee file, which has no intensity frames", RECORD_BOTH),
)


def packets_of(path: Path, recover: bool = False) -> Iterator[Recording]:
    """Reads a file in this process.

    Args:
      path: a file; a digest beside it is checked.
      recover: whether to read what is left of a file that is not complete.

    Raises:
      UserError: there is no such file, its format is not known, or it is broken.
    """
    if not path.is_file():
        refuse(path, "a recording", "no such file", "check the path")
    with path.open("rb") as file:
        first = file.read(_NUM_FIRST_BYTES)
    if first.startswith(aedat4_bytes.MAGIC):
        yield from _aedat4(path, recover)
        return
    for magic, what, remedy in _OTHERS:
        if first.startswith(magic):
            refuse(path, _WANTED, what.format(first.split(b"\r")[0].decode()), remedy)
    got = f"{path.stat().st_size} bytes that start with {first[:14]!r}"
    refuse(path, _WANTED, got, "give a recording of the camera's software")


def _aedat4(path: Path, recover: bool) -> Iterator[Recording]:
    from seen_jax.cameras import aedat4

    if path.suffix != ".aedat4":  # dv-processing goes by it
        refuse(path, "a name that ends in .aedat4", repr(path.suffix), "rename it")
    yield from aedat4.packets_of(path, recover)
