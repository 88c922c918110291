"""Live sources: servers of iniVation's protocol, and a stand-in for a camera."""

import socket
import time

import dv_processing as dv
import numpy as np
import pytest

from seen_jax.cameras import network, sources, usb
from seen_jax.cameras.packets import gather
from seen_jax.cameras.periods import periods
from seen_jax.cameras.sources import open_source, read_recording
from seen_jax.errors import UserError
from tests.cameras.server_process import ORIGIN, free_ports, sent, served
from tests.samples import assert_same_recording


def until(stream, num_frames):
    """The packets of a stream up to that many intensity frames and their events."""
    packets, deadline = [], time.monotonic() + 60
    for packet in stream:
        packets.append(packet)
        lengths = [(len(x.times_us), len(x.events)) for x in packets]
        counts = [sum(x) for x in zip(*lengths, strict=True)]
        if counts == [num_frames, 1_000 * num_frames]:
            return packets
        assert time.monotonic() < deadline, counts
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("kind", ["ports", "ports in the other order", "sockets"])
def test_nothing_is_lost_on_loopback(kind, tmp_path):
    first, second = free_ports()
    source = f"tcp://127.0.0.1:{first},{second}"
    if "other" in kind:
        source = f"tcp://127.0.0.1:{second},{first}"
    if kind == "sockets":
        first, second = tmp_path / "events", tmp_path / "frames"
        source = f"unix:{first},{second}"
    with served(ORIGIN, first, second):
        stream = open_source(source)
        assert_same_recording(gather(until(stream, 30)), sent())
        stream.close()


def test_a_server_that_starts_again_with_earlier_timestamps():
    ports = free_ports()
    stream, packets, boundary = open_source(f"tcp://127.0.0.1:{','.join(ports)}"), [], 0
    with served(ORIGIN, *ports):
        packets += until(stream, 30)
        boundary = len(packets)
    with served(ORIGIN - 10**9, *ports):
        packets += until(stream, 30)
    stream.close()
    assert_same_recording(gather(packets[:boundary]), sent())
    assert_same_recording(gather(packets[boundary:]), sent(ORIGIN - 10**9))
    (note,) = (x for packet in packets for x in packet.notes)
    assert note == "the stream ended and came back: what it sent meanwhile is lost"
    live = [*periods(packets, period_us=10_000, patience_us=200_000)]
    # Each part has 30 periods of 10 ms; the last ones of the first part are dropped
    # with the connection, and the index shows that.
    jumps = np.flatnonzero(np.diff([x.index for x in live]) > 1)
    (jump,) = jumps.tolist()
    assert live[jump].start_us > ORIGIN > live[jump + 1].start_us == ORIGIN - 10**9
    levels = [int(x.intensity_frame[0, 0]) for x in live[jump + 1 :]]
    assert levels == [*range(1, len(levels)), 29]


def test_servers_that_are_refused(monkeypatch):
    monkeypatch.setattr(sources, "_CONNECT_S", 5.0)
    first, second = free_ports()
    source = f"tcp://127.0.0.1:{first},{second}"
    words = rf"a server at 127\.0\.0\.1:{first}, got connect"
    with pytest.raises(UserError, match=words):
        next(open_source(source))
    with (
        served(0, first, second, "events"),
        pytest.raises(UserError, match="one of intensity frames, got two of events"),
    ):
        next(open_source(source))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and says nothing
        source = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        words = "a server of iniVation's protocol, got a re"
        with pytest.raises(UserError, match=words):
            next(open_source(source))
    with pytest.raises(UserError, match="expected a recording, got a stream without"):
        read_recording(source)


def test_a_server_that_does_not_come_back_ends_the_stream(monkeypatch):
    monkeypatch.setattr(sources, "_RECONNECT_S", 1.0)
    ports = free_ports()
    stream = open_source(f"tcp://127.0.0.1:{','.join(ports)}")
    with served(ORIGIN, *ports):
        first = next(stream)
    packets, words = [], r"a server at .* got connect: Connection refused"
    with pytest.raises(UserError, match=words):
        for packet in stream:
            packets.append(packet)
    assert not len(packets[-1].events) and packets[-1].resolution == first.resolution


@pytest.mark.parametrize(
    "text, expected",
    [
        ("tcp://host.local:7777,7780", [("host.local", 7777), ("host.local", 7780)]),
        ("tcp://10.0.0.1:7777", [("10.0.0.1", 7777), ("10.0.0.1", 7778)]),
        ("tcp://[::1]:1,2", [("::1", 1), ("::1", 2)]),
        ("unix:/tmp/a,/tmp/b", [("/tmp/a",), ("/tmp/b",)]),
    ],
)
def test_addresses(text, expected):
    assert network.addresses(text) == expected


@pytest.mark.parametrize(
    "text",
    ["tcp:/h:1,2", "unix:/tmp/a", *(f"tcp://h{x}" for x in ("", ":0", ":65535"))],
)
def test_other_addresses(text):
    words = r"source: expected (tcp://HOST|ports from)"
    with pytest.raises(UserError, match=words):
        network.addresses(text)


class Camera:
    """A stand-in for dv-processing's camera: the methods that `usb` calls."""

    def __init__(self, has_frames=True):
        self.has_frames, self.batches, self.frames = has_frames, [], []
        for i in range(3):
            store = dv.EventStore()
            store.push_back(ORIGIN + i, i, 0, True)
            self.batches.append(store)
            self.frames.append(dv.Frame(ORIGIN + i, np.full((30, 40), i, np.uint8)))

    def isFrameStreamAvailable(self):
        return self.has_frames

    def getCameraName(self):
        return "DVXplorer_1"

    def getEventResolution(self):
        return 40, 30

    def isRunning(self):
        return bool(self.batches)

    def getNextEventBatch(self):
        return self.batches.pop(0) if self.batches else None

    def getNextFrame(self):
        return self.frames.pop(0) if self.frames else None


def test_usb_by_a_stand_in(monkeypatch):
    monkeypatch.setattr(dv.io.camera, "discover", lambda: ["DAVIS346_1"])
    monkeypatch.setattr(dv.io.camera, "open", Camera)
    recording = gather(usb.packets_of())
    assert recording.events.x.tolist() == [0, 1, 2]
    assert recording.intensity_frames[:, 0, 0].tolist() == [0, 1, 2]
    monkeypatch.setattr(dv.io.camera, "open", lambda: Camera(has_frames=False))
    words = "intensity frames, got DVXplorer_1, which has n"
    with pytest.raises(UserError, match=words):
        next(usb.packets_of())


def test_no_frame_overtakes_events_that_wait():
    """Ten batches of events for each frame, all there at once."""
    camera = Camera()
    camera.batches, camera.frames = [], []
    for i in range(30):
        store = dv.EventStore()
        store.push_back(ORIGIN + 10 * i, 0, 0, True)
        camera.batches.append(store)
    for i in range(3):
        time_us = ORIGIN + 100 * i + 95
        camera.frames.append(dv.Frame(time_us, np.zeros((30, 40), np.uint8)))
    packets = network.poll(camera, camera, (40, 30))
    kinds = ["E" * len(x.events) + "F" * len(x.times_us) for x in packets]
    assert "".join(kinds) == 10 * "E" + "EF" + 9 * "E" + "EF" + 9 * "E" + "F"


def test_no_camera_says_what_was_looked_for_and_how_to_give_permission(monkeypatch):
    def closed():
        raise RuntimeError("no device with permission\nStacktrace")

    monkeypatch.setattr(dv.io.camera, "open", closed)
    monkeypatch.setattr(dv.io.camera, "discover", lambda: ["DAVIS346_7"])
    with pytest.raises(UserError) as error:
        next(usb.packets_of())
    text = str(error.value)
    assert "or DAVIS240, got DAVIS346_7 (no device with permission); plug" in text
    assert text.endswith("sudo udevadm trigger")


@pytest.mark.skipif(bool(dv.io.camera.discover()), reason="a camera is plugged in")
def test_no_camera_by_the_library_itself():
    with pytest.raises(UserError, match="a DAVIS346 or DAVIS240, got none; plug it in"):
        next(usb.packets_of())
