"""A camera of 346 x 260 pixels without an end: python -m tests.live.camera PORT.

Events are at PORT, intensity frames at PORT + 1: noise, a second of it over and over.
"""

import itertools
import sys
import time

from seen_jax.cameras.server import serve
from tests.live.streams import in_packets, recording_of

PACKET_US, SPAN_US = 10_000, 1_000_000


def packets():
    second = recording_of(SPAN_US, every_us=33_333, width=346, height=260)
    begin_s, begin_us = time.monotonic(), time.time_ns() // 1000
    for i in itertools.count():
        parts = in_packets(second, PACKET_US, begin_us + i * SPAN_US)
        for j, packet in enumerate(parts, 1):
            due_s = begin_s + (i * SPAN_US + j * PACKET_US) / 1e6
            time.sleep(max(0.0, due_s - time.monotonic()))
            yield packet


if __name__ == "__main__":
    serve(packets(), "127.0.0.1", int(sys.argv[1]))
