"""A file of any known format -> packets; its first bytes tell the format.

The error for a format that cannot be read names it and says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seen_jax.cameras import aedat4_bytes, digest
from seen_jax.cameras.packets import RECORD_BOTH
from seen_jax.errors import refuse
from seen_jax.events import Recording

_NUM_FIRST_BYTES = 16
_CONVERT = "open it with iniVation's DV and record it again as AEDAT4"
_WANTED = (
    "a recording with events and intensity frames (AEDAT4, npz, HDF5 or a ROS bag)"
)
# Formats of event cameras that are not read: first bytes, what it is, what to do.
_OTHERS = (
    (b"#!AER-DAT", "an older AEDAT file, {}", _CONVERT),
    (b"% ", "a Prophesee file, which has no intensity frames", RECORD_BOTH),
)


def _aedat4(path: Path, recover: bool) -> Iterator[Recording]:
    from seen_jax.cameras import aedat4

    if path.suffix != ".aedat4":  # dv-processing goes by it
        refuse(path, "a name that ends in .aedat4", repr(path.suffix), "rename it")
    return aedat4.packets_of(path, recover)


def _npz(path: Path, recover: bool) -> Iterator[Recording]:
    from seen_jax.cameras import arrays

    return arrays.npz_packets(path)


def _h5(path: Path, recover: bool) -> Iterator[Recording]:
    from seen_jax.cameras import arrays

    return arrays.h5_packets(path)


def _rosbag(path: Path, recover: bool) -> Iterator[Recording]:
    from seen_jax.cameras import rosbag

    return rosbag.rosbag_packets(path)


def _rosbag1(path: Path, recover: bool) -> Iterator[Recording]:
    if path.suffix != ".bag":  # rosbags goes by it
        refuse(path, "a name that ends in .bag", repr(path.suffix), "rename it")
    return _rosbag(path, recover)


# First bytes and the reader, which is imported where it is needed.
_READERS = (
    (aedat4_bytes.MAGIC, _aedat4),
    (b"PK\x03\x04", _npz),
    (b"\x89HDF\r\n\x1a\n", _h5),
    (b"#ROSBAG V2.0", _rosbag1),
    (b"SQLite format 3\0", _rosbag),
    (b"\x89MCAP0\r\n", _rosbag),
)


def packets_of(path: Path, recover: bool = False) -> Iterator[Recording]:
    """Reads a file in this process, if it matches the digest beside it.

    Raises:
      UserError: there is no such file, its format is not known, or it is broken.
    """
    if digest.is_bag_folder(path):
        yield from _rosbag(path, recover)
        return
    if not path.is_file():
        got = "a folder or a device" if path.exists() else "no such file"
        refuse(path, "a recording", got, "check the path")
    with path.open("rb") as file:
        first = file.read(_NUM_FIRST_BYTES)
    for magic, reader in _READERS:
        if first.startswith(magic):
            yield from reader(path, recover)
            return
    for magic, what, remedy in _OTHERS:
        if first.startswith(magic):
            refuse(path, _WANTED, what.format(first.split(b"\r")[0].decode()), remedy)
    got = f"{path.stat().st_size} bytes that start with {first[:14]!r}"
    refuse(path, _WANTED, got, "give a recording of the camera's software")
