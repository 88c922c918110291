"""Recording packets as they come: the files, and what becomes of them at an end."""

import os
import re
import signal
import time

import numpy as np
import pytest

from seen_jax.cameras import digest
from seen_jax.cameras.packets import gather
from seen_jax.cameras.recorder import Recorder
from seen_jax.cameras.sources import read_recording
from seen_jax.errors import UserError
from tests.live.streams import in_packets, recording_of


def assert_equal(got, expected):
    for name in "txyp":
        pair = (getattr(x.events, name) for x in (got, expected))
        np.testing.assert_array_equal(*pair)
    for name in ("times_us", "intensity_frames", "resolution"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))


def record(folder, packets, **options):
    recorder = Recorder(folder, **options)
    notes = [note for packet in packets for note in recorder.write(packet)]
    recorder.close()
    return recorder, notes


def test_a_recording_is_what_came(tmp_path):
    whole = recording_of(300_000)
    folder = tmp_path / "new" / "folder"
    recorder, notes = record(folder, in_packets(whole, 7_000))
    path = folder / "00000.aedat4"
    assert (recorder.files, recorder.failure, notes) == ([str(path)], "", [])
    assert digest.beside(path).exists()
    assert_equal(read_recording(path), whole)
    # The next one has the next number, also behind a part that was left.
    (folder / "00001.part.aedat4").touch()
    recorder, _ = record(folder, in_packets(whole, 300_000))
    assert recorder.files == [str(folder / "00002.aedat4")]
    assert_equal(read_recording(recorder.files[0]), whole)


def test_a_new_file_begins_after_a_while_and_where_the_clock_begins_again(tmp_path):
    whole = recording_of(250_000)
    packets = [*in_packets(whole, 10_000, begin_us=10**9)]
    other = [*in_packets(recording_of(50_000, width=40), 10_000, begin_us=10**10)]
    again = [*in_packets(whole, 10_000)]
    recorder, _ = record(tmp_path, [*packets, *again, *other], part_s=0.1)
    # The first frame of each file is at a multiple of 100 ms.
    parts = [packets[:10], packets[10:20], packets[20:]]
    parts += [again[:10], again[10:20], again[20:], other]
    assert len(recorder.files) == len(parts)
    for path, part in zip(recorder.files, parts, strict=True):
        assert_equal(read_recording(path), gather(part))


def test_nothing_came(tmp_path):
    recorder, _ = record(tmp_path, [])
    assert (recorder.files, recorder.failure) == ([], "")
    assert [*tmp_path.iterdir()] == []


def test_its_process_is_killed(tmp_path):
    """What it wrote can be recovered; whoever records is told once, and goes on."""
    whole = recording_of(3_000_000, width=346, height=260)
    packets, recorder = [*in_packets(whole, 100_000)], Recorder(tmp_path)
    for packet in packets[:20]:
        assert recorder.write(packet) == ()
    part = tmp_path / "00000.part.aedat4"
    while not part.exists() or part.stat().st_size < 1 << 20:
        assert recorder._process.poll() is None
    os.kill(recorder._process.pid, signal.SIGKILL)
    recorder.write(packets[20])
    deadline = time.monotonic() + 60
    while not recorder.failure:
        assert time.monotonic() < deadline
    notes = [note for packet in packets[21:] for note in recorder.write(packet)]
    (note,) = notes
    died = f"the recording ended: its process died of SIGKILL; {tmp_path} has "
    assert re.fullmatch(re.escape(died) + r"\d+ MB free", note)
    recorder.close()
    assert recorder.files == []
    with pytest.raises(UserError, match=r"a table of packets at the end.*--recover"):
        read_recording(part)
    got = read_recording(part, recover=True)
    count = len(got.times_us)
    assert 0 < count < len(whole.times_us)
    np.testing.assert_array_equal(got.intensity_frames, whole.intensity_frames[:count])


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: expected a place that can be written"):
        Recorder(tmp_path / "file")


def test_signals_to_the_program_do_not_end_a_recording(tmp_path):
    whole = recording_of(300_000)
    packets, recorder = [*in_packets(whole, 7_000)], Recorder(tmp_path)
    recorder.write(packets[0])
    while not (tmp_path / "00000.part.aedat4").exists():
        assert recorder._process.poll() is None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(recorder._process.pid, number)
    for packet in packets[1:]:
        recorder.write(packet)
    recorder.close()
    assert_equal(read_recording(recorder.files[0]), whole)
