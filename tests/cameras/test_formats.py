"""Files of other formats are named, and what is left of broken ones is read."""

import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest

from seen_jax import event_folder
from seen_jax.cameras.aedat4 import write_aedat4
from seen_jax.cameras.sources import read_recording
from seen_jax.errors import UserError
from tests.samples import random_events

TABLE_POSITION = 54  # of the field in the header that dv-processing 2 writes


@pytest.fixture
def file(tmp_path):
    """25,000 events, the first 10,000 up to 40 ms, and frames every 10 ms."""
    path, times_us = tmp_path / "a.aedat4", np.arange(10) * 10_000
    frames = np.random.default_rng(0).integers(0, 256, (10, 12, 20), np.uint8)
    write_aedat4(path, random_events(25_000, 100_000, 12, 20), times_us, frames)
    (tmp_path / "a.aedat4.sha256").unlink()
    return path


@pytest.mark.parametrize(
    ("name", "first", "text"),
    [
        ("a.aedat", b"#!AER-DAT2.0\r\n# This", "got an older AEDAT file, #!AER-DAT2.0"),
        ("a.aedat", b"#!AER-DAT3.1\r\n#Format", "file, #!AER-DAT3.1; open it with in"),
        ("a.raw", b"% evt 3.0", "got a Prophesee file, which has no in"),
        ("a.aedat4", b"% evt 3.0\n", "got a Prophesee file, which has no in"),
        ("a.aedat", b"#!AER-DAT4.0\r\n", "ends in .aedat4, got '.aedat'; rename it"),
    ],
)
def test_other_cameras_files_are_named(tmp_path, name, first, text):
    path = tmp_path / name
    path.write_bytes(first + bytes(100))
    with pytest.raises(UserError) as error:
        read_recording(path)
    assert text in str(error.value)


def died(data, size):
    """The bytes of a file whose recorder died when it had written some of them."""
    data = bytearray(data[:size])
    struct.pack_into("<q", data, TABLE_POSITION, -1)
    return data


def test_recover_reads_the_packets_that_are_there(file):
    whole, data = read_recording(file), file.read_bytes()
    (table,) = struct.unpack_from("<q", data, TABLE_POSITION)
    # The events' packets, 10,000 each, are written first, then the frames.
    begin = 18 + struct.unpack_from("<I", data, 14)[0]
    ends = [begin]
    while ends[-1] < table:
        ends.append(ends[-1] + 8 + struct.unpack_from("<i", data, ends[-1] + 4)[0])
    assert ends[-1] == table
    num_events = len(ends) - 1 - 10
    for size, count, note in (
        (ends[num_events + 4] + 9, 4, "; 9 bytes left out, not a whole packet"),
        (ends[num_events + 4] + 3, 4, "; 3 bytes left out"),
        (ends[num_events + 1], 1, "how many never reached the file is unknown"),
        (table, 10, "how many never reached the file is unknown"),
    ):
        file.write_bytes(died(data, size))
        with pytest.raises(UserError, match=r"read whole packets with --recover$"):
            read_recording(file)
        part = read_recording(file, recover=True)
        assert note in part.notes[0]
        assert part.notes[0].startswith(f"recovered {num_events + count} packets")
        np.testing.assert_array_equal(part.events.t, whole.events.t)
        expected = whole.intensity_frames[:count]
        np.testing.assert_array_equal(part.intensity_frames, expected)
    # Closed and cut later: how much is missing is known.
    file.write_bytes(data[: ends[num_events + 2] + 5])
    part = read_recording(file, recover=True)
    missing = table - ends[num_events + 2]
    assert part.notes[0].endswith(f"; missing: {missing} bytes")
    assert len(part.times_us) == 2
    # As a power cut leaves it: zeros to the end.
    file.write_bytes(died(data, ends[num_events + 3]).ljust(len(data), b"\0"))
    assert len(read_recording(file, recover=True).times_us) == 3
    file.write_bytes(died(data, begin).ljust(len(data), b"\0"))
    with pytest.raises(UserError, match="expected at least one whole packet, got none"):
        read_recording(file, recover=True)
    file.write_bytes(data)  # complete
    assert read_recording(file, recover=True).notes == ()


def test_recover_reads_what_comes_before_a_broken_packet(file):
    data = bytearray(file.read_bytes())
    (table,) = struct.unpack_from("<q", data, TABLE_POSITION)
    starts = [18 + struct.unpack_from("<I", data, 14)[0]]
    while starts[-1] < table:
        size = struct.unpack_from("<i", data, starts[-1] + 4)[0]
        starts.append(starts[-1] + 8 + size)
    data[starts[-5] + 8] ^= 0xFF  # of its compression's mark, 4th from the end
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.aedat4: expected a"):
        read_recording(file, limit_s=5)
    recording = read_recording(file, recover=True, limit_s=5)
    assert len(recording.times_us) == 6
    assert "lost after" in recording.notes[0]


def test_the_command_recovers_and_counts_stale_images(file, tmp_path, capsys):
    data = file.read_bytes()
    file.write_bytes(died(data, len(data) - 2_000))
    options = ["--crop=0,0,12", "--period_us=10000", "--out", str(tmp_path / "out")]
    with pytest.raises(UserError, match=r"with --recover$"):
        event_folder.main([str(file), *options])
    arguments = [str(file), "--recover", *options]
    with pytest.raises(UserError, match="intensity frames: expected one at least ev"):
        event_folder.main([*arguments, "--max_stale_s=0.02"])
    assert "note        recovered" in capsys.readouterr().out
    assert event_folder.main(arguments) == 0
    told = capsys.readouterr().out
    assert "note        recovered" in told
    assert "periods show an intensity frame older than 2 periods, 000" in told


def test_kinds_of_recordings(shared, tmp_path):
    """What make_aedat4.py writes: kinds that readers stumble over."""
    script = shared / "cases" / "make_aedat4.py"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    plain = read_recording(tmp_path / "plain.aedat4")
    assert plain.notes == ()
    notes = {
        "gray16": "15 intensity frames of 10 bits scaled to 8",
        "colour": "15 intensity frames in colour turned into grey",
        "roi": "15 intensity frames of the region 180 x 180 at 0,0, black around",
        "roi_changes": "8 intensity frames of the region 180 x 180 at 0,0, black",
    }
    for name, note in notes.items():
        recording = read_recording(tmp_path / f"{name}.aedat4")
        assert [x[: len(note)] for x in recording.notes] == [note]
        np.testing.assert_array_equal(recording.events.t, plain.events.t)
        region = plain.intensity_frames
        if name.startswith("roi"):  # dv.Frame(t, image) says no place
            region = np.zeros_like(region)
            region[:, :180, :180] = plain.intensity_frames[:, 40:220, 83:263]
        if name == "roi_changes":
            region[:7] = plain.intensity_frames[:7]
        np.testing.assert_array_equal(recording.intensity_frames, region)
    with pytest.raises(UserError, match=r"or read whole packets with --recover$"):
        read_recording(tmp_path / "cut.aedat4")
    part = read_recording(tmp_path / "cut.aedat4", recover=True)
    assert len(part.events) == 2_000 and 0 < len(part.times_us) < 15
    for name in ("late", "gap", "one", "slow"):
        arguments = [str(tmp_path / f"{name}.aedat4"), f"--out={tmp_path / name}"]
        if name == "slow":
            assert event_folder.main(arguments) == 0
            continue
        with pytest.raises(UserError, match="intensity frames: expected one at least"):
            event_folder.main(arguments)
        assert event_folder.main([*arguments, "--max_stale_s=1"]) == 0
        shutil.rmtree(tmp_path / name)
