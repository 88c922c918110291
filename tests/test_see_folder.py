"""The check of a SEE folder: every kind of problem, in the words that a user reads."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import EpsImagePlugin, Image

from seen_jax import see, see_folder
from seen_jax.errors import UserError
from tests import samples

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A right folder: three volunteers, one clip of 3 frames per emotion each."""
    root = tmp_path_factory.mktemp("template") / "SEE"
    return samples.write_see_folder(root, samples.clip_names(3, (3,)), size=8)


@pytest.fixture
def see_dir(template, tmp_path):
    return shutil.copytree(template, tmp_path / "SEE")


CLIP = str(samples.clip_names(1, (3,))[0])  # the first clip, angry


def clip_dir(see_dir, kind="event", name=CLIP):
    return see_dir / kind / "angry" / name


def edit_split(see_dir, change):
    path = see_dir / "emotion.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def problems_of(see_dir, **names):
    contents = see_folder.check(see_folder.SeeFolder(see_dir, **names), num_workers=1)
    return [str(problem) for problem in contents.problems]


def test_a_right_folder(see_dir):
    contents = see_folder.check(see_folder.SeeFolder(see_dir))
    contents.raise_problems()
    assert len(contents.clips) == 21
    assert [*contents.clips] == [str(name) for name in samples.clip_names(3, (3,))]
    clip = contents.clips[CLIP]
    assert str(clip.name) == CLIP
    expected = [clip_dir(see_dir, "frame") / f"0000{i}.jpg" for i in range(3)]
    assert [*clip.frame_files] == expected
    assert see_folder.summary(contents).splitlines() == [
        "clips       21",
        "volunteers  3",
        "frames      63 (0.0 minutes)",
        "emotion     angry 3  disgust 3  fear 3  happiness 3  neutral 3  sadness 3"
        "  surprise 3",
        "lighting    normal 0  Overexposed 7  Low 7  HDR 7",
        "split       training 14  testing 7",
    ]


def test_unreadable_jpeg(see_dir):
    path = clip_dir(see_dir) / "00001.jpg"
    path.write_bytes(b"not an image")
    (problem,) = problems_of(see_dir)
    assert problem.startswith(
        f"{path}: expected a complete grey JPEG, got 12 bytes (no JPEG)"
    )


@pytest.mark.parametrize("num_bytes", [1, 2, 40])
def test_truncated_jpeg(see_dir, num_bytes):
    path = clip_dir(see_dir) / "00001.jpg"
    path.write_bytes(path.read_bytes()[:-num_bytes])
    (problem,) = problems_of(see_dir)
    assert problem.startswith(f"{path}: expected a complete grey JPEG, got ")
    assert "truncated" in problem


def test_empty_file(see_dir):
    path = clip_dir(see_dir) / "00001.jpg"
    path.write_bytes(b"")
    (problem,) = problems_of(see_dir)
    assert problem.startswith(f"{path}: expected a complete grey JPEG, got ")


def test_a_gap(see_dir):
    for kind in ("event", "frame"):
        first = clip_dir(see_dir, kind) / "00000.jpg"
        shutil.copy(first, first.with_name("00009.jpg"))
        first.with_name("00001.jpg").unlink()
    rule = "expected images 00000.jpg to 00009.jpg without a gap"
    got = "no 00001.jpg, 00003.jpg, 00004.jpg, 00005.jpg, 00006.jpg and 2 more"
    assert problems_of(see_dir) == [
        f"{clip_dir(see_dir, kind)}: {rule}, got {got}" for kind in ("event", "frame")
    ]


def test_counts_of_the_modalities_differ(see_dir):
    (clip_dir(see_dir) / "00002.jpg").unlink()
    got = "got 2 event frames, 3 intensity frames"
    assert problems_of(see_dir) == [
        f"{CLIP}: expected 3 event frames, as in the name, got 2",
        f"{CLIP}: expected as many event frames as intensity frames, {got}",
        f"{CLIP}: expected event frames up to the segment's end 3, got 2",
    ]


def test_count_differs_from_the_name(see_dir):
    for kind in ("event", "frame"):
        path = clip_dir(see_dir, kind) / "00002.jpg"
        shutil.copy(path, path.with_name("00003.jpg"))
    assert problems_of(see_dir) == [
        f"{CLIP}: expected 3 event frames, as in the name, got 4",
        f"{CLIP}: expected 3 intensity frames, as in the name, got 4",
    ]


def test_count_differs_from_the_segment(see_dir):
    def change(content):
        content["database"][CLIP]["annotations"]["segment"] = [0, 4]

    edit_split(see_dir, change)
    entry = f"{see_dir}/emotion.json: database['{CLIP}']"
    rule = "a segment within the 3 frames of the name"
    assert problems_of(see_dir) == [f"{entry}: expected {rule}, got [0, 4]"]


def test_files_that_are_no_images_of_the_clip(see_dir):
    first = clip_dir(see_dir) / "00000.jpg"
    for name in ("Thumbs.db", "3.jpg", "00003.jpeg", "00003.JPG"):
        shutil.copy(first, first.with_name(name))
    (clip_dir(see_dir) / ".DS_Store").touch()
    rule = "expected only images 00000.jpg, 00001.jpg, ..."
    assert problems_of(see_dir) == [
        f"{clip_dir(see_dir)}/{name}: {rule}, got {name}"
        for name in ("00003.JPG", "00003.jpeg", "3.jpg", "Thumbs.db")
    ]


@pytest.mark.parametrize(
    ("mode", "format", "expected"),
    [
        ("RGB", "JPEG", "(JPEG of mode RGB)"),
        ("L", "PNG", "(no JPEG)"),
    ],
)
def test_not_a_grey_jpeg(see_dir, mode, format, expected):
    path = clip_dir(see_dir) / "00001.jpg"
    Image.new(mode, (8, 8)).save(path, format)
    (problem,) = problems_of(see_dir)
    assert problem.startswith(f"{path}: expected a complete grey JPEG, got ")
    assert problem.endswith(expected)


def test_the_image_of_another_size_is_named(see_dir):
    path = clip_dir(see_dir) / "00000.jpg"
    Image.new("L", (9, 9)).save(path)
    rule = "expected 8 x 8, the size of most of the clip's images"
    assert problems_of(see_dir) == [f"{path}: {rule}, got 9 x 9"]


def test_not_square(see_dir):
    for kind in ("event", "frame"):
        for path in clip_dir(see_dir, kind).iterdir():
            Image.new("L", (8, 6)).save(path)
    rule = "expected square images, got 8 x 6"
    assert problems_of(see_dir) == [f"{clip_dir(see_dir)}: {rule}"]


def test_unknown_emotion_folder(see_dir):
    (see_dir / "event" / "bored").mkdir()
    (see_dir / "event" / "notes.txt").touch()
    known = "an emotion folder, one of " + ", ".join(see.EMOTIONS)
    assert problems_of(see_dir) == [
        f"{see_dir}/event/{name}: expected {known}, got {name}"
        for name in ("bored", "notes.txt")
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            CLIP.replace("angry", "bored"),
            "whose emotion is one of angry, disgust, fear, happiness, neutral, "
            "sadness, surprise, got 'bored'",
        ),
        (
            CLIP.replace("Overexposed", "Dark"),
            "whose lighting is one of normal, Overexposed, Low, HDR, got 'Dark'",
        ),
        (CLIP.replace("woman", "girl"), "whose sex is one of man, woman, got 'girl'"),
        (CLIP.replace("_19_", "_9999999999_"), "whose age is a number of at most 9 "),
        (CLIP + "_more", "of 9 fields "),
        ("\\..\\angry", "of 9 fields "),
    ],
)
def test_folder_with_the_name_of_no_clip(see_dir, name, expected):
    path = clip_dir(see_dir, name=name)
    path.mkdir()
    (problem,) = problems_of(see_dir)
    assert problem.startswith(f"{path}: expected a clip name {expected}")


def test_hidden_files_are_ignored(see_dir):
    clip_dir(see_dir, name=".DS_Store").mkdir()
    assert problems_of(see_dir) == []


def test_clip_in_the_folder_of_another_emotion(see_dir):
    moved = see_dir / "event" / "fear" / CLIP
    clip_dir(see_dir).rename(moved)
    rule = "expected a clip of the emotion fear, got angry"
    assert problems_of(see_dir) == [f"{moved}: {rule}"]


def test_clip_twice(see_dir):
    again = see_dir / "event" / "Angry" / CLIP
    shutil.copytree(clip_dir(see_dir), again)
    rule = f"expected the clip once, at {again}, got it again"
    assert problems_of(see_dir) == [f"{clip_dir(see_dir)}: {rule}"]


def test_entry_without_folder(see_dir):
    shutil.rmtree(clip_dir(see_dir))
    rule = "expected a folder of the clip, got none"
    assert problems_of(see_dir) == [f"{clip_dir(see_dir)}: {rule}"]


def test_folder_without_entry(see_dir):
    edit_split(see_dir, lambda content: content["database"].pop(CLIP))
    rule = f"expected an entry in {see_dir}/emotion.json, got none"
    assert problems_of(see_dir) == [
        f"{clip_dir(see_dir, kind)}: {rule}" for kind in ("event", "frame")
    ]


@pytest.mark.parametrize("name", ["../" + CLIP, "/etc/" + CLIP, "../../etc/passwd"])
def test_entry_that_leaves_the_folder(see_dir, name):
    def change(content):
        content["database"][name] = content["database"][CLIP]

    edit_split(see_dir, change)
    (problem,) = problems_of(see_dir)
    entry = f"{see_dir}/emotion.json: database[{name!r}]"
    assert problem.startswith(f"{entry}: expected a clip name ")


def test_broken_json_is_the_only_problem_that_it_makes(see_dir):
    path = see_dir / "emotion.json"
    path.write_text(path.read_text()[:-1])
    (problem,) = problems_of(see_dir)
    assert problem.startswith(f"{path}: expected JSON, got Expecting")


def test_duplicate_keys(see_dir):
    path = see_dir / "emotion.json"
    text = path.read_text().replace(str(samples.clip_names(1, (3,))[1]), CLIP)
    path.write_text(text)
    rule = f"expected JSON, got named more than once: {CLIP}"
    assert problems_of(see_dir) == [f"{path}: {rule}"]


def test_missing_parts_are_told_once(see_dir):
    shutil.rmtree(see_dir / "event")
    (see_dir / "emotion.json").unlink()
    assert problems_of(see_dir) == [
        f"{see_dir}/emotion.json: expected a file, got none",
        f"{see_dir}/event: expected a folder of emotion folders, got none",
    ]


def test_several_problems_are_all_listed(see_dir):
    second, third, fourth = (str(name) for name in samples.clip_names(1, (3,))[1:4])
    (clip_dir(see_dir) / "00000.jpg").write_bytes(b"")
    shutil.rmtree(see_dir / "frame" / "disgust" / second)
    (see_dir / "event" / "disgust" / second / "00002.jpg").write_bytes(b"")
    (see_dir / "frame" / "fear" / third / "00001.jpg").write_bytes(b"\xff\xd8")

    def change(content):
        content["database"][fourth]["annotations"]["label"] = "bored"
        content["labels"].pop()

    edit_split(see_dir, change)
    with pytest.raises(see.SeeError, match="6 problems in the SEE data") as caught:
        see_folder.check(see_folder.SeeFolder(see_dir), 1).raise_problems()
    assert [problem.path for problem in caught.value.problems] == [
        f"{see_dir}/emotion.json: database['{fourth}']",
        f"{see_dir}/emotion.json: labels",
        f"{see_dir}/event/angry/{CLIP}/00000.jpg",
        f"{see_dir}/event/disgust/{second}/00002.jpg",
        f"{see_dir}/frame/disgust/{second}",
        f"{see_dir}/frame/fear/{third}/00001.jpg",
    ]


def test_emotion_folders_match_in_any_case(see_dir):
    (see_dir / "event" / "neutral").rename(see_dir / "event" / "neutraL")
    (see_dir / "frame" / "angry").rename(see_dir / "frame" / "ANGRY")
    assert problems_of(see_dir) == []


def test_parts_of_other_names(see_dir):
    (see_dir / "event").rename(see_dir / "event_30")
    (see_dir / "frame").rename(see_dir / "grey")
    (see_dir / "emotion.json").rename(see_dir / "emotion_new_adjust2.json")
    names = {
        "event_dir": "event_30",
        "frame_dir": "grey",
        "split_file": "emotion_new_adjust2.json",
    }
    assert problems_of(see_dir, **names) == []
    options = [f"--{option}={name}" for option, name in names.items()]
    assert see_folder.main([str(see_dir), *options]) == 0
    assert see_folder.main([str(see_dir)]) == 1


def test_a_clip_left_out_is_neither_counted_nor_looked_at(see_dir):
    def change(content):
        content["database"][CLIP]["annotations"]["segment"] = [0, 0]

    edit_split(see_dir, change)
    shutil.rmtree(clip_dir(see_dir))
    contents = see_folder.check(see_folder.SeeFolder(see_dir))
    contents.raise_problems()
    assert CLIP not in contents.clips
    first = "clips       20 and 1 left out by the split file"
    assert see_folder.summary(contents).startswith(first)


def test_several_processes_find_the_same(see_dir):
    for name in ("00000.jpg", "00002.jpg"):
        (clip_dir(see_dir) / name).write_bytes(b"")
    folder = see_folder.SeeFolder(see_dir)
    assert see_folder.check(folder, 2) == see_folder.check(folder, 1)


def run(*arguments, module="seen_jax.see_folder"):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_command(see_dir):
    right = run(see_dir, "--workers=1")
    assert right.returncode == 0
    assert right.stdout.startswith("clips       21\nvolunteers  3\n")
    path = clip_dir(see_dir) / "00000.jpg"
    path.unlink()
    wrong = run(see_dir, "--workers=1")
    assert wrong.returncode == 1
    assert wrong.stdout.startswith(
        f"{clip_dir(see_dir)}: expected images 00000.jpg to "
    )
    assert wrong.stdout.endswith("\n4 problems\n")
    refused = run(see_dir, "--workers=0")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "workers: expected at least 1, got 0\n"


@pytest.mark.parametrize("name", ["see", "events"])
def test_modules_that_were_commands_name_the_new_ones(name, see_dir):
    done = run(see_dir, module=f"seen_jax.{name}")
    assert done.returncode == 1
    assert "python -m seen_jax." in done.stderr


def test_command_writes_a_split_by_volunteer(see_dir, capsys):
    path = see_dir / "by_volunteer.json"
    assert see_folder.main([str(see_dir), f"--write_volunteer_split={path}"]) == 0
    assert capsys.readouterr().out.endswith(f"wrote {path}\n")
    split, problems = see.load_split(path)
    published, _ = see.load_split(see_dir / "emotion.json")
    assert not problems
    assert split == see.split_by_volunteer(published, seed=0)
    assert problems_of(see_dir, split_file="by_volunteer.json") == []


def test_a_folder_without_a_clip_to_use_is_a_problem(tmp_path):
    for kind in ("event", "frame"):
        (tmp_path / kind).mkdir()
    empty = {"labels": list(see.EMOTIONS), "database": {}}
    (tmp_path / "emotion.json").write_text(json.dumps(empty))
    (problem,) = problems_of(tmp_path)
    assert problem.endswith("expected at least one clip that is not left out, got none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers=0"], "workers: expected at least 1, got 0"),
        (
            ["--write_volunteer_split=x", "--seed=-1"],
            "seed: expected 0 or more, got -1",
        ),
        (["--write_volunteer_split=/nonexistent/x"], "No such file or directory"),
    ],
)
def test_command_says_what_is_wrong_with_its_options(see_dir, options, message):
    with pytest.raises(UserError, match=message):
        see_folder.main([str(see_dir), *options])


POSTSCRIPT = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
)


def test_a_file_named_jpg_starts_no_program(see_dir, tmp_path, monkeypatch):
    # Pillow runs `gs`, Ghostscript, on PostScript, whatever the file is called.
    mark, fake = tmp_path / "started", tmp_path / "bin" / "gs"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\ntouch {mark}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # looked up once
    path = clip_dir(see_dir) / "00001.jpg"
    path.write_bytes(POSTSCRIPT)
    with pytest.raises(OSError), Image.open(path) as image:
        image.load()
    assert mark.exists()  # the stand-in works
    mark.unlink()
    (problem,) = problems_of(see_dir)
    assert problem.endswith(f"got {len(POSTSCRIPT)} bytes (no JPEG)")
    assert not mark.exists()


def test_what_is_no_regular_file_is_not_opened(see_dir):
    pipe, folder = (clip_dir(see_dir) / f"0000{i}.jpg" for i in (0, 1))
    pipe.unlink()
    os.mkfifo(pipe)  # reading it would wait forever
    folder.unlink()
    folder.mkdir()
    rule = "expected a readable file, got no regular file"
    assert problems_of(see_dir) == [f"{pipe}: {rule}", f"{folder}: {rule}"]


def test_pipes_instead_of_the_json_files(see_dir):
    names = ("emotion.json", "simulation.json")
    (see_dir / "emotion.json").unlink()
    for name in names:
        os.mkfifo(see_dir / name)
    rule = "expected a file, got a folder or a device"
    assert problems_of(see_dir) == [f"{see_dir}/{name}: {rule}" for name in names]


def test_each_image_is_read_once(see_dir, monkeypatch):
    reads = Counter()

    def read_bytes(path, plain=Path.read_bytes):
        reads[path] += 1
        return plain(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert problems_of(see_dir) == []
    assert reads == Counter(see_dir.rglob("*.jpg"))


def test_the_hash_of_a_clip_is_that_of_its_files(see_dir):
    clip = see_folder.check(see_folder.SeeFolder(see_dir)).clips[CLIP]
    parts = (
        path.read_bytes()
        for kind in ("event", "frame")
        for path in sorted(clip_dir(see_dir, kind).iterdir())
    )
    assert clip.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()
