"""Recording packets as they come: the files, and what becomes of them at an end."""

import os
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from seen_jax.cameras import digest
from seen_jax.cameras.packets import gather
from seen_jax.cameras.recorder import CLIPS, COLUMNS, Clip, Recorder
from seen_jax.cameras.sources import read_recording
from seen_jax.errors import UserError
from seen_jax.recording_table import read_table
from tests.live.streams import in_packets, recording_of
from tests.samples import assert_same_recording


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
    assert_same_recording(read_recording(path), whole)
    # The next one has the next number, also behind a part that was left.
    (folder / "00001.part.aedat4").touch()
    recorder, _ = record(folder, in_packets(whole, 300_000))
    assert recorder.files == [str(folder / "00002.aedat4")]
    assert_same_recording(read_recording(recorder.files[0]), whole)


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
        assert_same_recording(read_recording(path), gather(part))


def clip_of(start_us, end_us, label="fear", least_us=1):
    return Clip(start_us, end_us, label, "7", "5,0,20", least_us)


def rows_of(folder, items, **options):
    """Records packets and marks clips, in their order; returns the table's rows."""
    recorder = Recorder(folder, **options)
    for item in items:
        recorder.mark(item) if isinstance(item, Clip) else recorder.write(item)
    recorder.close()
    assert recorder.failure == ""
    if not (folder / CLIPS).exists():
        return []
    header, *rows = (folder / CLIPS).read_text().splitlines()
    assert header == ",".join(COLUMNS)
    return rows


def row(number, start_us, end_us, label="fear"):
    times = f"{start_us / 1e6:.6f},{end_us / 1e6:.6f}"
    return f'{number:05d}.aedat4,{times},{label},7,"5,0,20"'


def last_us(recording, before_us):
    """The last timestamp before a time."""
    return max(
        int(x[x < before_us][-1]) for x in (recording.events.t, recording.times_us)
    )


def test_a_clip_is_a_row_with_times_from_the_file_s_begin(tmp_path):
    """The first timestamp of each file is a frame's, 0 and 10**9."""
    whole = recording_of(100_000)
    first = [*in_packets(whole, 10_000), clip_of(20_000, 70_001), clip_of(5, 6, "joy")]
    later = [*in_packets(whole, 10_000, begin_us=10**9)]
    clips = [clip_of(10**9 + 1, 10**9 + 50_000)]
    rows = rows_of(tmp_path, [*first, *later, *clips])
    assert rows == [row(0, 20_000, 70_001), row(0, 5, 6, "joy"), row(1, 1, 50_000)]
    # Another program adds to the same table.
    rows = rows_of(tmp_path, [*in_packets(whole, 10_000), clip_of(0, 9)])
    assert rows[3:] == [row(2, 0, 9)]


def test_a_clip_that_ends_later_than_what_came_waits_for_it(tmp_path):
    whole = recording_of(100_000)
    packets = [*in_packets(whole, 10_000)]
    clip = clip_of(20_000, 65_000)
    rows = rows_of(tmp_path / "a", [*packets[:5], clip, *packets[5:]])
    assert rows == [row(0, 20_000, 65_000)]
    # Where nothing more comes, it ends with the last timestamp.
    rows = rows_of(tmp_path / "b", [*packets[:5], clip])
    assert rows == [row(0, 20_000, last_us(whole, 50_000))]
    # What began before the file, or after its end.
    clips = [clip_of(-20_000, 30_000), clip_of(200_000, 300_000)]
    assert rows_of(tmp_path / "c", [*packets, *clips]) == [row(0, 0, 30_000)]


@pytest.mark.parametrize("is_early", [False, True])
def test_a_clip_over_the_end_of_a_file_is_two_rows(tmp_path, is_early):
    """The second file begins with the frame of 100 ms."""
    whole = recording_of(200_000)
    packets = [*in_packets(whole, 10_000)]
    packets.insert(9 if is_early else 15, clip_of(60_000, 130_000))
    rows = rows_of(tmp_path, packets, part_s=0.1)
    assert rows == [row(0, 60_000, last_us(whole, 100_000)), row(1, 0, 30_000)]


def test_a_part_of_a_clip_that_is_too_short_is_no_row(tmp_path):
    whole = recording_of(200_000)
    packets = [*in_packets(whole, 10_000)]
    a, b = ((60_000, "a", 40_000), (80_000, "b", 30_000))
    clips = [clip_of(start, 130_000, label, least) for start, label, least in (a, b)]
    rows = rows_of(tmp_path, [*packets[:15], *clips, *packets[15:]], part_s=0.1)
    # 40 and 30 ms of a, 20 and 30 ms of b; the end of a file is a little earlier.
    assert rows == [row(1, 0, 30_000, "b")]


@pytest.mark.parametrize("origin_us", [0, 30_000])
def test_a_clip_is_of_the_clock_in_which_it_was(tmp_path, origin_us):
    """The times before and after a new begin of the clock overlap."""
    whole = recording_of(100_000)
    before = [*in_packets(whole, 10_000)]
    after = [*in_packets(whole, 10_000, begin_us=origin_us)]
    clip = clip_of(40_000, 80_000)
    rows = rows_of(tmp_path / "a", [*before, *after[:9], clip])
    assert rows == [row(1, 40_000 - origin_us, 80_000 - origin_us)]
    # One of the first clock that lacks its end.
    late = clip_of(40_000, 150_000)
    rows = rows_of(tmp_path / "b", [*before, late, *after])
    assert rows == [row(0, 40_000, last_us(whole, 100_000))]


def test_a_clip_ends_where_the_recording_is_turned_off(tmp_path):
    whole = recording_of(100_000)
    packets, recorder = [*in_packets(whole, 10_000)], Recorder(tmp_path)
    for packet in packets[:5]:
        recorder.write(packet)
    recorder.mark(clip_of(20_000, 90_000))
    for recorder.is_on, part in ((False, packets[5:7]), (True, packets[7:])):
        for packet in part:
            recorder.write(packet)
    recorder.close()
    assert len(recorder.files) == 2
    _, *rows = (tmp_path / CLIPS).read_text().splitlines()
    assert rows == [row(0, 20_000, last_us(whole, 50_000))]
    assert_same_recording(read_recording(recorder.files[0]), gather(packets[:5]))
    assert_same_recording(read_recording(recorder.files[1]), gather(packets[7:]))


def test_a_file_of_one_modality_has_no_clips(tmp_path):
    """No reader takes it."""
    whole = recording_of(100_000)
    packets = [
        replace(x, times_us=x.times_us[:0], intensity_frames=x.intensity_frames[:0])
        for x in in_packets(whole, 10_000)
    ]
    assert rows_of(tmp_path, [*packets, clip_of(20_000, 70_000)]) == []


def test_names_with_commas_are_quoted(tmp_path):
    whole = recording_of(100_000)
    clip = Clip(0, 50_000, "a, b", 'the "third"', "5,0,20")
    rows_of(tmp_path, [*in_packets(whole, 10_000), clip])
    rows, problems = read_table(tmp_path / CLIPS)
    assert problems == []
    (got,) = rows
    assert (got.label, got.volunteer, got.crop) == ("a, b", 'the "third"', (5, 0, 20))


def test_nothing_came(tmp_path):
    recorder, _ = record(tmp_path, [])
    assert (recorder.files, recorder.failure) == ([], "")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("free", [1 << 40, 7 << 20])
def test_its_process_is_killed(free, tmp_path, monkeypatch):
    """What it wrote can be recovered; whoever records is told once, and continues."""
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    disk = f"{tmp_path} has 7 MB free; " if free < 1 << 30 else ""
    (tmp_path / "00007.part.aedat4").touch()  # another one's
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
    died = f"the recording ended: its process died of SIGKILL; {disk}read what is left"
    assert note == f"{died}, {part}, with --recover"
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
    assert_same_recording(read_recording(recorder.files[0]), whole)
