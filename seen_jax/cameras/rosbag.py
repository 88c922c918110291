"""ROS bags -> packets: `dvs_msgs/EventArray` and `sensor_msgs/Image`, by `rosbags`.

Bags of ROS 1 (`.bag`) and of ROS 2 (the folder of metadata.yaml; sqlite3 or mcap). The
library reads the bag and the images; the events, of which there are millions, are cut
out of the messages' bytes here. Times are the messages' own, not those of the recorder:
of each event, and an image's header.

Reference: rpg_dvs_ros, dvs_msgs/Event.msg (uint16 x, uint16 y, time ts, bool polarity)
and dvs_msgs/EventArray.msg; OMG CDR, in which each field lies at a multiple of its
size, and the serialization of ROS 1, in which fields follow without gaps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seen_jax.cameras import digest
from seen_jax.cameras.packets import RECORD_BOTH, Packets
from seen_jax.errors import UserError, refuse
from seen_jax.events import Recording
from seen_jax.files import RECOPY

EVENTS, IMAGE = "dvs_msgs/msg/EventArray", "sensor_msgs/msg/Image"
_FIELDS = {
    "names": ["x", "y", "s", "ns", "p"],
    "formats": ["<u2", "<u2", "<u4", "<u4", "u1"],
}
# An event of ROS 1, and the first of ROS 2, which lies at a multiple of 4.
_FIRST = np.dtype(_FIELDS | {"offsets": [0, 2, 4, 8, 12], "itemsize": 13})
# Each later one of ROS 2 begins 2 bytes past a multiple of 4.
_LATER = np.dtype(_FIELDS | {"offsets": [0, 2, 6, 10, 14], "itemsize": 16})
# Encoding: type, channels, order of the colours.
_ENCODINGS = {
    "mono8": ("u1", 1, "BGR"),
    "8UC1": ("u1", 1, "BGR"),
    "mono16": ("u2", 1, "BGR"),
    "16UC1": ("u2", 1, "BGR"),
    "bgr8": ("u1", 3, "BGR"),
    "8UC3": ("u1", 3, "BGR"),
    "bgra8": ("u1", 4, "BGR"),
    "rgb8": ("u1", 3, "RGB"),
    "rgba8": ("u1", 4, "RGB"),
}


def rosbag_packets(path: Path) -> Iterator[Recording]:
    """Reads a bag, in the order in which it was recorded.

    Raises:
      UserError: `rosbags` is not installed; the bag does not have one topic of each
        kind; it does not match the digest beside it; a message is broken.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ModuleNotFoundError:
        remedy = "run python -m pip install rosbags"
        raise UserError(f"{path}: rosbags is not installed; {remedy}") from None
    digest.check(path)
    # Bags of ROS 2 before Iron do not say what their messages hold.
    typestore = get_typestore(Stores.ROS2_HUMBLE)
    with AnyReader([path], default_typestore=typestore) as reader:
        events, images = (_topic(path, reader, x) for x in (EVENTS, IMAGE))
        version = 2 if reader.is2 else 1
        packets = None
        for connection, _, message in reader.messages([*events, *images]):
            if connection.msgtype == EVENTS:
                size, columns = parse_events(message, version)
                packets = packets or Packets(size)
                yield packets.events(*columns)
                continue
            image = reader.deserialize(message, IMAGE)
            packets = packets or Packets(_sensor_size(reader, events, version))
            stamp = image.header.stamp
            time_us = stamp.sec * 10**6 + stamp.nanosec // 1000
            yield packets.frame(time_us, pixels_of(image))
        if packets:
            yield packets.end()


def _topic(path: Path, reader, msgtype: str) -> list:
    """Returns the connections of the one topic of a type."""
    connections = [x for x in reader.connections if x.msgtype == msgtype]
    topics = sorted({x.topic for x in connections})
    if len(topics) != 1:
        got = ", ".join(topics) or "none"
        remedy = "copy the bag without the others, by rosbags-convert --exclude-topic"
        rule = f"one topic of {msgtype}"
        refuse(path, rule, got, remedy if topics else RECORD_BOTH)
    return connections


def _sensor_size(reader, events, version: int) -> tuple[int, int]:
    """Returns the size that the first message of events names."""
    for _, _, message in reader.messages(events):
        return parse_events(message, version)[0]
    refuse("bag", "messages of events", "none", RECORD_BOTH)


def parse_events(
    message: bytes, version: int
) -> tuple[tuple[int, int], tuple[np.ndarray, ...]]:
    """Cuts the events out of a serialized `dvs_msgs/EventArray` of ROS 1 or 2.

    Returns:
      (width, height) of the sensor; t, x, y, p, each (N,).

    Raises:
      UserError: there are fewer bytes than the message says.
    """
    if version == 2 and message[:2] != b"\0\1":
        got = bytes(message[:2]).hex()
        refuse("message of events", "little-endian CDR, 0001", got, "record it again")
    try:
        # At 12, behind a number or the mark of CDR and the stamp: frame_id.
        at = 16 + struct.unpack_from("<I", message, 12)[0]
        if version == 2:
            at = -(-at // 4) * 4
        height, width, count = struct.unpack_from("<3I", message, at)
        events = _event_array(message, at + 12, count, version)
    except (struct.error, ValueError) as error:
        got = f"{len(message)} ({error})"
        refuse("message of events", "all of its bytes", got, RECOPY)
    t = events["s"].astype(np.int64) * 10**6 + events["ns"] // 1000
    return (width, height), (t, events["x"], events["y"], events["p"])


def _event_array(message: bytes, at: int, count: int, version: int) -> np.ndarray:
    if version == 1 or count < 2:
        return np.frombuffer(message[at:], _FIRST, count)
    first = np.frombuffer(message, _FIRST, 1, at)
    # The last one ends with its polarity, a byte before the next one would begin.
    rest = bytes(message[at + 14 :]) + b"\0"
    return np.concatenate([first, np.frombuffer(rest, _LATER, count - 1)])


def pixels_of(image) -> np.ndarray:
    """Returns the pixels of a `sensor_msgs/Image`, colours in the order BGR.

    Raises:
      UserError: its encoding is not known, or it has fewer bytes than it says.
    """
    if image.encoding not in _ENCODINGS:
        rule = f"one of {', '.join(_ENCODINGS)}"
        refuse("encoding of images", rule, image.encoding, "record mono8")
    kind, channels, order = _ENCODINGS[image.encoding]
    dtype = np.dtype(kind).newbyteorder(">" if image.is_bigendian else "<")
    row = image.width * channels * dtype.itemsize
    if image.step < row or len(image.data) < image.step * image.height:
        got = f"{len(image.data)} bytes, {image.step} a row"
        refuse("image", f"{image.height} rows of {row} bytes", got, RECOPY)
    rows = image.data[: image.step * image.height].reshape(image.height, image.step)
    pixels = np.ascontiguousarray(rows[:, :row]).view(dtype)
    pixels = pixels.astype(dtype.newbyteorder("="), copy=False)
    if channels == 1:
        return pixels
    pixels = pixels.reshape(image.height, image.width, channels)
    return pixels if order == "BGR" else pixels[:, :, 2::-1]
