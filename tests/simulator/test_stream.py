"""The virtual camera in real time: what it gives, when, and over a socket."""

import argparse
import itertools
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from seen_jax import see
from seen_jax.cameras import server
from seen_jax.cameras.packets import gather
from seen_jax.cameras.periods import periods
from seen_jax.cameras.sources import open_source, read_recording
from seen_jax.errors import UserError
from seen_jax.events import accumulate
from seen_jax.simulator import cast
from seen_jax.simulator.clip import simulate_clip
from seen_jax.simulator.difficulty import EASY
from seen_jax.simulator.stream import CLIP_LENGTH, PARTS, UNSEEN, stream
from tests import helpers
from tests.cameras.server_process import free_pair
from tests.helpers import ROOT
from tests.runtime.bundles import Clock

PERIOD_US = see.FRAME_PERIOD_US


@pytest.fixture(scope="module")
def packets():
    """The first two clips of seed 5, and when their packets came."""
    clock, times, packets = Clock(50.0), [], []
    endless = stream(5, 10**6, clock, clock.sleep)
    for packet in itertools.islice(endless, 2 * CLIP_LENGTH * PARTS):
        packets.append(packet)
        times.append(clock())
    return packets, times


def test_it_is_a_clip_of_the_cast(packets):
    packets, _ = packets
    (planned,) = cast.plan(1, 1, 5 + UNSEEN)
    name = see.ClipName.parse(str(planned.name).replace(planned.name.emotion, "angry"))
    fields = vars(name) | {"sequence": 1, "length": CLIP_LENGTH}
    clip = simulate_clip(see.ClipName(**fields), 5 + UNSEEN, EASY)
    recording = gather(packets[: CLIP_LENGTH * PARTS])
    np.testing.assert_array_equal(recording.intensity_frames, clip.intensity_frames)
    np.testing.assert_array_equal(recording.events.t, clip.events.t + 10**6)
    times = {"start_us": 10**6, "period_us": PERIOD_US, "num_periods": CLIP_LENGTH}
    event_frames = accumulate(recording.events, **times, shape=(180, 180))
    np.testing.assert_array_equal(event_frames, clip.event_frames)
    ends = 10**6 + PERIOD_US * np.arange(1, CLIP_LENGTH + 1)
    np.testing.assert_array_equal(recording.times_us, ends - 1)


def test_emotions_follow_each_other_on_one_clock(packets):
    packets, times = packets
    labels = [x.label for x in packets]
    count = CLIP_LENGTH * PARTS
    assert labels == ["angry"] * count + ["disgust"] * count
    frames = [*[0] * (PARTS - 1), 1] * (2 * CLIP_LENGTH)
    assert [len(x.times_us) for x in packets] == frames
    with_frame = packets[PARTS - 1 :: PARTS]
    times_us = [int(x.times_us[0]) for x in with_frame]
    assert set(np.diff(times_us)) == {PERIOD_US}
    assert np.diff(times) == pytest.approx(PERIOD_US / 1e6 / PARTS)  # a clip's end, too
    options = {"period_us": PERIOD_US, "start_us": 10**6, "patience_us": 0}
    live = [*periods(packets, **options)]
    assert [x.label for x in live] == labels[::PARTS]
    for period, packet in zip(live, with_frame, strict=True):
        image = packet.intensity_frames[0]
        np.testing.assert_array_equal(period.intensity_frame, image)


def test_the_source_is_the_same_stream(packets):
    packets, _ = packets
    source = open_source("simulator:5")
    for ours, theirs in zip(itertools.islice(source, 5), packets[:5], strict=True):
        np.testing.assert_array_equal(ours.events.t + 10**6, theirs.events.t)
        np.testing.assert_array_equal(ours.intensity_frames, theirs.intensity_frames)
        assert ours.label == "angry"
    source.close()
    words = "simulator or simulator:SEED, got 'simulator:x'"
    with pytest.raises(UserError, match=words):
        next(open_source("simulator:x"))
    with pytest.raises(UserError, match="a recording, got a stream without an end"):
        read_recording("simulator")


def test_a_client_reads_the_served_camera(packets):
    packets, _ = packets
    port = free_pair()
    command = [sys.executable, "-m", "seen_jax.simulator", "--seed=5"]
    with subprocess.Popen(
        [*command, f"--serve=127.0.0.1:{port}"],
        cwd=ROOT,
        env=helpers.cpu_environment(1),  # compiled as here
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            told = process.stdout.readline()
            assert told.startswith(f"serving tcp://127.0.0.1:{port},{port + 1};")
            kept = []
            for packet in open_source(f"tcp://127.0.0.1:{port}"):
                kept.append(packet)
                if sum(len(x.times_us) for x in kept) == 10:
                    break
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
        finally:
            process.kill()
    recording = gather(kept)
    # A client misses what came before it: its first image says where it began.
    images = [x.intensity_frames[0] for x in packets[PARTS - 1 :: PARTS]]
    first_image = recording.intensity_frames[0]
    (at,) = (i for i, x in enumerate(images) if np.array_equal(x, first_image))
    expected = gather(packets[PARTS * at : PARTS * (at + 10)])
    np.testing.assert_array_equal(recording.intensity_frames, expected.intensity_frames)
    shift = recording.times_us[0] - expected.times_us[0]
    span = expected.times_us[[0, 8]]
    begin, end = np.searchsorted(recording.events.t - shift, span)
    first, last = np.searchsorted(expected.events.t, span)
    assert last - first > 1_000
    for name in "xyp":
        got, sent = (getattr(x.events, name) for x in (recording, expected))
        np.testing.assert_array_equal(got[begin:end], sent[first:last])


def test_addresses():
    assert server.parse_address("0.0.0.0:7777") == ("0.0.0.0", 7777)
    assert server.parse_address("[::1]:1") == ("::1", 1)
    for text in ("7777", ":7777", "h:0", "h:65535", "h:x", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="expected HOST:PORT"):
            server.parse_address(text)


def test_a_port_that_is_taken(packets):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match="expected two free ports, got"):
            server.serve(packets[0], "127.0.0.1", port)
