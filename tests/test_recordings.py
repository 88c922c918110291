"""From a table of clips to a SEE folder: rows, split, resuming, real files."""

import csv
import hashlib
import json
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from seen_jax import recordings
from seen_jax.cameras.aedat4 import write_aedat4
from seen_jax.cameras.sources import read_recording
from seen_jax.errors import UserError
from seen_jax.events import accumulate
from tests.samples import random_events

HEADER = "recording,start_s,end_s,label,volunteer"
FIRST_US = 5_000_000


@pytest.fixture
def folder(tmp_path):
    """`a.aedat4`: 30 x 20 pixels, 1 s; intensity frame f, every 50 ms, is 10 f."""
    events = random_events(5_000, 1_000_000, 20, 30)
    events.t[:] += FIRST_US
    times_us = np.arange(20) * 50_000 + FIRST_US
    levels = np.arange(0, 200, 10, dtype=np.uint8)
    frames = np.zeros((20, 20, 30), np.uint8) + levels[:, None, None]
    write_aedat4(tmp_path / "a.aedat4", events, times_us, frames)
    return tmp_path


def write_table(folder, *rows, header=HEADER):
    path = folder / "clips.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def command(folder, *options):
    table, out = str(folder / "clips.csv"), str(folder / "out")
    options = ["--crop=0,0,20", "--workers=1", *options]
    return recordings.main(["--clips", table, "--out", out, *options])


def test_images_and_split_file(folder, capsys):
    write_table(
        folder,
        'a.aedat4,0.1,0.35,left,anna,3,"4,2,16",x',
        "a.aedat4,0,0.1,right,ben,4,,",
        header=HEADER + ",age,crop,note",
    )
    assert command(folder, "--period_us=40000") == 0
    assert "2 clips in" in capsys.readouterr().out
    split = json.loads((folder / "out" / "emotion.json").read_text())
    assert split["labels"] == ["left", "right"]
    assert split["frames_per_s"] == 25.0
    first = split["database"]["clip_00001"]
    # 250 ms hold six periods of 40 ms; 10 ms are left out. 100 ms hold two.
    assert first["annotations"] == {"label": "left", "segment": [0, 6]}
    assert split["database"]["clip_00002"]["annotations"]["segment"] == [0, 2]
    assert first["metadata"] == {"volunteer": "anna", "age": 3, "note": "x"}
    source = json.loads((folder / "out" / "recordings.json").read_text())
    assert source["options"]["period_us"] == "40000"
    clip = source["clips"]["clip_00001"]
    digest = hashlib.sha256((folder / "a.aedat4").read_bytes()).hexdigest()
    assert (clip["sha256"], clip["crop"]) == (digest, [4, 2, 16])
    # The origin is the intensity frame at FIRST_US: no event is earlier.
    assert clip["start_us"] == FIRST_US + 100_000
    events = read_recording(folder / "a.aedat4").events
    inside = (events.t >= FIRST_US + 100_000) & (events.t < FIRST_US + 340_000)
    part = type(events)(*(x[inside] for x in (events.t, events.x, events.y, events.p)))
    times = {"start_us": FIRST_US + 100_000, "period_us": 40_000, "num_periods": 6}
    expected = accumulate(part.crop(4, 2, 16), **times, shape=(16, 16))
    for i, event_frame in enumerate(expected):
        name = f"left/clip_00001/{i:05d}.jpg"
        with Image.open(folder / "out" / "event" / name) as image:
            assert np.abs(np.asarray(image).astype(int) - event_frame).mean() < 12
        # Period i ends 140 + 40 i ms after the origin; frames come every 50 ms.
        with Image.open(folder / "out" / "frame" / name) as image:
            assert abs(int(image.getpixel((8, 8))) - 10 * ((140 + 40 * i) // 50)) <= 1


def test_notes_and_stale_images_are_kept_told_and_refused(folder, capsys):
    events = read_recording(folder / "a.aedat4").events
    times_us = np.array([0, 40, 100, 330, 400, 500, 600, 700, 800, 900]) * 1000
    frames = np.zeros((10, 20, 30), np.uint8)
    write_aedat4(folder / "a.aedat4", events, times_us + FIRST_US, frames)
    write_table(folder, "a.aedat4,0,0.4,left,anna", "a.aedat4,0.5,0.9,right,ben")
    text = r"line 2: intensity frames: .* 4 of 10 .* 00004 to 00007; .* 0\.220 s"
    with pytest.raises(UserError, match=text):
        command(folder, "--period_us=40000")
    options = ["--period_us=40000", "--max_stale_s=0.22"]
    assert command(folder, *options) == 0
    note = "4 of 10 periods show an intensity frame older than 2 periods"
    assert f"note: a.aedat4, clip_00001: {note}" in capsys.readouterr().out
    source = json.loads((folder / "out" / "recordings.json").read_text())["clips"]
    assert [x.startswith(note) for x in source["clip_00001"]["notes"]] == [True]
    assert "notes" not in source["clip_00002"]


def test_every_wrong_row_is_listed_and_nothing_written(folder):
    labels = ("../left", "\u202eleft", "左" * 67)  # 201 bytes
    rows = ["a.aedat4,0,0.2,left,anna,,", "no.aedat4,0,0.2,left,anna,,"]
    rows += [f"a.aedat4,{x},left,anna,," for x in ("x,0.2", "0.2,0.2", "0,nan")]
    rows += [f"a.aedat4,0,0.2,{label},anna,," for label in labels]
    ends = ("an\x1bna,,", ",,", "anna,test,", "anna,,1;2;3")
    rows += [*(f"a.aedat4,0,0.2,left,{x}" for x in ends), "a.aedat4,0,0.2,left"]
    write_table(folder, *rows, header=HEADER + ",subset,crop")
    with pytest.raises(UserError, match="12 problems, nothing was written") as error:
        command(folder)
    lines = str(error.value).splitlines()[1:]
    words = ["recording", "start_s", "start_s, end_s", "start_s, end_s", "label"]
    words += ["label", "label", "volunteer", "volunteer", "subset", "crop", "row"]
    assert [line.split(": ")[:2] for line in lines] == [
        [f"  line {line}", word] for line, word in enumerate(words, start=3)
    ]
    write_table(
        folder,
        "a.aedat4,0,1.2,left,anna,",  # the recording has 1 s
        "a.aedat4,0,0.01,left,ben,",  # shorter than a period
        'a.aedat4,0,0.2,right,ben,"20,0,20"',  # off the sensor
        "clips.csv,0,0.2,right,ben,",
        header=HEADER + ",crop",
    )
    with pytest.raises(UserError, match="4 problems") as error:
        command(folder)
    for text in ("line 2: start_s, end_s", "line 3:", "line 4: crop", "line 5:"):
        assert text in str(error.value)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("", "a first line of different names"),
        ("recording,start_s,end_s,label\n", "a first line of different names"),
        (HEADER + ",age,age\n", "a first line of different names"),
        (HEADER + ",a\x1bge\nno,0,1,a,b,3", r"line 1: expected .* got 'a\\x1bge'$"),
        (HEADER + "\n\n", "at least one clip"),
        (HEADER + '\n"a', "expected CSV"),
        (HEADER + "\na.aedat4,0,0.9,left,anna\n", "at least 2 labels"),
        (
            HEADER + "\na.aedat4,0,9,left,anna\na.aedat4,0,0.2,Left,ben\nb,0,1,x,y",
            "3 problems, (.|\n)*line 2: start_s, end_s: .*\n"
            ".*line 3: label: expected 'left' spelled as before, got 'Left'\n"
            ".*line 4: recording: expected a file, got none at ",
        ),
        (
            HEADER + "\na.aedat4,0,0.2,left,anna\na.aedat4,0,0.2,right,anna\n",
            "2 volu",
        ),
    ],
)
def test_tables_that_are_refused(folder, table, text):
    (folder / "clips.csv").write_text(table)
    with pytest.raises(UserError, match=text):
        command(folder)


@pytest.mark.parametrize("character", ["\u2028", "\x85", "\x0c", "\x1e"])
def test_only_ends_of_lines_end_a_line(folder, character):
    write_table(
        folder, f"a.aedat4,0,0.2,left,an{character}na", "no.aedat4,0,0.2,right,ben"
    )
    with pytest.raises(UserError) as error:
        command(folder)
    first, second = str(error.value).splitlines()[1:]
    assert first.startswith("  line 2: volunteer: expected printable text, got 'an")
    assert second.startswith("  line 3: recording: ")


@pytest.mark.parametrize(
    ("given", "missing"), [("training", "testing"), ("testing", "training")]
)
def test_a_subset_without_clips_is_refused(folder, given, missing):
    rows = [f"a.aedat4,0,0.2,{label},anna,{given}" for label in ("left", "right")]
    write_table(folder, *rows, header=HEADER + ",subset")
    with pytest.raises(UserError, match=f"clips of the subset {missing}, got none; "):
        command(folder)
    assert not (folder / "out").exists()


def test_resumes_where_it_was_killed(folder, monkeypatch):
    rows = [f"a.aedat4,0.{i},0.{i + 1},{'ab'[i % 2]},{i % 3}" for i in range(6)]
    write_table(folder, *rows)
    write, written = recordings._write_clip, []

    def killed(row, **options):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(row.name)
        write(row, **options)

    monkeypatch.setattr(recordings, "_write_clip", killed)
    with pytest.raises(KeyboardInterrupt):
        command(folder)
    assert not (folder / "out" / "emotion.json").exists()
    with pytest.raises(UserError, match="the same table, recordings and options"):
        command(folder, "--period_us=20000")

    def counted(row, **options):
        written.append(row.name)
        write(row, **options)

    monkeypatch.setattr(recordings, "_write_clip", counted)
    command(folder)
    assert written == [f"clip_{i:05d}" for i in range(1, 7)]
    assert {x.name for x in (folder / "out").iterdir()} == {
        "event", "frame", "emotion.json", "recordings.json"
    }  # fmt: skip
    assert len([*(folder / "out" / "frame").rglob("*.jpg")]) == 6 * 3


def rows_of(num_volunteers, clips_each, subset=lambda volunteer: None):
    return [
        recordings.Row(
            0, f"clip_{v:03d}_{i}", None, "", 0, 1, "abcde"[i % 5], f"v{v}", subset(v),
            None, {},
        )
        for v in range(num_volunteers)
        for i in range(clips_each)
    ]  # fmt: skip


def test_nobody_is_in_both_parts_and_labels_keep_their_share():
    rows = rows_of(10, 5)
    subsets = recordings.divide(rows, 0.3, 0)
    where, labels = defaultdict(set), defaultdict(list)
    for row in rows:
        where[row.volunteer].add(subsets[row.name])
        labels[row.label].append(subsets[row.name])
    assert all(len(x) == 1 for x in where.values())
    # Ten volunteers with each label once: three of them are exactly the share.
    assert [x.count("testing") for x in labels.values()] == [3] * 5
    assert recordings.divide(rows, 0.3, 0) == subsets
    assert recordings.divide(rows, 0.3, 1) != subsets


def test_a_subset_in_the_table_stays():
    rows = rows_of(4, 5, lambda volunteer: "testing" if volunteer == 2 else None)
    subsets = recordings.divide(rows, 0.3, 0)
    assert {subsets[x.name] for x in rows if x.volunteer == "v2"} == {"testing"}
    rows = rows_of(2, 1, lambda v: "training")
    assert set(recordings.divide(rows, 0.3, 0).values()) == {"training"}
    for share, seed in ((0, 0), (1, 0), (float("nan"), 0), (0.3, -1)):
        with pytest.raises(UserError):
            recordings.divide(rows, share, seed)


def test_real_recordings(shared, tmp_path, capsys):
    place = shared / "recordings"
    spans = {"cars": 2.36, "newton_cradle": 0.51, "street": 0.16}
    rows = [
        [place / f"davis346_{name}.aedat4", 0, span, label, who]
        for who, label, (name, span) in zip("abc", "xyx", spans.items(), strict=True)
    ]
    with open(tmp_path / "clips.csv", "w", newline="") as file:
        csv.writer(file).writerows([HEADER.split(","), *rows])
    out = tmp_path / "out"
    recordings.main(["--clips", str(tmp_path / "clips.csv"), "--out", str(out)])
    for kind in ("event", "frame"):
        counts = [
            len([*(out / kind / label / f"clip_{i:05d}").iterdir()])
            for i, label in enumerate("xyx", start=1)
        ]
        # 2.36, 0.51 and 0.16 s hold 70, 15 and 4 periods of 33,333 us.
        assert counts == [70, 15, 4]
