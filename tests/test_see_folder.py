"""The check of a SEE folder: every kind of problem, in the words that a user reads."""

import errno
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

from seen_jax import clip_files, see, see_folder
from seen_jax.errors import UserError
from seen_jax.problems import SeeError
from seen_jax.see_folder import load_provenance
from seen_jax.split import load_split
from seen_jax.volunteers import split_by_volunteer
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


CASES = []


def problems(*lines):
    """Registers a function that breaks a folder, with its problems.

    It gets the folder and, of the first clip, both folders of images. A line is the
    start of a problem, or its start and another part with * between them.
    """

    def register(fn):
        CASES.append(pytest.param(fn, lines, id=fn.__name__))
        return fn

    return register


def edit_split(root, change):
    path = root / "emotion.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


NOT_GREY = "{event}/00001.jpg: expected a complete grey JPEG or PNG, got"
NO_EMOTION = f"expected an emotion folder, one of {', '.join(see.EMOTIONS)}, got"
OF_3 = "expected 3 images, 00000.jpg to 00002.jpg, as in the name"


@problems(f"{NOT_GREY} 12 bytes (not a JPEG or PNG)")
def no_image(root, event, frame):
    (event / "00001.jpg").write_bytes(b"not an image")


@problems(f"{NOT_GREY} 0 bytes (not a JPEG or PNG)")
def empty_file(root, event, frame):
    (event / "00001.jpg").write_bytes(b"")


@problems(f"{NOT_GREY} 200 bytes (*truncated")
def truncated_file(root, event, frame):
    (event / "00001.jpg").write_bytes((event / "00001.jpg").read_bytes()[:200])


@problems(f"{NOT_GREY} *(JPEG of mode RGB)")
def colours(root, event, frame):
    Image.new("RGB", (8, 8), (200, 0, 0)).save(event / "00001.jpg")


@problems(f"{NOT_GREY} *(5000 x 4000 pixels, of at most 16777216)")
def a_large_image(root, event, frame):
    Image.new("L", (5000, 4000)).save(event / "00001.jpg")


@problems(f"{NOT_GREY} *(PNG of mode RGBA)")
def transparent(root, event, frame):
    Image.new("RGBA", (8, 8)).save(event / "00001.jpg", "PNG")


@problems()
def grey_as_colours_and_png(root, event, frame):
    for mode, kind, path in (
        ("RGB", "JPEG", event / "00000.jpg"),
        ("RGB", "PNG", event / "00001.jpg"),
        ("L", "PNG", frame / "00000.jpg"),
    ):
        Image.new("L", (8, 8), 77).convert(mode).save(path, kind)


@problems()
def numbered_from_1_with_other_endings(root, event, frame):
    for folder in (event, frame):
        for i, ending in ((2, "JPG"), (1, "jpeg"), (0, "PNG")):
            (folder / f"0000{i}.jpg").rename(folder / f"0000{i + 1}.{ending}")


@problems(f"{{event}}: {OF_3}, got 3: 1 missing (00000.jpg) and 1 too many (00003.jpg)")
def numbered_from_1_in_one_modality(root, event, frame):
    for i in (2, 1, 0):
        (event / f"0000{i}.jpg").rename(event / f"0000{i + 1}.jpg")


@problems("{event}: expected one image of the number 00001, got 00001.jpg and 00001.p")
def a_number_twice(root, event, frame):
    shutil.copy(event / "00001.jpg", event / "00001.png")


@problems(
    "{event}/00000.jpg: expected a readable file, got not a regular file",
    "{event}/00001.jpg: expected a readable file, got not a regular file",
)
def a_pipe_and_a_folder(root, event, frame):
    (event / "00000.jpg").unlink()
    os.mkfifo(event / "00000.jpg")  # reading it would wait forever
    (event / "00001.jpg").unlink()
    (event / "00001.jpg").mkdir()


OF_EACH = OF_3.replace("images", "images of each modality")


@problems(f"{CLIP}: {OF_EACH}, got 3: 1 missing (00001.jpg) and 1 too many (00009.jpg)")
def a_gap(root, event, frame):
    for folder in (event, frame):
        shutil.copy(folder / "00000.jpg", folder / "00009.jpg")
        (folder / "00001.jpg").unlink()


@problems(f"{{event}}: {OF_3}, got 2: 1 missing (00002.jpg)")
def counts_of_the_modalities_differ(root, event, frame):
    (event / "00002.jpg").unlink()


@problems(
    f"{{event}}: {OF_3}, got 2: 1 missing (00001.jpg)",
    f"{{frame}}: {OF_3}, got none",
)
def other_images_are_missing_in_either(root, event, frame):
    (event / "00001.jpg").unlink()
    for path in frame.iterdir():
        path.unlink()


@problems(f"{CLIP}: {OF_EACH}, got 4: 1 too many (00003.jpg)")
def count_differs_from_the_name(root, event, frame):
    for folder in (event, frame):
        shutil.copy(folder / "00002.jpg", folder / "00003.jpg")


def rename_clip(root, name, **metadata):
    """Gives the first clip a name that says no length, and a segment of 9 frames."""
    for kind in ("event", "frame"):
        clip_dir(root, kind).rename(root / kind / "angry" / name)

    def change(content):
        entry = content["database"].pop(CLIP)
        entry["annotations"]["segment"] = [0, 9]
        content["database"][name] = entry | {"metadata": {"volunteer": 1} | metadata}

    edit_split(root, change)


@problems(
    "my clip: expected 9 images of each modality, 00000.jpg to 00008.jpg, the "
    "segment's end, got 3: 6 missing (00003.jpg, 00004.jpg, 00005.jpg, 00006.jpg, "
    "00007.jpg, ...)"
)
def the_segment_of_a_free_name_is_longer(root, event, frame):
    rename_clip(root, "my clip")


@problems(
    "{root}/frame/angry/my clip: expected 10 images, 00000.jpg to 00009.jpg, got 9: 1 "
    "missing (00004.jpg)"
)
def a_gap_in_a_free_name(root, event, frame):
    for folder in (event, frame):
        for i in range(3, 10):
            shutil.copy(folder / "00000.jpg", folder / f"{i:05d}.jpg")
    (frame / "00004.jpg").unlink()
    rename_clip(root, "my clip")


@problems(f"{{root}}/emotion.json: database['{CLIP}']: expected a segment within the 3")
def the_segment_ends_after_the_name(root, event, frame):
    edit_split(
        root,
        lambda x: x["database"][CLIP]["annotations"].update(segment=[0, 2**31 - 1]),
    )


def change_length(root, name):
    for kind in ("event", "frame"):
        clip_dir(root, kind).rename(root / kind / "angry" / name)
    edit_split(root, lambda x: x["database"].update({name: x["database"].pop(CLIP)}))


@problems("{root}/emotion.json: database[*]: expected a segment within the 0 frames")
def a_name_of_no_frames(root, event, frame):
    change_length(root, CLIP.replace("_3_", "_0_"))


@problems("*expected 999999999 images of each modality, 00000.jpg to 999999998.jpg, as")
def a_name_of_too_many_frames(root, event, frame):
    change_length(root, CLIP.replace("_3_", "_999999999_"))


@problems(
    "{root}/event/angry: expected a folder of the clips of angry, got none",
    "{root}/frame: expected a folder of emotion folders, got none",
)
def no_folder_of_an_emotion_and_none_of_a_modality(root, event, frame):
    shutil.rmtree(event.parent)
    shutil.rmtree(root / "frame")


@problems(
    "{root}/event: expected a folder of emotion folders, got a file",
    "{root}/frame: expected a folder of emotion folders, got none",
)
def a_file_and_an_empty_folder_as_modalities(root, event, frame):
    shutil.rmtree(root / "event")
    (root / "event").touch()
    shutil.rmtree(root / "frame")
    (root / "frame").mkdir()


@problems(
    '{root}/emotion.json: labels: expected the labels of all clips, got no "angry", '
    "which 3 clips have",
    f"{{root}}/event/angry: {NO_EMOTION.replace('angry, ', '')} angry",
    f"{{root}}/frame/angry: {NO_EMOTION.replace('angry, ', '')} angry",
)
def a_label_that_is_not_listed(root, event, frame):
    edit_split(root, lambda content: content["labels"].remove("angry"))


@problems("{root}/emotion.json: database: expected an object with an entry per clip, ")
def a_list_of_entries(root, event, frame):
    edit_split(root, lambda content: content.update(database=[]))


NO_IMAGES = ("000003.jpg", "00003.gif", "3.jpg", "notes")


@problems(
    *(
        f"{{event}}/{name}: expected only images 00000.jpg, 00001.jpg, ..., got {name}"
        for name in NO_IMAGES
    )
)
def files_that_are_no_images_of_the_clip(root, event, frame):
    for name in (*NO_IMAGES, ".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX"):
        shutil.copy(event / "00000.jpg", event / name)


@problems(
    "{event}/00000.jpg: expected 8 x 8, the size of most of the clip's images, got 9"
)
def an_image_of_another_size(root, event, frame):
    Image.new("L", (9, 9)).save(event / "00000.jpg")


@problems(
    "{event}: expected 8 x 8, the size of most of the clip's images, got 2 of 9 x 9"
)
def images_of_other_sizes(root, event, frame):
    for i in range(2):
        Image.new("L", (9, 9)).save(event / f"0000{i}.jpg")


@problems("{event}: expected square images, got 8 x 6; crop all of the clip's images")
def not_square(root, event, frame):
    for path in (*event.iterdir(), *frame.iterdir()):
        Image.new("L", (8, 6)).save(path)


@problems(
    f"{{root}}/event/bored: {NO_EMOTION} bored",
    f"{{root}}/event/notes.txt: {NO_EMOTION} notes.txt",
)
def unknown_emotion_folder(root, event, frame):
    (root / "event" / "bored").mkdir()
    (root / "event" / "notes.txt").touch()


@problems(f"{{root}}/event/fear/{CLIP}: expected a clip of the emotion fear, got angry")
def clip_in_the_folder_of_another_emotion(root, event, frame):
    event.rename(root / "event" / "fear" / CLIP)


@problems(
    f"{{event}}: expected the clip once, at {{root}}/event/Angry/{CLIP}, got it again"
)
def clip_twice(root, event, frame):
    shutil.copytree(event, root / "event" / "Angry" / CLIP)


@problems("{event}: expected a folder of the clip, got none")
def entry_without_folder(root, event, frame):
    shutil.rmtree(event)


@problems(
    f"{CLIP}: expected a folder of the clip in {{root}}/event/angry and in "
    "{root}/frame/angry, got none"
)
def entry_without_folders(root, event, frame):
    shutil.rmtree(event)
    shutil.rmtree(frame)


@problems("{event}: expected a folder, got a broken link")
def a_broken_link(root, event, frame):
    shutil.rmtree(event)
    event.symlink_to("nowhere")


@problems("{event}: expected an entry in {root}/emotion.json, got none")
def folder_without_entry(root, event, frame):
    edit_split(root, lambda content: content["database"].pop(CLIP))


@problems("{root}/emotion.json: expected JSON, got Expecting")
def broken_json(root, event, frame):
    path = root / "emotion.json"
    path.write_text(path.read_text()[:-1])


@problems(
    "{root}/emotion.json: expected a file, got none",
    "{root}/event: expected a folder of emotion folders, got none",
)
def missing_parts(root, event, frame):
    shutil.rmtree(root / "event")
    (root / "emotion.json").unlink()


@problems(
    "{root}/emotion.json: expected a file, got a folder or a device",
    "{root}/simulation.json: expected a file, got a folder or a device",
)
def pipes_instead_of_the_json_files(root, event, frame):
    (root / "emotion.json").unlink()
    os.mkfifo(root / "emotion.json")
    os.mkfifo(root / "simulation.json")


@problems(
    "{root}/emotion.json: expected at least one clip that is not left out, got no"
)
def no_clip(root, event, frame):
    for kind in ("event", "frame"):
        shutil.rmtree(root / kind)
        (root / kind).mkdir()
    edit_split(root, lambda content: content.update(database={}))


@problems(
    "{root}/emotion.json: expected clips of the subset testing, got none; --config=by_v"
)
def nobody_for_testing(root, event, frame):
    edit_split(
        root, lambda x: [y.update(subset="training") for y in x["database"].values()]
    )


@problems()
def emotion_folders_in_another_case(root, event, frame):
    (root / "event" / "neutral").rename(root / "event" / "neutraL")
    (root / "frame" / "angry").rename(root / "frame" / "ANGRY")


@problems()
def hidden_files(root, event, frame):
    (event.parent / ".DS_Store").mkdir()


@pytest.mark.parametrize(("break_folder", "lines"), CASES)
def test_problems(see_dir, break_folder, lines):
    places = {"root": see_dir, "event": clip_dir(see_dir)}
    places["frame"] = clip_dir(see_dir, "frame")
    break_folder(*places.values())
    listed = problems_of(see_dir)
    assert len(listed) == len(lines)
    for problem, line in zip(listed, lines, strict=True):
        start, _, part = line.format(**places).partition("*")
        assert problem.startswith(start)
        assert part in problem


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            CLIP.replace("angry", "bored"),
            "whose emotion is one of angry, disgust, fear, happiness, neutral, "
            "sadness, surprise, got 'bored'",
        ),
        (CLIP.replace("_19_", "_9999999999_"), "whose age is a number of at most 9 "),
        ("\\..\\angry", "of 9 fields ("),
    ],
)
def test_folder_with_the_name_of_no_clip(see_dir, name, expected):
    path = clip_dir(see_dir, name=name)
    path.mkdir()
    (problem,) = problems_of(see_dir)
    assert problem.startswith(f"{path}: expected a clip name {expected}")


def test_a_clip_that_no_record_can_hold(see_dir, monkeypatch):
    files = [*clip_dir(see_dir).iterdir(), *clip_dir(see_dir, "frame").iterdir()]
    size = sum(path.stat().st_size for path in files)
    monkeypatch.setattr(clip_files, "MAX_CLIP_BYTES", size - 1)
    (problem,) = (x for x in problems_of(see_dir) if CLIP in x)
    rule = f"a clip of at most {size - 1} bytes of images"
    assert problem == f"{clip_dir(see_dir)}: expected {rule}, got {size}"


def test_a_segment_of_years_as_published(see_dir):
    edit_split(
        see_dir,
        lambda x: x["database"][CLIP]["annotations"].update(segment=[1, 2**31 - 1]),
    )
    folder = see_folder.SeeFolder(see_dir, on_problem="as_published")
    contents = see_folder.check(folder, num_workers=1)
    assert contents.problems == ()
    assert contents.dropped == {CLIP: (2**31 - 4, 2**31 - 4)}
    names = [path.name for path in contents.clips[CLIP].event_files]
    assert names == ["00001.jpg", "00002.jpg"]


def test_the_summary_says_that_nobody_can_be_divided(tmp_path):
    root = samples.write_see_folder(tmp_path / "SEE", samples.clip_names(1, (2,)), 8)
    contents = see_folder.check(see_folder.SeeFolder(root))
    assert contents.problems == ()
    assert see_folder.summary(contents).splitlines()[-1] == (
        "no config by_volunteer: split by volunteer: expected clips of at least 2 "
        "volunteers, got 1; use the folder's split"
    )


def test_several_problems_are_all_listed(see_dir):
    second, third, fourth = (str(name) for name in samples.clip_names(1, (3,))[1:4])
    (clip_dir(see_dir) / "00000.jpg").write_bytes(b"")
    shutil.rmtree(see_dir / "frame" / "disgust" / second)
    (see_dir / "event" / "disgust" / second / "00002.jpg").write_bytes(b"")
    (see_dir / "frame" / "fear" / third / "00001.jpg").write_bytes(b"\xff\xd8")

    def change(content):
        content["database"][fourth]["annotations"]["label"] = "bored"
        content["labels"][0] = "a/b"

    edit_split(see_dir, change)
    with pytest.raises(SeeError, match="6 problems in the SEE data") as caught:
        see_folder.check(see_folder.SeeFolder(see_dir), 1).raise_problems()
    assert [problem.path for problem in caught.value.problems] == [
        f"{see_dir}/emotion.json: database['{fourth}']",
        f"{see_dir}/emotion.json: labels",
        f"{see_dir}/event/angry/{CLIP}/00000.jpg",
        f"{see_dir}/event/disgust/{second}/00002.jpg",
        f"{see_dir}/frame/disgust/{second}",
        f"{see_dir}/frame/fear/{third}/00001.jpg",
    ]


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


@pytest.fixture
def lock(monkeypatch):
    """Returns a function that makes folders unreadable, for root too."""

    def lock(*locked, iterdir=Path.iterdir):
        def refused(path):
            if path in locked:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return iterdir(path)

        monkeypatch.setattr(Path, "iterdir", refused)

    return lock


LOCKED = "expected a readable folder, got Permission denied"


def test_an_unreadable_clip_is_a_problem_of_that_clip(see_dir, lock):
    second = see_dir / "frame" / "disgust" / str(samples.clip_names(1, (3,))[1])
    (second / "00000.jpg").write_bytes(b"")
    lock(clip_dir(see_dir))
    first, other = problems_of(see_dir)
    assert first == f"{clip_dir(see_dir)}: {LOCKED}"
    assert other.startswith(f"{second}/00000.jpg: ")
    folder = see_folder.SeeFolder(see_dir, on_problem="leave_out")
    contents = see_folder.check(folder, num_workers=1)
    assert contents.problems == ()
    assert [*contents.left_out] == [CLIP, second.name]


def test_unreadable_folders_of_a_label_and_of_a_modality(see_dir, lock):
    lock(see_dir / "event" / "angry", see_dir / "frame")
    first, *others, last = problems_of(see_dir)
    assert first == f"{see_dir}/event/angry: {LOCKED}"
    assert len(others) == 3 and all("/event/angry/" in x for x in others)
    assert last == f"{see_dir}/frame: {LOCKED}"
    lock(see_dir / "event" / "angry")
    folder = see_folder.SeeFolder(see_dir, on_problem="leave_out")
    contents = see_folder.check(folder, num_workers=1)
    assert contents.problems == () and len(contents.left_out) == 3


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
    assert wrong.stdout.splitlines() == [
        f"{clip_dir(see_dir)}: {OF_3}, got 2: 1 missing (00000.jpg)",
        "--on_problem=leave_out leaves the clips out that have one",
        "1 problem",
    ]


@pytest.mark.parametrize("name", ["see", "events"])
def test_modules_that_were_commands_name_the_new_ones(name, see_dir):
    done = run(see_dir, module=f"seen_jax.{name}")
    assert done.returncode == 1
    assert "python -m seen_jax." in done.stderr


def test_command_writes_a_split_by_volunteer(see_dir, capsys):
    path = see_dir / "by_volunteer.json"
    assert see_folder.main([str(see_dir), f"--write_volunteer_split={path}"]) == 0
    assert capsys.readouterr().out.endswith(f"wrote {path}\n")
    split, problems = load_split(path)
    published, _ = load_split(see_dir / "emotion.json")
    assert not problems
    assert split == split_by_volunteer(published, seed=0)
    assert problems_of(see_dir, split_file="by_volunteer.json") == []


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
    assert problem.endswith(f"got {len(POSTSCRIPT)} bytes (not a JPEG or PNG)")
    assert not mark.exists()


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


class TestProvenance:
    def test_real_and_simulated(self, tmp_path):
        path = tmp_path / see.PROVENANCE_FILE
        assert load_provenance(path) == ({"source": "real"}, [])
        path.write_text('{"source": "simulated", "seed": 7}')
        assert load_provenance(path) == ({"source": "simulated", "seed": 7}, [])
        path.unlink()
        path.symlink_to(tmp_path / "none")  # is not taken for no file
        _, (problem,) = load_provenance(path)
        assert str(problem).startswith(f"{path}: expected a file, got ")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "expected JSON, got Expecting"),
            ("[]", "plain values"),
            ("{}", "plain values"),
            ('{"source": null}', "plain values"),
            ('{"source": ["real"]}', "plain values"),
            ('{"source": "real", "x": {"y": 1}}', "plain values"),
        ],
    )
    def test_a_broken_file_is_a_problem(self, tmp_path, text, message):
        path = tmp_path / see.PROVENANCE_FILE
        path.write_text(text)
        _, (problem,) = load_provenance(path)
        assert str(problem).startswith(f"{path}: expected ")
        assert message in str(problem)
