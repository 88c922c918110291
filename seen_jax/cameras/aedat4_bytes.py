"""The bytes of an AEDAT4 file: its header, its packets, and whether it is complete.

    #!AER-DAT4.0\\r\\n     magic
    uint32, header        FlatBuffer with the position of the table of packets, or -1
    packets               int32 stream, int32 size, compressed FlatBuffer; repeated
    table                 written last, when the recorder closes the file

A recorder that dies never writes the table. dv-processing then silently gives the
packets that happen to be there, so that a reader has to look for it first.

Reference: iniVation, AEDAT 4.0 file format (header, packets, file data table).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from seen_jax.errors import counted, refuse
from seen_jax.files import RECOPY

MAGIC = b"#!AER-DAT4.0\r\n"
_HEADER_SIZE = struct.Struct("<I")
_PACKET = struct.Struct("<ii")
_POSITION = struct.Struct("<q")
_COMPLETE = "a complete AEDAT4 file"


@dataclass(frozen=True)
class Layout:
    """Where things are in a file, bytes from its beginning.

    Attributes:
      position: of the field that holds the table's position; None where it is absent.
      table: of the table; -1 if it was never written.
      packets: of the first packet.
      size: of the file.
    """

    position: int | None
    table: int
    packets: int
    size: int

    @property
    def is_complete(self) -> bool:
        return 0 <= self.table < self.size


def read_layout(path: Path) -> Layout:
    """Reads the header.

    Raises:
      UserError: the header is cut or broken.
    """
    with path.open("rb") as file:
        file.seek(len(MAGIC))
        (size,) = _HEADER_SIZE.unpack(file.read(4).ljust(4, b"\0"))
        header = file.read(size)
        file.seek(0, os.SEEK_END)
        end = file.tell()
    if not size or len(header) < size:
        refuse(path, _COMPLETE, "an end within the header", RECOPY)
    try:
        place = _table_field(header)
        table = -1 if place is None else _POSITION.unpack_from(header, place)[0]
    except struct.error as error:
        refuse(path, _COMPLETE, f"a broken header ({error})", RECOPY)
    begin = len(MAGIC) + _HEADER_SIZE.size
    position = None if place is None else begin + place
    return Layout(position, table, begin + size, end)


def _table_field(header: bytes) -> int | None:
    """Finds `dataTablePosition`, field 1 of the FlatBuffer, absent where it is -1."""
    (root,) = struct.unpack_from("<I", header)
    (back,) = struct.unpack_from("<i", header, root)
    size, _, _, field = struct.unpack_from("<4H", header, root - back)
    return root + field if size >= 8 and field else None


def check_closed(path: Path, layout: Layout) -> None:
    """Raises a `UserError` where packets may be missing."""
    remedy = "events may be missing; record again, or read whole packets with --recover"
    if layout.table < 0:
        got = "none: the recorder was stopped before it closed the file"
        refuse(path, "a table of packets at the end", got, remedy)
    if not layout.is_complete:
        got = f"{layout.size} bytes of more than {layout.table}"
        refuse(path, _COMPLETE, got, f"{RECOPY}, or read whole packets with --recover")


def recover(path: Path, layout: Layout, copy: Path) -> str:
    """Copies the whole packets that a file has, as of a recorder that died.

    dv-processing rebuilds the table of such a file, cut anywhere behind its header.
    Returns a sentence on what was recovered and what is missing.

    Raises:
      UserError: there is no whole packet.
    """
    end, count = _end_of_packets(path, layout)
    if not count or layout.position is None:
        refuse(path, "at least one whole packet", "none", RECOPY)
    with path.open("rb") as source, copy.open("wb") as target:
        for at in range(0, end, 1 << 24):
            target.write(source.read(min(1 << 24, end - at)))
        target.seek(layout.position)
        target.write(_POSITION.pack(-1))
    text = f"recovered {counted(count, 'packet')}, {end - layout.packets} bytes; "
    if layout.table > 0:
        return f"{text}missing: {counted(layout.table - end, 'byte')}"
    if rest := layout.size - end:
        text += f"{counted(rest, 'byte')} left out, not a whole packet; "
    return f"{text}how many never reached the file is unknown"


def _end_of_packets(path: Path, layout: Layout) -> tuple[int, int]:
    """Returns where the last whole packet ends, and how many there are."""
    limit = layout.size if layout.table < 0 else min(layout.table, layout.size)
    end, count = layout.packets, 0
    with path.open("rb") as file:
        while end + _PACKET.size <= limit:
            file.seek(end)
            stream, size = _PACKET.unpack(file.read(_PACKET.size))
            # Zeros are what a file system leaves where the power went.
            if stream < 0 or size <= 0 or end + _PACKET.size + size > limit:
                break
            end += _PACKET.size + size
            count += 1
    return end, count
