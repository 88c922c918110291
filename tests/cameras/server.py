"""A server of iniVation's protocol: python -m tests.cameras.server T EVENTS FRAMES.

EVENTS and FRAMES are ports of 127.0.0.1 or paths of sockets. It says `up`, waits for a
client of each, sends 30 frames of level i, 10 ms apart, with 1,000 events each, the
first at T us, and waits to be killed. With a fourth argument, `events`, it serves two
streams of events and sends nothing.
"""

import os
import sys
import time

import dv_processing as dv
import numpy as np

STEP_US, COUNT, EVENTS = 10_000, 30, 1_000


def server(place, stream):
    address = ("127.0.0.1", int(place)) if place.isdigit() else (place,)
    return dv.io.NetworkWriter(*address, stream)


def main(origin, events, frames, kind="frames"):
    streams, size = dv.io.Stream, (40, 30)
    first = server(events, streams.EventStream(0, "events", "DAVIS346_1", size))
    make = streams.FrameStream if kind == "frames" else streams.EventStream
    second = server(frames, make(1, "frames", "DAVIS346_1", size))
    print("up", flush=True)
    while not (first.getClientCount() and second.getClientCount()):
        time.sleep(0.01)
    for i in range(COUNT if kind == "frames" else 0):
        begin = int(origin) + i * STEP_US
        store = dv.EventStore()
        for j in range(EVENTS):
            store.push_back(begin + j * STEP_US // EVENTS, j % 40, i, j % 3 == 0)
        first.writeEvents(store)
        second.writeFrame(dv.Frame(begin, np.full((30, 40), i, np.uint8)))
        time.sleep(STEP_US / 1e6)
    sys.stdin.readline()
    os._exit(0)  # the library's end may wait for its clients


if __name__ == "__main__":
    main(*sys.argv[1:])
