"""AEDAT4: real files against an independent reader, round trips, broken files."""

import os
import struct
import subprocess

import aedat
import dv_processing as dv
import numpy as np
import pytest

from seen_jax.cameras.aedat4 import write_aedat4
from seen_jax.cameras.sources import open_source, read_recording
from seen_jax.errors import UserError
from seen_jax.events import Events, Recording
from tests.cameras.aedat4_files import region, write_streams
from tests.samples import assert_same_recording, events_of, random_events

RECORDINGS = {  # name: (events, intensity frames)
    "davis346_newton_cradle": (319_512, 13),
    "davis346_street": (6_676, 4),
}
TABLE_POSITION = 54  # of the field in the header that dv-processing 2 writes


def read_independently(path):
    """Reads with `aedat`, which shares no code with dv-processing."""
    packets = list(aedat.Decoder(path))
    events = np.concatenate([x["events"] for x in packets if "events" in x])
    frames = [x["frame"] for x in packets if "frame" in x]
    return events, frames


@pytest.fixture
def parts():
    """Events with many equal timestamps, times and intensity frames."""
    rng = np.random.default_rng(1)
    events = random_events(25_000, 5_000, 12, 20)  # some 5 events a microsecond
    times_us = np.array([0, 40, 40, 9_000])
    return events, times_us, rng.integers(0, 256, (4, 12, 20), np.uint8)


@pytest.fixture
def file(parts, tmp_path):
    write_aedat4(tmp_path / "a.aedat4", *parts)
    return tmp_path / "a.aedat4"


@pytest.mark.parametrize("name", RECORDINGS)
def test_real_recordings_against_an_independent_reader(name, shared):
    path = shared / "recordings" / f"{name}.aedat4"
    recording = read_recording(path)
    assert (len(recording.events), len(recording.times_us)) == RECORDINGS[name]
    events, frames = read_independently(path)
    x, y = (events[k].astype(np.int16) for k in "xy")
    others = Events(events["t"].astype(np.int64), x, y, events["on"])
    times_us = np.array([x["exposure_begin_t"] for x in frames], np.int64)
    images = np.stack([x["pixels"] for x in frames])
    assert_same_recording(recording, Recording(others, times_us, images, (346, 260)))


def test_round_trip_is_exact(parts, file):
    events, times_us, frames = parts
    recording = read_recording(file)
    assert (np.diff(events.t) == 0).sum() > 10_000
    assert_same_recording(recording, Recording(events, times_us, frames, (20, 12)))
    others, images = read_independently(file)
    np.testing.assert_array_equal(others["t"], events.t)
    assert len(images) == 4


def test_writing_is_deterministic_and_leaves_nothing_else(parts, file, tmp_path):
    write_aedat4(tmp_path / "raw", *parts)  # any name can be written
    assert (tmp_path / "raw").read_bytes() == file.read_bytes()
    names = ["a.aedat4", "a.aedat4.sha256", "raw", "raw.sha256"]
    assert sorted(os.listdir(tmp_path)) == names


def test_writing_refuses(parts, tmp_path):
    events, times_us, frames = parts
    with pytest.raises(ValueError, match="x below 19 and y below 12"):
        write_aedat4(tmp_path / "a.aedat4", events, times_us, frames[:, :, :19])
    with pytest.raises(ValueError, match="expected timestamps from 0, got -1 us"):
        write_aedat4(tmp_path / "a.aedat4", events, times_us - 1, frames)
    with pytest.raises(UserError, match="got No such file or directory"):
        write_aedat4(tmp_path / "none" / "a.aedat4", *parts)
    assert not list(tmp_path.iterdir())


def table_position(data):
    return struct.unpack_from("<q", data, TABLE_POSITION)[0]


def test_a_file_cut_anywhere_is_refused(file):
    data = file.read_bytes()
    table, size = table_position(data), len(data)
    cuts = [0, 5, 14, 17, 18, 30, 400, 1_400, 1_600, size // 2, table - 1, table]
    # The last 4 bytes only mark the end of the compressed table: nothing is missing.
    for cut in [*cuts, table + 1, (table + size) // 2, size - 5]:
        file.write_bytes(data[:cut])
        with pytest.raises(ValueError, match=r"a\.aedat4: expected a") as error:
            read_recording(file)
        assert "Stacktrace" not in str(error.value)
        assert len(str(error.value)) < 400


def test_a_file_whose_recorder_died_is_refused(file):
    # Without the table dv-processing gives back what it finds and says nothing: of
    # 25,000 events in packets of 10,000 the first packets only.
    data = bytearray(file.read_bytes())
    struct.pack_into("<q", data, TABLE_POSITION, -1)
    file.write_bytes(data[: table_position(file.read_bytes()) // 2])
    camera, count = dv.io.MonoCameraRecording(str(file)), 0
    while (batch := camera.getNextEventBatch()) is not None:
        count += batch.size()
    assert 0 < count < 25_000
    with pytest.raises(ValueError, match="table of packets at the end, got none"):
        read_recording(file)


def test_missing_streams_and_odd_frames(tmp_path):
    path = tmp_path / "a.aedat4"
    event, frame = (1, 0, 0, True), np.zeros((6, 8), np.uint8)
    for events, frames, text in (
        (None, [frame], "expected an event stream, got none"),
        ([event], None, "expected a stream of intensity frames, got none"),
        ([event], [], "at least one of each, got 1 event and 0 intensity frames"),
        ([], [frame], "at least one of each, got 0 events and 1 intensity frame"),
        ([event], [region(0, 0, 2, frame[:5])], "within the 8 x 6 .* got 8 x 5 at 0,2"),
    ):
        write_streams(path, events, frames)
        with pytest.raises(ValueError, match=text) as error:
            read_recording(path)
        assert str(error.value).startswith(str(path))


def test_kinds_of_frames_and_events_off_the_sensor(tmp_path):
    grey = np.random.default_rng(0).integers(1, 255, (6, 8), np.uint8)
    colour = np.stack([grey] * 3, -1)
    tall = (grey.astype(np.uint16) << 2) + 1
    events = [(1, 0, 0, True), (2, 8, 0, True), (3, 7, 5, False), (4, 0, 6, True)]
    part, black = region(9, 3, 2, grey[:4, :5]), np.zeros((6, 8), np.uint8)
    black[2:6, 3:8] = grey[:4, :5]
    for name, frame, note, expected in (
        ("gray16", tall, "1 intensity frame of 10 bits scaled to 8", grey),
        ("colour", colour, "1 intensity frame in colour turned into grey", grey),
        ("roi", part, "1 intensity frame of the region 5 x 4 at 3,2, black", black),
    ):
        path = write_streams(tmp_path / f"{name}.aedat4", events, [frame])
        recording = read_recording(path)
        off, changed = recording.notes
        assert off == "2 of 4 events were off the sensor and left out"
        assert changed.startswith(note)
        left = events_of((1, 0, 0, 1), (3, 7, 5, 0))
        whole = Recording(left, recording.times_us, expected[None], (8, 6))
        assert_same_recording(recording, whole)


def test_packets_come_in_time(tmp_path):
    events = random_events(25_000, 1_000_000, 12, 20)  # 10,000 of them a packet
    times_us = np.arange(0, 1_000_000, 40_000)
    frames = np.zeros((25, 12, 20), np.uint8)
    write_aedat4(tmp_path / "a.aedat4", events, times_us, frames)
    *packets, last = open_source(tmp_path / "a.aedat4")
    assert not len(last.events) and not len(last.times_us)
    firsts = [int(x.events.t[0] if len(x.events) else x.times_us[0]) for x in packets]
    assert firsts == sorted(firsts)
    assert sum(len(x.events) for x in packets) == 25_000
    assert sum(len(x.times_us) for x in packets) == 25


def test_a_digest_beside_a_file(file):
    beside = file.with_name("a.aedat4.sha256")
    command = ["sha256sum", "--check", "--quiet", beside]
    subprocess.run(command, check=True, cwd=file.parent)
    # One bit of a pixel or an event that no library would miss.
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"a file of the SHA-256 in a\.aedat4\.sha256"):
        read_recording(file)


def test_unsorted_timestamps_in_a_file(tmp_path):
    # The writer refuses them, so the bytes of an uncompressed file are changed.
    path = tmp_path / "a.aedat4"
    times = (1_000_001, 1_000_002, 1_000_003)
    events, frames = [(t, 0, 0, True) for t in times], [np.zeros((6, 8), np.uint8)]
    write_streams(path, events, frames, dv.CompressionType.NONE)
    data, old = path.read_bytes(), struct.pack("<q", 1_000_002)
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, struct.pack("<q", 1_000_009)))
    words = "never decrease, got 1000003 us after 1000009 us at event 2"
    with pytest.raises(ValueError, match=words):
        read_recording(path)


def test_other_files(tmp_path):
    path = tmp_path / "a.aedat4"
    with pytest.raises(UserError, match="expected a recording, got no such file"):
        read_recording(path)
    for data, message in (
        (b"hello, this is no recording", "got 27 bytes that start with b'hello"),
        (b"", "got 0 bytes that start with b''"),
        (
            b"#!AER-DAT4.0\r\n" + struct.pack("<I", 40) + b"\xff" * 40,
            "expected a complete AEDAT4 file, got a bro",
        ),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            read_recording(path)


def test_one_event_and_one_frame_are_a_recording(tmp_path):
    path = tmp_path / "a.aedat4"
    parts = events_of((0, 7, 5, 1)), np.array([0]), np.full((1, 6, 8), 7, np.uint8)
    write_aedat4(path, *parts)
    assert_same_recording(read_recording(path), Recording(*parts, (8, 6)))
