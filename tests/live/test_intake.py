"""Sources -> periods: when they ended, what is said, and how they end."""

import itertools
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from seen_jax.cameras.packets import Packets
from seen_jax.errors import UserError
from seen_jax.live import intake
from seen_jax.live.intake import arrivals, in_batches
from tests.live.streams import PERIOD_US, in_packets, recording_of
from tests.runtime.bundles import Clock

NOTHING = Packets((30, 20)).nothing


@pytest.fixture
def play(monkeypatch):
    """Plays (seconds, packet) in place of a source, and gives the arrivals."""

    def start(items, source="simulator", **options):
        clock = Clock(100.0)

        def packets(source, recover):
            for now, packet in items:
                clock.now = now
                yield packet

        monkeypatch.setattr(intake, "open_source", packets)
        return arrivals(source, period_us=PERIOD_US, clock=clock, **options)

    return start


def timed(packets, delays=None):
    """Packets of 5 ms, each when it is over and a delay has passed."""
    delays = delays or [0.0] * len(packets)
    return [
        (100 + 0.005 * (i + 1) + delay, packet)
        for i, (packet, delay) in enumerate(zip(packets, delays, strict=True))
    ]


def test_a_period_ended_when_the_camera_says_so(play):
    # All packets come within 1 ms of their end, but for the last: 3 s late.
    packets = [*in_packets(recording_of(100_000), 5_000)]
    delays = [0.5] * 3 + [0.0] * 5 + [0.001] * (len(packets) - 9) + [3.0]
    got = [*play(timed(packets, delays))]
    first_us = int(packets[0].events.t[0])
    for i, arrival in enumerate(got[1:], start=1):
        end_us = first_us + PERIOD_US * (i + 1)
        assert arrival.period.end_us == end_us
        # The last timestamp of a packet is up to 0.4 ms before the packet's end.
        assert arrival.ended_s == pytest.approx(100 + end_us / 1e6, abs=4e-4)
    assert len(got) == 10


def test_clocks_that_drift_apart_are_followed(play):
    # A camera that is slower by a thousandth sends an event every 10 s.
    image = recording_of(1).intensity_frames[0]
    items = [(100.0, Packets((30, 20)).frame(0, image))]
    for i in range(30):
        event = [np.array([x]) for x in (10_000_000 * i, 0, 0, 1)]
        items.append((100 + 10.01 * i, Packets((30, 20)).events(*event)))
    got = [*play(items)]
    assert len(got) == 30
    for i, arrival in enumerate(got):
        # The quickest packet is from up to a minute before: 60 ms, of 300 in all.
        assert -0.061 < arrival.ended_s - (100.01 + 10.01 * i) < 0.001


def test_notes_and_silence_travel_with_the_next_period(play):
    packets = [*in_packets(recording_of(100_000), 5_000)]
    items = timed(packets)
    for i in range(6, len(items)):
        items[i] = items[i][0] + 2.5, items[i][1]
    items[6:6] = [(items[5][0] + x, NOTHING()) for x in (0.5, 1.0, 1.5)]
    came = items[12][0], replace(items[12][1], notes=("the stream came back",))
    items[12] = came
    notes = [x.notes for x in play(items)]
    assert [x for x in notes if x] == [
        ("nothing came for 2.5 s",), ("the stream came back",)
    ]  # fmt: skip


def test_it_ends_after_seconds_even_in_silence(play):
    packets = [*in_packets(recording_of(1_000_000), 5_000)]
    got = [*play(timed(packets), seconds=0.25)]
    # It began with the packet of 5 ms: 250 ms came, and 5 are waited for an image.
    assert len(got) == 24
    stream = play([*timed(packets[:5]), *((101 + x, NOTHING()) for x in range(9))])
    assert len([*stream]) == 3  # the stream's end gives what is there
    quiet = ((101 + x, NOTHING()) for x in itertools.count())
    stream = play(itertools.chain(timed(packets[:5]), quiet), seconds=7)
    assert len([*stream]) == 2


def test_a_recording_plays_at_its_pace(play):
    packets = [*in_packets(recording_of(50_000), 5_000)]
    items = [(100.0, x) for x in packets]
    assert len([*play(items, "FILE", speed=0)]) == 5
    begin = time.monotonic()
    assert len([*play(items, "FILE", speed=0.5)]) == 5
    assert time.monotonic() - begin > 0.09


def test_a_slow_reader_gets_all_that_came():
    batches = in_batches(iter(map(made, range(6))), threading.Event())
    got = [next(batches)]
    time.sleep(0.2)
    got += batches
    assert [x.ended_s for batch in got for x in batch] == [0, 1, 2, 3, 4, 5]
    assert len(got) <= 3


def test_a_silent_stream_gives_empty_batches():
    begin, end = threading.Event(), threading.Event()

    def stream():
        begin.wait()
        yield made(0)
        end.wait()

    batches = in_batches(stream(), threading.Event(), quiet_s=0.05)
    assert [next(batches), next(batches)] == [[], []]  # before anything came
    begin.set()
    assert next(filter(None, batches))[0].ended_s == 0
    assert [next(batches), next(batches)] == [[], []]
    end.set()
    assert not any(batches)


def test_what_a_stream_raises_comes_behind_its_periods():
    def stream():
        yield made(0)
        raise UserError("gone")

    batches, stop = [], threading.Event()
    with pytest.raises(UserError, match="gone"):
        batches += in_batches(stream(), stop)
    assert stop.is_set()


def test_who_stops_ends_the_source(monkeypatch):
    closed = threading.Event()

    def packets(source, recover):
        try:
            for packet in in_packets(recording_of(10_000_000), 5_000):
                time.sleep(0.001)
                yield packet
        finally:
            closed.set()

    monkeypatch.setattr(intake, "open_source", packets)
    stop = threading.Event()
    batches = in_batches(arrivals("usb", period_us=PERIOD_US, stop=stop), stop)
    next(batches)
    batches.close()
    assert closed.wait(10)


def made(number):
    return intake.Arrival(None, (30, 20), number)
