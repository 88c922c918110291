"""The worst real folder and a folder of own labels: from the check to the batches."""

import importlib
import json
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from seen_jax import images, see, see_folder
from seen_jax.data import records as records_lib
from seen_jax.data.store import open_store
from seen_jax.errors import UserError, run_command
from seen_jax.problems import NUM_SHOWN, SeeError
from seen_jax.split import load_split
from tests import samples
from tests.helpers import ROOT

sys.path.append(str(ROOT / "datasets"))  # as `tfds build` does
build_lib = importlib.import_module("see_tfds.build")

pytestmark = pytest.mark.filterwarnings("ignore:label.. is deprecated")

NAMES = samples.clip_names(3, (18, 20))
BROKEN, GAPPY = str(NAMES[0]), str(NAMES[1])  # both in training
PARTS = ["--event_dir=event_30", "--split_file=emotion_new_adjust2.json"]


def clip_dir(root, kind, name):
    return root / kind / see.ClipName.parse(name).emotion / name


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    root = tmp_path_factory.mktemp("right") / "SEE"
    return samples.write_see_folder(root, NAMES, size=24)


@pytest.fixture(scope="module")
def worst(right, tmp_path_factory):
    """The same clips as one might really get them; two of them are broken."""
    root = shutil.copytree(right, tmp_path_factory.mktemp("Gesichter ä") / "my SEE")
    for i, name in enumerate(map(str, NAMES)):
        for kind in ("event", "frame"):
            folder = clip_dir(root, kind, name)
            for path in sorted(folder.iterdir(), reverse=True):
                number, image = int(path.stem) + i % 2, path.read_bytes()
                ending = ("jpg", "JPG", "jpeg")[i % 3]
                path.unlink()
                new = folder / f"{number:05d}.{ending}"
                if i % 5 == 0:  # exact, grey as three equal channels
                    grey = Image.fromarray(images.decode_jpeg(image))
                    grey.convert("RGB").save(new.with_suffix(".PNG"), "PNG")
                else:
                    new.write_bytes(image)
            (folder / "Thumbs.db").touch()
    (clip_dir(root, "event", BROKEN) / "00003.PNG").write_bytes(b"cut")
    # GAPPY is numbered from 1: frame 4 of the events is missing, 7 and 8 of the others.
    (clip_dir(root, "event", GAPPY) / "00005.JPG").unlink()
    for number in (8, 9):
        (clip_dir(root, "frame", GAPPY) / f"{number:05d}.JPG").unlink()
    (root / "event").rename(root / "event_30")
    (root / "event_30" / "neutral").rename(root / "event_30" / "neutraL")
    (root / "event_30" / "__MACOSX").mkdir()
    (root / "emotion.json").rename(root / "emotion_new_adjust2.json")
    return root


def build(folder, data_dir, *options):
    return build_lib.main([str(folder), str(data_dir), *options])


def assert_frames(store, root, clip, event_numbers, frame_numbers):
    """A clip's frames in a store are these of the folder's images."""
    name, first = store.clips.names[clip], store.clips.first_rows[clip]
    for kind, frames, numbers in (
        ("event", store.event_frames, event_numbers),
        ("frame", store.intensity_frames, frame_numbers),
    ):
        for frame, number in zip(frames[first:], numbers, strict=False):
            path = clip_dir(root, kind, name) / f"{number:05d}.jpg"
            expected = images.load_input(path.read_bytes())
            np.testing.assert_array_equal(frame, expected)


def test_the_check_says_which_options_find_the_parts(worst, capsys):
    assert see_folder.main([str(worst)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{worst}/emotion.json: expected a file, got none; there is one for "
        "--split_file=emotion_new_adjust2.json",
        f"{worst}/event: expected a folder of emotion folders, got none; there is one "
        "for --event_dir=event_30",
        "2 problems",
    ]


def test_refused_by_default(worst, tmp_path):
    with pytest.raises(SeeError) as caught:
        build(worst, tmp_path / "data", *PARTS)
    spoilt = {problem.clip for problem in caught.value.problems}
    assert spoilt == {BROKEN, GAPPY}
    assert not (tmp_path / "data").exists()


def test_leave_out(worst, right, tmp_path, capsys):
    options = (*PARTS, "--on_problem=leave_out")
    assert build(worst, tmp_path / "data", *options) == 0
    said = capsys.readouterr().out
    assert "19 of 21 clips, 2 left out:" in said
    assert f"  {BROKEN}: " in said and f"  {GAPPY}: " in said
    assert "files of file managers passed over: 43" in said  # 2 for each clip, 1 folder
    records = records_lib.open_records(tmp_path / "data", "train")
    assert records.clips.left_out == (BROKEN, GAPPY)
    assert not {BROKEN, GAPPY} & {*records.clips.names}
    store = open_store(records)
    test = records_lib.open_records(tmp_path / "data", "test")
    assert test.clips.left_out == () and len(test) == 7
    # Every frame is that of the folder before it was spoilt.
    counts = records.clips.num_frames.tolist()
    assert counts == [see.ClipName.parse(x).length for x in records.clips.names]
    assert len(counts) == 12
    for i, count in enumerate(counts):
        assert_frames(store, right, i, range(count), range(count))
    # The same command finds its own records, another choice does not.
    assert build(worst, tmp_path / "data", *options) == 0
    assert "exists already" in capsys.readouterr().out
    with pytest.raises(UserError, match="replace them with --overwrite"):
        build(worst, tmp_path / "data", *PARTS)


def own_folder(root, labels, num_clips):
    """Writes clips of such labels, in turn, and of four volunteers."""
    rng, database = np.random.default_rng(0), {}
    for i in range(num_clips):
        label, length = labels[i % len(labels)], 3 + i % 3
        for kind in ("event", "frame"):
            frames = rng.integers(0, 256, (length, 8, 8), np.uint8)
            images.save_frames(root / kind / label / f"clip {i}", frames, "png")
        database[f"clip {i}"] = {
            "subset": "training" if i < num_clips / 2 + 1 else "testing",
            "annotations": {"label": label, "segment": [i % 2, length]},
            "metadata": {"volunteer": f"v{i % 4}", "glasses": i % 2},
        }
    content = {"labels": [*labels], "frames_per_s": 25, "database": database}
    (root / "emotion.json").write_text(json.dumps(content))


def broken_folder(root):
    """Six clips of two labels; an image of `clip 3` is broken."""
    own_folder(root, "ab", 6)
    (root / "event" / "b" / "clip 3" / "00001.png").write_bytes(b"cut")
    return root


@pytest.mark.parametrize("is_built", [False, True], ids=["check", "build"])
def test_reasons_are_told_where_too_little_is_left(is_built, tmp_path, capsys):
    root, data = broken_folder(tmp_path / "own"), tmp_path / "data"
    for place in ("a/clip 4", "b/clip 5"):
        (root / "event" / place / "00000.png").write_bytes(b"cut")
    main = build_lib.main if is_built else see_folder.main
    arguments = [str(root), *[str(data)] * is_built, "--on_problem=leave_out"]
    assert run_command(lambda: main(arguments)) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == "3 of 6 clips, 3 left out:"
    for line, i in zip(lines[1:4], (4, 3, 5), strict=True):
        assert line.startswith(f"  clip {i}: {root}/event/{'ab'[i % 2]}/clip {i}/0000")
    assert "clips of the subset testing, got none" in printed.out + printed.err


def test_a_clip_whose_entry_is_wrong_is_left_out_of_its_own_subset(tmp_path):
    root = broken_folder(tmp_path / "own")
    for name, entry in entries(root):
        if name == "clip 4":
            entry["annotations"]["label"] = "c"
    build(root, tmp_path / "data", "--on_problem=leave_out")
    left_out = {
        part: records_lib.open_records(tmp_path / "data", part).clips.left_out
        for part in records_lib.SPLITS
    }
    assert left_out == {"train": ("clip 3",), "test": ("clip 4",)}


def swap_subsets(clips):
    clips["clip 0"]["subset"], clips["clip 4"]["subset"] = "testing", "training"


CHANGES = [  # of the clips in the split file, and of the files
    (swap_subsets, ""),
    (
        lambda clips: clips["clip 0"]["annotations"].update(label="b"),
        "for x in event frame; do mv $x/{a,b}/'clip 0'; done",
    ),
    (lambda clips: clips["clip 1"]["metadata"].update(volunteer="v9"), ""),
    (lambda clips: None, "cp event/b/'clip 3'/0000{0,1}.png"),  # which repairs it
    (lambda clips: None, "rm frame/a/'clip 2'/00002.png"),
    (lambda clips: None, "cp event/a/'clip '{0,2}/00002.png"),
]


@pytest.mark.parametrize("change, command", CHANGES)
def test_records_of_a_folder_that_was_changed_since_are_others(
    change, command, tmp_path, capsys
):
    root, data = broken_folder(tmp_path / "own"), tmp_path / "data"
    build(root, data, "--on_problem=leave_out")
    moved = root.rename(tmp_path / "moved")  # still the same
    assert build(moved, data, "--on_problem=leave_out") == 0
    assert "exists already" in capsys.readouterr().out
    with samples.edited(moved / "emotion.json") as content:
        change(content["database"])
    subprocess.run(["bash", "-ec", command], cwd=moved, check=True)
    rule = f"expected records of {moved}, got others; replace them with --overwrite"
    with pytest.raises(UserError, match=rule):
        build(moved, data, "--on_problem=leave_out")


def test_leave_out_by_volunteer_and_the_split_writer_agree(worst, tmp_path, capsys):
    options = (*PARTS, "--on_problem=leave_out")
    written = tmp_path / "by_volunteer.json"
    arguments = [str(worst), *options, f"--write_volunteer_split={written}"]
    assert see_folder.main(arguments) == 0
    capsys.readouterr()
    build(worst, tmp_path / "data", *options, "--config=by_volunteer")
    split, problems = load_split(written)
    assert not problems
    for part, subset in (("train", "training"), ("test", "testing")):
        records = records_lib.open_records(tmp_path / "data", part, "by_volunteer")
        assert [*records.clips.names] == split.of_subset(subset)
    # In the written file they are left out: the folder passes as it is.
    root = shutil.copytree(worst, tmp_path / "SEE")
    shutil.copy(written, root / "by_volunteer.json")
    folder = see_folder.SeeFolder(root, "event_30", split_file="by_volunteer.json")
    contents = see_folder.check(folder)
    assert contents.problems == () and len(contents.clips) == 19


def test_as_published(worst, right, tmp_path, capsys):
    whole = shutil.copytree(worst, tmp_path / "SEE")
    options = (*PARTS, "--on_problem=as_published")
    with pytest.raises(SeeError) as caught:  # no image, as published or not
        build(whole, tmp_path / "data", *options)
    assert [problem.clip for problem in caught.value.problems] == [BROKEN]
    broken = whole / "event_30/angry" / BROKEN
    shutil.copy(broken / "00002.PNG", broken / "00003.PNG")
    assert build(whole, tmp_path / "data", *options) == 0
    said = capsys.readouterr().out
    assert "1 event and 2 intensity frames dropped from 1 of 21 clips" in said
    assert f"  {GAPPY}: 1 and 2" in said
    records = records_lib.open_records(tmp_path / "data", "train")
    assert records.clips.left_out == () and len(records) == 14
    store = open_store(records)
    clip = records.clips.names.index(GAPPY)
    # 20 frames: 19 events and 18 intensity frames are there; the last event, number 19,
    # has no partner.
    assert records.clips.segments[clip].tolist() == [0, 18]
    events, others = [*range(4), *range(5, 19)], [*range(7), *range(9, 20)]
    assert_frames(store, right, clip, events, others)
    # TFDS keeps another one in .config.
    (path,) = (tmp_path / "data/see_tfds/published").glob("*/metadata.json")
    assert json.loads(path.read_text())["dropped"] == {GAPPY: [1, 2]}


def test_as_published_needs_an_image_of_each_modality(worst, tmp_path):
    root = shutil.copytree(worst, tmp_path / "SEE")
    for path in (clip_dir(root, "frame", GAPPY)).glob("*.JPG"):
        path.unlink()
    folder = see_folder.SeeFolder(root, "event_30", "frame", PARTS[1].split("=")[1])
    folder = see_folder.replace(folder, on_problem="as_published")
    problems = see_folder.check(folder).problems
    wrong = [x for x in problems if x.clip == GAPPY]
    assert [x.expected for x in wrong] == ["images of the segment, of each modality"]
    shutil.rmtree(root / "frame")  # then that is the problem
    paths = [x.path for x in see_folder.check(folder).problems]
    assert f"{root}/frame" in paths and GAPPY not in paths


def test_own_labels(tmp_path, capsys):
    labels = ["zeta", "look left", "Ärger", "blink", "none"]
    root = tmp_path / "own"
    own_folder(root, labels, 20)
    with samples.edited(root / "emotion.json") as content:
        database = content["database"]
        del database["clip 6"]["metadata"]["glasses"]
    assert see_folder.main([str(root)]) == 0
    assert "label       zeta 4  look left 4" in capsys.readouterr().out
    build(root, tmp_path / "data")
    said = capsys.readouterr().out
    assert "shorter than a window of E4_S3 (13 frames), repeated cyclically as" in said
    seen = []
    for split in records_lib.SPLITS:
        records = records_lib.open_records(tmp_path / "data", split)
        clips = records.clips
        assert clips.labels == tuple(labels) and clips.frames_per_s == 25
        assert len(records) == {"train": 11, "test": 9}[split]
        for i, name in enumerate(clips.names):
            entry = database[name]
            assert labels[clips.label_index[i]] == entry["annotations"]["label"]
            assert clips.segments[i].tolist() == entry["annotations"]["segment"]
            assert clips.metadata["volunteer"][i] == entry["metadata"]["volunteer"]
        seen += clips.names
        if split == "train":  # one has no such field
            glasses = clips.metadata["glasses"].tolist()
            assert glasses[clips.names.index("clip 6")] == ""
            assert {*glasses} == {"0", "1", ""}
    assert {*seen} == {*database}
    build(root, tmp_path / "data", "--config=by_volunteer")
    people = []
    for split in records_lib.SPLITS:
        records = records_lib.open_records(tmp_path / "data", split, "by_volunteer")
        people.append({*records.clips.metadata["volunteer"]})
    assert not people[0] & people[1] and len(people[0] | people[1]) == 4


def test_records_of_version_2_0_0_still_open(right, tmp_path):
    build(right, tmp_path / "data")
    (directory,) = (tmp_path / "data/see_tfds/published").iterdir()
    now = records_lib.open_records(directory, "train")
    with samples.edited(directory / "metadata.json") as metadata:
        for name in metadata.keys() - {"provenance", "records"}:
            del metadata[name]
        for index in metadata["records"].values():
            for name in index.keys() - {"names", "segments", "sha256"}:
                del index[name]
    directory = directory.rename(directory.parent / "2.0.0")
    before = records_lib.open_records(directory, "train")
    assert before.clips.fingerprint == now.clips.fingerprint
    assert before.clips.names == now.clips.names
    for name in ("label_index", "segments", "num_frames", "first_rows"):
        one, other = getattr(before.clips, name), getattr(now.clips, name)
        np.testing.assert_array_equal(one, other)
    for name, values in now.clips.metadata.items():
        np.testing.assert_array_equal(before.clips.metadata[name], values)


def test_many_problems_are_counted_and_written_to_a_file(tmp_path, capsys):
    root = tmp_path / "SEE"
    for kind in ("event", "frame"):
        for i in range(40):
            (root / kind / f"\x1b[31m{i:02d}\u202e").mkdir(parents=True)
    content = {"labels": ["a", "b"], "database": {}}
    (root / "emotion.json").write_text(json.dumps(content))
    out = tmp_path / "problems.txt"
    assert see_folder.main([str(root), f"--problems={out}"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == NUM_SHOWN + 3
    assert lines[0].startswith(f"{root}/emotion.json: expected at least one clip")
    assert lines[1].startswith(f"{root}/event/\\x1b[31m00\\u202e: expected an emotion ")
    command = f"python -m seen_jax.see_folder {root} --problems=problems.txt"
    assert lines[-3] == f"and 61 more; {command} writes all"
    assert lines[-1] == "81 problems"
    assert lines[-2].startswith("--on_problem=leave_out leaves ")
    text = out.read_text()
    assert len(text.splitlines()) == 81 and "\x1b" not in text
    with pytest.raises(SeeError) as caught:
        see_folder.check(see_folder.SeeFolder(root)).raise_problems()
    assert len(caught.value.problems) == 81
    assert len(str(caught.value).splitlines()) == NUM_SHOWN + 2


@pytest.mark.parametrize("on_problem", ["leave_out", "as_published"])
def test_many_clips_left_out_or_cut_are_counted(on_problem, tmp_path, capsys):
    names = samples.clip_names(6, (2,))
    root = samples.write_see_folder(tmp_path / "a SEE", names, size=8)
    clips = sorted((root / "event").glob("*/*_00[1-5]_*"))
    assert len(clips) == 35
    for clip in clips:
        (clip / "00001.jpg").unlink()
    assert see_folder.main([str(root), f"--on_problem={on_problem}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = next(i for i, x in enumerate(lines) if "35 " in x and x.endswith(":"))
    assert lines[first].startswith(
        "7 of 42 clips, 35 left out:"
        if on_problem == "leave_out"
        else "35 event and 0 intensity frames dropped from 35 of 42 clips"
    )
    shown, last = lines[first + 1 : first + 1 + NUM_SHOWN], lines[first + 21]
    assert len({line.split(":")[0] for line in shown}) == NUM_SHOWN
    # What it says can be pasted.
    command = last.removeprefix("  and 15 more; ").removesuffix(" writes all")
    python, _, _, *arguments = shlex.split(command)
    assert python == "python"
    arguments[-1] = f"--problems={tmp_path / 'problems.txt'}"
    assert see_folder.main(arguments) == 0
    text = (tmp_path / "problems.txt").read_text()
    assert all(clip.name in text for clip in clips)


def entries(root):
    with samples.edited(root / "emotion.json") as content:
        yield from content["database"].items()


def all_for_training(root):
    for _, entry in entries(root):
        entry["subset"] = "training"


def break_testing_clips(root):
    for name, entry in entries(root):
        if entry["subset"] == "testing":
            (clip_dir(root, "event", name) / "00000.jpg").write_bytes(b"")


def one_volunteer(root):
    for name, _ in entries(root):
        if name.split("_")[1] != "001":
            for kind in ("event", "frame"):
                shutil.rmtree(clip_dir(root, kind, name))


def nobody_is_named(root):
    for i, (name, entry) in enumerate(entries(root)):
        if i == 0:
            entry["metadata"] = {"age": 3}
            for kind in ("event", "frame"):
                clip_dir(root, kind, name).rename(root / kind / "angry" / "clip")
    text = (root / "emotion.json").read_text()
    (root / "emotion.json").write_text(text.replace(str(SMALL[0]), "clip"))


SMALL = samples.clip_names(2, (2,))
NO_FOLDER = "SEE: expected a SEE folder, got none; SEE is handed out on request by"
ALONE = "split by volunteer: expected clips of at least 2 volunteers, got 1; use the"
NO_TESTING = "emotion.json: expected clips of the subset testing, got none; --config="
NO_VOLUNTEER = "clip 'clip': expected a volunteer in the name or the metadata, got none"


@pytest.mark.parametrize("is_built", [False, True], ids=["check", "build"])
@pytest.mark.parametrize(
    ("change", "options", "refused", "refused_by_volunteer"),
    [
        (lambda root: None, [], None, None),
        (shutil.rmtree, [], NO_FOLDER, NO_FOLDER),
        (all_for_training, [], NO_TESTING, None),
        (break_testing_clips, [], "4 problems", "4 problems"),
        (break_testing_clips, ["--on_problem=leave_out"], NO_TESTING, None),
        (one_volunteer, [], "7 problems", "7 problems"),
        (one_volunteer, ["--on_problem=leave_out"], None, ALONE),
        (nobody_is_named, [], None, NO_VOLUNTEER),
    ],
)
def test_check_and_builder_refuse_the_same(
    change, options, refused, refused_by_volunteer, is_built, tmp_path, capsys
):
    root = samples.write_see_folder(tmp_path / "SEE", SMALL, size=8)
    change(root)
    for by_volunteer, text in ((False, refused), (True, refused_by_volunteer)):
        main, others = see_folder.main, [f"--write_volunteer_split={tmp_path}/s.json"]
        if is_built:
            main, others = build_lib.main, ["--config=by_volunteer"]
        others = [str(tmp_path / "data")] * is_built + others * by_volunteer
        code = run_command(lambda: main([str(root), *others, *options]))  # noqa: B023
        printed = capsys.readouterr()
        name = ("published", "by_volunteer")[by_volunteer]
        config = tmp_path / "data/see_tfds" / name
        assert config.exists() == (is_built and text is None)
        assert code == (text is not None)
        assert text is None or text in printed.out + printed.err
