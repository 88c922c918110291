"""The check of a SEE folder: every kind of problem, in the words that a user reads."""

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seen_jax import clip_files, see, see_folder
from seen_jax.errors import UserError
from seen_jax.problems import SeeError
from seen_jax.see_folder import load_provenance
from seen_jax.split import load_split
from seen_jax.volunteers import split_by_volunteer
from tests import samples
from tests.helpers import ROOT


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


OF_3 = "expected 3 images, 00000.jpg to 00002.jpg, as in the name"
FOLDER = "expected an emotion folder, one of"
WORDS = {  # of the lines below
    "CLIP": CLIP,
    "OF_3": OF_3,
    "OF_EACH": OF_3.replace("images", "images of each modality"),
    "NO_FOLDERS": "expected a folder of emotion folders, got",
    "NO_EMOTION": f"{FOLDER} {', '.join(see.EMOTIONS)}, got",
    "NOT_ANGRY": f"{FOLDER} {', '.join(see.EMOTIONS[1:])}, got",
    "ONLY": "expected only images 00000.jpg, 00001.jpg, ..., got",
    "USUAL": "expected 8 x 8, the size of most of the clip's images, got",
}
FUNCTIONS = """
edit() { "$PYTHON" -c "import json
with open('emotion.json') as file: x = json.load(file)
clips = x['database']; $1
with open('emotion.json', 'w') as file: json.dump(x, file)"; }
image() { "$PYTHON" -c "import sys; from PIL import Image
for path in sys.argv[2:]: Image.new('L', (int(sys.argv[1]), 6)).save(path)" "$@"; }
rename() { mv $event "event/angry/$1"; mv $frame "frame/angry/$1"
edit "clips['$1'] = clips.pop('$CLIP')"; }
free_name() { rename 'my clip'; edit "y = clips['my clip']
y['metadata'] = {'volunteer': 1}; y['annotations']['segment'] = [0, 9]"; }
"""
# What breaks the folder, and the problems: the start of each, or that and other parts
# of it with * between them.
CASES = r"""
echo no image > $event/00001.jpg
  {event}/00001.jpg: expected a complete grey JPEG or PNG, got 9 bytes (not a JPEG
for i in 3 2 1; do mv $event/0000{$((i - 1)),$i}.jpg; done
  {event}: {OF_3}, got 3: 1 missing (00000.jpg) and 1 too many (00003.jpg)
cp $event/00001.{jpg,png}
  {event}: expected one image of the number 00001, got 00001.jpg and 00001.png
cd $event; rm 0000[01].jpg; mkfifo 00000.jpg; mkdir 00001.jpg  # a reader would wait
  {event}/00000.jpg: expected a readable file, got not a regular file
  {event}/00001.jpg: expected a readable file, got not a regular file
for x in $event $frame; do mv $x/0000{1,9}.jpg; done
  {CLIP}: {OF_EACH}, got 3: 1 missing (00001.jpg) and 1 too many (00009.jpg)
rm $event/00001.jpg $frame/*
  {event}: {OF_3}, got 2: 1 missing (00001.jpg)
  {frame}: {OF_3}, got none
for x in $event $frame; do cp $x/0000{2,3}.jpg; done
  {CLIP}: {OF_EACH}, got 4: 1 too many (00003.jpg)
cd $event; cp 00000.jpg 3.jpg; cp 00000.jpg 00003.gif; touch .DS_Store Thumbs.db
  {event}/00003.gif: {ONLY} 00003.gif
  {event}/3.jpg: {ONLY} 3.jpg
image 9 $event/00000.jpg
  {event}/00000.jpg: {USUAL} 9 x 6
image 9 $event/0000[01].jpg
  {event}: {USUAL} 2 of 9 x 6
image 8 $event/* $frame/*
  {event}: expected square images, got 8 x 6; crop all of the clip's images
rename ${CLIP/_3_/_999999999_}
  *expected 999999999 images of each modality, 00000.jpg to 999999998.jpg, as
free_name
  my clip: expected 9 images of each modality, *the segment's end, got 3*07.jpg, ...)
for x in $event $frame; do for i in {3..9}; do cp $x/0000{0,$i}.jpg; done; done
rm $frame/00004.jpg; free_name
  {root}/frame/angry/my clip: expected 10 images, *to 00009.jpg, got 9: 1 missing (00004
rm -r event/angry frame
  {root}/event/angry: expected a folder of the clips of angry, got none
  {root}/frame: {NO_FOLDERS} none
rm -r event frame; touch event; mkdir frame
  {root}/event: {NO_FOLDERS} a file
  {root}/frame: {NO_FOLDERS} none
mkdir event/bored; touch event/notes.txt
  {root}/event/bored: {NO_EMOTION} bored
  {root}/event/notes.txt: {NO_EMOTION} notes.txt
mv $event event/fear
  {root}/event/fear/{CLIP}: expected a clip of the emotion fear, got angry
mkdir event/Angry; cp -r $event event/Angry
  {event}: expected the clip once, at {root}/event/Angry/{CLIP}, got it again
mkdir 'event/angry/\..'
  {root}/event/angry/\..: expected a clip name of 9 fields (
rm -r $event
  {event}: expected a folder of the clip, got none
rm -r $event $frame
  {CLIP}: expected a folder of the clip in {root}/event/angry and in {root}/frame/angry
rm -r $event; ln -s nowhere $event
  {event}: expected a folder, got a broken link
rm -r event emotion.json
  {root}/emotion.json: expected a file, got none
  {root}/event: {NO_FOLDERS} none
edit "x['labels'].remove('angry')"
  {root}/emotion.json: labels: expected the labels of all clips, *no "angry", which 3
  {root}/event/angry: {NOT_ANGRY} angry
  {root}/frame/angry: {NOT_ANGRY} angry
edit "x['database'] = []"
  {root}/emotion.json: database: expected an object with an entry per clip
edit "clips['$CLIP']['annotations']['segment'] = [0, 2**31 - 1]"
  {root}/emotion.json: database['{CLIP}']: expected a segment within the 3
edit "[y.update(subset='training') for y in clips.values()]"
  {root}/emotion.json: expected clips of the subset testing, got none; --config=by_v
edit "del clips['$CLIP']"
  {event}: expected an entry in {root}/emotion.json, got none
rm -r event/* frame/*; edit "clips.clear()"
  {root}/emotion.json: expected at least one clip that is not left out, got no
"""
CASES = re.findall(r"((?:\S.*\n)+)((?:  .+\n)+)", CASES)


@pytest.mark.parametrize("command, lines", CASES, ids=[x[:40] for x, _ in CASES])
def test_problems(see_dir, command, lines):
    places = {kind: str(clip_dir(see_dir, kind)) for kind in ("event", "frame")}
    env = os.environ | places | {"CLIP": CLIP, "PYTHON": sys.executable}
    command = ["bash", "-ec", FUNCTIONS + command]
    subprocess.run(command, cwd=see_dir, env=env, check=True)
    for problem, line in zip(problems_of(see_dir), lines.splitlines(), strict=True):
        start, *parts = line.strip().format(root=see_dir, **places, **WORDS).split("*")
        assert problem.startswith(start) and all(part in problem for part in parts)


def test_a_clip_that_no_record_can_hold(see_dir, monkeypatch):
    files = [*clip_dir(see_dir).iterdir(), *clip_dir(see_dir, "frame").iterdir()]
    size = sum(path.stat().st_size for path in files)
    monkeypatch.setattr(clip_files, "MAX_CLIP_BYTES", size - 1)
    (problem,) = (x for x in problems_of(see_dir) if CLIP in x)
    rule = f"a clip of at most {size - 1} bytes of images"
    assert problem == f"{clip_dir(see_dir)}: expected {rule}, got {size}"


def test_a_segment_of_years_as_published(see_dir):
    with samples.edited(see_dir / "emotion.json") as content:
        content["database"][CLIP]["annotations"]["segment"] = [1, 2**31 - 1]
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
    with samples.edited(see_dir / "emotion.json") as content:
        content["database"][fourth]["annotations"]["label"] = "bored"
        content["labels"][0] = "a/b"
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
    names = {"event_dir": "event_30", "frame_dir": "grey", "split_file": "s.json"}
    for old, new in zip(
        ("event", "frame", "emotion.json"), names.values(), strict=True
    ):
        (see_dir / old).rename(see_dir / new)
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
    with samples.edited(see_dir / "emotion.json") as content:
        content["database"][CLIP]["annotations"]["segment"] = [0, 0]
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
    assert done.returncode == 1 and "python -m seen_jax." in done.stderr


def test_command_writes_a_split_by_volunteer(see_dir, capsys):
    path = see_dir / "by_volunteer.json"
    assert see_folder.main([str(see_dir), f"--write_volunteer_split={path}"]) == 0
    assert capsys.readouterr().out.endswith(f"wrote {path}\n")
    split, problems = load_split(path)
    published, _ = load_split(see_dir / "emotion.json")
    assert not problems
    assert split == split_by_volunteer(published, seed=0)
    assert problems_of(see_dir, split_file="by_volunteer.json") == []


def test_command_says_what_is_wrong_with_its_options(see_dir, tmp_path):
    for options, message in (
        ("--workers=0", "workers: expected at least 1, got 0"),
        ("--write_volunteer_split=x --seed=-1", "seed: expected 0 or more, got -1"),
        (f"--write_volunteer_split={tmp_path}/absent/x", "expected a folder that exis"),
    ):
        with pytest.raises(UserError, match=message):
            see_folder.main([str(see_dir), *options.split()])


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
