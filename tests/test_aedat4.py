"""AEDAT4: real files against an independent reader, round trips, broken files."""

import os
import struct
import subprocess
import sys

import aedat
import dv_processing as dv
import numpy as np
import pytest

from seen_jax.aedat4 import read_aedat4, write_aedat4
from seen_jax.errors import UserError
from seen_jax.events import Events
from tests.samples import events_of, random_events

RECORDINGS = {  # name: (events, intensity frames)
    "davis346_newton_cradle": (319_512, 13),
    "davis346_street": (6_676, 4),
}
FIELDS = ("t", "x", "y", "p")
TABLE_POSITION = 54  # of the field in the header that dv-processing 2 writes


def read_independently(path):
    """Reads with `aedat`, which shares no code with dv-processing."""
    packets = list(aedat.Decoder(path))
    events = np.concatenate([x["events"] for x in packets if "events" in x])
    frames = [x["frame"] for x in packets if "frame" in x]
    return events, frames


def assert_same_events(events, others):
    for name in FIELDS:
        ours, theirs = getattr(events, name), getattr(others, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


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
    recording = read_aedat4(path)
    assert (len(recording.events), len(recording.times_us)) == RECORDINGS[name]
    assert recording.resolution == (346, 260)
    events, frames = read_independently(path)
    x, y = (events[k].astype(np.int16) for k in "xy")
    others = Events(events["t"].astype(np.int64), x, y, events["on"])
    assert_same_events(recording.events, others)
    for image, frame in zip(recording.intensity_frames, frames, strict=True):
        np.testing.assert_array_equal(image, frame["pixels"])
    assert recording.times_us.tolist() == [x["exposure_begin_t"] for x in frames]


def test_round_trip_is_exact(parts, file):
    events, times_us, frames = parts
    recording = read_aedat4(file)
    assert (np.diff(events.t) == 0).sum() > 10_000
    assert_same_events(recording.events, events)
    np.testing.assert_array_equal(recording.times_us, times_us)
    np.testing.assert_array_equal(recording.intensity_frames, frames)
    assert recording.resolution == (20, 12)
    others, images = read_independently(file)
    np.testing.assert_array_equal(others["t"], events.t)
    assert len(images) == 4


def test_writing_is_deterministic_and_leaves_nothing_else(parts, file, tmp_path):
    write_aedat4(tmp_path / "raw", *parts)  # any name can be written
    assert (tmp_path / "raw").read_bytes() == file.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.aedat4", "raw"]


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
            read_aedat4(file)
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
        read_aedat4(file)


def test_a_killed_recorder_leaves_such_a_file(tmp_path):
    path = tmp_path / "k.aedat4"
    program = (
        "import os, sys, dv_processing as dv\n"
        "config = dv.io.MonoCameraWriter.Config('DAVIS346')\n"
        "config.addEventStream((4, 4))\n"
        "writer = dv.io.MonoCameraWriter(sys.argv[1], config)\n"
        "os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", program, path], timeout=60)
    with pytest.raises(ValueError, match=r"k\.aedat4: expected a"):
        read_aedat4(path)


def write_streams(path, events=None, frames=None, compression=None):
    """Writes only the streams that are given."""
    compression = compression or dv.CompressionType.LZ4
    config = dv.io.MonoCameraWriter.Config("DAVIS346", compression)
    if events is not None:
        config.addEventStream((8, 6))
    if frames is not None:
        config.addFrameStream((8, 6))
    writer = dv.io.MonoCameraWriter(str(path), config)
    if events:
        store = dv.EventStore()
        for event in events:
            store.push_back(*event)
        writer.writeEvents(store)
    for i, frame in enumerate(frames or []):
        writer.writeFrame(dv.Frame(i, frame))
    del writer
    return path


def test_missing_streams_and_odd_frames(tmp_path):
    path = tmp_path / "a.aedat4"
    event, frame = (1, 0, 0, True), np.zeros((6, 8), np.uint8)
    for events, frames, text in (
        (None, [frame], "expected an event stream, got none"),
        ([event], None, "expected a stream of intensity frames, got none"),
        ([event], [], "at least one of each, got 1 events and 0 intensity frames"),
        ([], [frame], "at least one of each, got 0 events and 1 intensity frames"),
        ([event], [np.zeros((6, 8, 3), np.uint8)], r"got uint8 \(1, 6, 8, 3\)"),
        ([event], [frame, frame[:5]], r"expected one shape, got \[\(5, 8\), \(6, 8\)"),
    ):
        write_streams(path, events, frames)
        with pytest.raises(ValueError, match=text) as error:
            read_aedat4(path)
        assert str(error.value).startswith(str(path))


def test_unsorted_timestamps_in_a_file(tmp_path):
    # The writer refuses them, so the bytes of an uncompressed file are changed.
    path = tmp_path / "a.aedat4"
    times = (1_000_001, 1_000_002, 1_000_003)
    write_streams(
        path,
        [(t, 0, 0, True) for t in times],
        [np.zeros((6, 8), np.uint8)],
        dv.CompressionType.NONE,
    )
    data, old = path.read_bytes(), struct.pack("<q", 1_000_002)
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, struct.pack("<q", 1_000_009)))
    with pytest.raises(
        ValueError, match="never decrease, got 1000003 us after 1000009 us at event 2"
    ):
        read_aedat4(path)


def test_other_files(tmp_path):
    with pytest.raises(UserError, match=r"expected an \.aedat4 file, got no"):
        read_aedat4(tmp_path / "none.aedat4")
    other = tmp_path / "text.aedat4"
    other.write_text("hello, this is no recording")
    with pytest.raises(ValueError, match="got 27 bytes that start with b'hello"):
        read_aedat4(other)
    other.write_bytes(b"")
    with pytest.raises(ValueError, match="got 0 bytes that start with b''"):
        read_aedat4(other)
    other.write_bytes(b"#!AER-DAT4.0\r\n" + struct.pack("<I", 40) + b"\xff" * 40)
    with pytest.raises(ValueError, match="expected a complete AEDAT4 file, got a bro"):
        read_aedat4(other)
    renamed = tmp_path / "text.dat"
    renamed.write_bytes(b"#!AER-DAT4.0\r\n")
    with pytest.raises(ValueError, match=r"ends in \.aedat4, got '\.dat'"):
        read_aedat4(renamed)


def test_one_event_and_one_frame_are_a_recording(tmp_path):
    path = tmp_path / "a.aedat4"
    frame = np.full((1, 6, 8), 7, np.uint8)
    write_aedat4(path, events_of((0, 7, 5, 1)), np.array([0]), frame)
    recording = read_aedat4(path)
    assert_same_events(recording.events, events_of((0, 7, 5, 1)))
    np.testing.assert_array_equal(recording.intensity_frames, frame)
