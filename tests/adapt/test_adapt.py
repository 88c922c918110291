"""A run is adapted to one person: what is learned, recorded, resumed and refused."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from seen_jax import see
from seen_jax.adapt import command, recipe, wearer
from seen_jax.cameras.aedat4 import write_aedat4
from seen_jax.data.mixed import from_files, in_both
from seen_jax.data.windows import Setting
from seen_jax.errors import UserError
from seen_jax.evaluation.restored import open_batches, restore
from seen_jax.export.bundle import missing
from seen_jax.training import freeze, loop
from seen_jax.training.rows import read_rows
from tests import samples
from tests.helpers import ROOT, write_run
from tests.live.streams import recording_of
from tests.training.runs import digests

FIELDS = {"num_event_frames": 1, "skip": 0, "batch_size": 4, "eval_passes": 1}
SETTING = Setting(1, 0)


@pytest.fixture(scope="module", autouse=True)
def small(compiled_once):
    """Two epochs of four steps, of four windows each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "NUM_WINDOWS", 8)
        patch.setitem(recipe.RECIPE, "batch_size", 4)
        patch.setitem(recipe.RECIPE, "num_epochs", 2)
        yield


@pytest.fixture(scope="module")
def root(module_folder):
    """`run`, on records of two people, and `wearer`: two clips of each label."""
    root = module_folder
    write_run(root, {3: 0.5}, levels=(0, 255), num_epochs=1, **FIELDS)
    samples.write_see_folder(root / "wearer", names(), size=90)
    return root


def names(num_volunteers=1):
    once = samples.clip_names(num_volunteers, (5,))
    return once + [see.ClipName(**{**vars(x), "take": 1}) for x in once]


def fit(root, out, *options, clips="wearer"):
    words = [f"--run={root / 'run'}", f"--clips={root / clips}", f"--out={out}"]
    return command.fit(command.parse([*words, *options]))


@pytest.fixture(scope="module")
def adapted(root):
    assert fit(root, root / "whole", "--per_label=1") == 0
    return root / "whole"


def test_the_last_layers_learn_and_no_other_bit_changes(root, adapted):
    before, after = (restore(x).variables for x in (root / "run", adapted))
    sizes = freeze.sizes_of(before["params"])
    now, then = (
        dict(zip(sizes, jax.tree.leaves(x["params"]), strict=True))
        for x in (after, before)
    )
    changed = {x for x in sizes if now[x].tobytes() != then[x].tobytes()}
    assert changed == {f"fc{i}/{name}" for i in (1, 2) for name in ("kernel", "bias")}
    statistics = (x["batch_stats"] for x in (before, after))
    assert len({str(jax.tree.map(np.ndarray.tobytes, x)) for x in statistics}) == 1


def test_it_is_a_run_that_says_to_whom_it_is_adapted(root, adapted):
    run = restore(adapted)
    assert [row["step"] for row in read_rows(adapted)] == [4, 8]
    assert run.facts["choice"] == (
        f"the last epoch; fine-tuned from {root / 'run'} (epoch 1), the last epoch, "
        f"trained on these clips, adapted to 7 clips of 1, {root / 'wearer'}"
    )
    origin = json.loads((adapted / "config.json").read_text())["imported"]["wearer"]
    assert origin["volunteer"] == "1"
    assert origin["per_label"] == dict.fromkeys(see.EMOTIONS, 1)
    assert {see.ClipName.parse(x).take for x in origin["clips"]} == {0}
    assert run.config["init_from"] == f"{root / 'run'}:3"
    assert len(open_batches(run, "test").clips) == 4  # of the run's own records
    assert len(open_batches(run, "train").clips) == 10
    other = replace(run, variables={"params": {"dense": {}}})
    with pytest.raises(UserError, match="--run: expected a network with fc1 and fc2, "):
        recipe.config_of(other)


def test_stopped_anywhere_it_resumes_to_the_same_bits(
    root, adapted, tmp_path, monkeypatch, capsys
):
    """After three steps by a signal, and where the second epoch was not yet saved."""
    add, counts = loop.EpochSums.add, []

    def stop_at_third(sums, steps):
        counts.append(len(counts))
        if len(counts) == 3:
            signal.raise_signal(signal.SIGTERM)
        return add(sums, steps)

    monkeypatch.setattr(loop.EpochSums, "add", stop_at_third)
    out = tmp_path / "stopped"
    assert fit(root, out, "--per_label=1") == 128 + signal.SIGTERM
    step = int(max((out / "checkpoints").iterdir()).name)
    assert 0 < step < 8 and "stopped and saved" in capsys.readouterr().out

    def killed(self, row):
        raise MemoryError("as if it were killed")

    with monkeypatch.context() as patch:
        patch.setattr(loop.Journal, "epoch", killed)
        with pytest.raises(MemoryError):
            fit(root, out, "--per_label=1")
    assert fit(root, out, "--per_label=1") == 0
    assert digests(out) == digests(adapted)
    assert fit(root, out, "--per_label=1") == 0  # it is done
    assert digests(out) == digests(adapted)


def test_clips_that_are_left_and_a_bundle(root, adapted, tmp_path, capsys, monkeypatch):
    """By another path, RUN is the same."""
    if text := missing("native"):
        pytest.skip(text)
    monkeypatch.chdir(root)
    options = "--per_label=1", "--run=run", f"--bundle={tmp_path / 'bundle'}"
    assert fit(root, adapted, *options) == 0
    printed = capsys.readouterr().out
    now = 100 * read_rows(adapted)[-1]["war"]
    assert re.search(f"4 clips of the test split: .* before, {now:.1f} % now", printed)
    assert re.search("among [78] clips that run was trained on", printed)
    assert "7 clips that are left: " in printed and "adapts to 7 clips of 1" in printed
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert "adapted to 7 clips of 1" in manifest["trained"]["choice"]
    assert manifest["trained"]["step"] == 8


def test_clips_that_the_run_knows(root, tmp_path, capsys):
    """Those of its test split are refused; that it was trained on others is said."""
    rule = "see: expected clips that are not in the test split of .*run, got .*; adapt"
    with pytest.raises(UserError, match=rule):
        fit(root, tmp_path / "out", "--volunteer=1", clips="see")
    known = tmp_path / "known"
    shutil.copytree(root / "see", known)
    split = json.loads((known / "emotion.json").read_text())
    split["database"] = {
        name: x for name, x in split["database"].items() if x["subset"] == "training"
    }
    for path in known.glob("*/*/*"):
        if path.name not in split["database"]:
            shutil.rmtree(path)
    (known / "emotion.json").write_text(json.dumps(split))
    train = open_batches(restore(root / "run"), "train")
    clips, _ = wearer.read(known, see.EMOTIONS, SETTING, 30, "1")
    store = from_files(clips, see.EMOTIONS, 30, "simulated")
    assert in_both(store, train.images, train.clips) == [x.name for x in clips]
    black = replace(store, event_frames=np.zeros_like(store.event_frames))
    assert in_both(black, train.images, train.clips) == []  # the names alone
    run = restore(root / "run")
    text = command.tell(run, run, store, train)
    assert f"run was trained on {len(clips)} of them: the first figure does" in text


def test_before_comes_first(root):
    """A network that answers angry in any case, and one that answers disgust."""
    run = restore(root / "run")
    clips, _ = wearer.read(root / "wearer", see.EMOTIONS, SETTING, 30)
    left = [x for x in clips if x.annotation.label == see.EMOTIONS[1]]
    store = from_files(left, see.EMOTIONS, 30, "simulated")

    def always(index):
        params = run.variables["params"]
        bias = np.zeros_like(params["fc2"]["bias"])
        bias[index] = 1e6
        fc2 = params["fc2"] | {"bias": bias}
        return replace(run, variables=run.variables | {"params": params | {"fc2": fc2}})

    text = command.tell(always(0), always(1), store, open_batches(run, "train"))
    assert text.startswith("2 clips that are left: 0.0 % right before, 100.0 % now")
    test = open_batches(run, "test")
    share = 100 * (test.clips.label_index == 1).mean()
    text = command.tell_of_others(always(1), test, 0.125)
    assert text.endswith(f"split: {share:.1f} % right before, 12.5 % now")


def test_other_arguments_than_before(root, adapted, tmp_path):
    rule = r"whole: expected the clips that it was adapted to, 7 clips \(angry 1, .*"
    with pytest.raises(UserError, match=rule + r", got 14 clips \(angry 2, .*; repeat"):
        fit(root, adapted)
    with pytest.raises(UserError, match="run: expected a new or empty folder, or o"):
        fit(root, root / "run")
    with pytest.raises(UserError, match="expected a built dataset, got none; "):
        fit(root, tmp_path / "out", f"--data_dir={tmp_path}")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="out: expected a place that can be written"):
        fit(root, tmp_path / "file" / "out", f"--data_dir={tmp_path}")


def write_recording(path):
    """One of 0.3 s."""
    recording = recording_of(300_000)
    write_aedat4(path, recording.events, recording.times_us, recording.intensity_frames)


def test_a_table_of_clips_as_seen_live_writes_it(root, tmp_path):
    write_recording(tmp_path / "00000.aedat4")
    rows = ["recording,start_s,end_s,label,volunteer,crop"]
    rows += [f'00000.aedat4,0,0.2,{x},anna,"2,0,18"' for x in ("fear", "angry")]
    (tmp_path / "CLIPS.csv").write_text("\n".join(rows))
    table, is_table = wearer.find(tmp_path)
    assert (table, is_table) == (tmp_path / "CLIPS.csv", True)
    wearer.cut(table, tmp_path / "out", 30, num_workers=1)
    clips, volunteer = wearer.read(tmp_path / "out", see.EMOTIONS, SETTING, 30)
    assert volunteer == "anna"
    assert [len(clip.event_files) for clip in clips] == [6, 6]  # of 200 ms
    store = from_files(clips, see.EMOTIONS, 30, "real")
    counts = wearer.counts_of(store.clips)
    assert counts == dict.fromkeys(see.EMOTIONS, 0) | {"fear": 1, "angry": 1}
    assert wearer.find(tmp_path / "out") == (tmp_path / "out", False)


def test_clips_that_cannot_be_used(tmp_path):
    see_dir = samples.write_see_folder(tmp_path / "see", samples.clip_names(2, (5,)), 9)
    right = {"labels": see.EMOTIONS, "setting": SETTING, "frames_per_s": 30}
    right |= {"folder": see_dir, "volunteer": "1"}
    for changes, words in (
        ({"volunteer": "9"}, "--volunteer: expected one of 1, 2, got '9'"),
        ({"volunteer": None}, "clips of one volunteer, got those of 1, 2"),
        ({"labels": see.EMOTIONS[1:]}, "labels that the run knows, .*, got angry; lea"),
        ({"frames_per_s": 60}, "expected 60 frames a second, .*, got 30"),
        (
            {"setting": Setting(4, 3)},
            "expected 13 frames or more, a window of E4_S3, got 5, and 6 more; record",
        ),
        ({"folder": tmp_path / "no"}, "no: expected a SEE folder, got none"),
    ):
        with pytest.raises(UserError, match=words):
            wearer.read(**right | changes)


def test_a_table_is_refused_before_it_is_cut(tmp_path):
    write_recording(tmp_path / "a.aedat4")
    table = tmp_path / "CLIPS.csv"

    def check(*rows, volunteer=None):
        first = "recording,start_s,end_s,label,volunteer"
        table.write_text("\n".join([first, *rows]))
        wearer.check_table(table, see.EMOTIONS, Setting(4, 0), 30, volunteer)

    two = "a.aedat4,0,0.2,fear,anna", "a.aedat4,0,0.2,bored,ben"
    for rows, words in (
        ((two[0], "a.aedat4,0,0.2,bored,anna"), "line 3: .* knows, .*, got bored; "),
        (("a.aedat4,0.1,0.2,fear,anna",), "line 2: expected 4 frames or more, .*, go"),
        (two, "clips of one volunteer, got those of anna, b"),
    ):
        with pytest.raises(UserError, match=words):
            check(*rows)
    check(*two, volunteer="anna")


def test_where_a_run_may_be_written(tmp_path):
    def check(*options, out="out"):
        words = ["--run=r", "--clips=c", f"--out={tmp_path / out}", *options]
        command.check_places(command.parse(words))

    check()
    with pytest.raises(UserError, match="--formats: expected --bundle=BUNDLE beside"):
        check("--formats=native")
    for place in ("out", "out/bundle", "."):
        with pytest.raises(UserError, match="--bundle: expected a folder apart from"):
            check(f"--bundle={tmp_path / place}")
    (tmp_path / "out" / "clips").mkdir(parents=True)
    (tmp_path / "out" / "lock").touch()
    with pytest.raises(UserError, match="of this command, got one with clips in"):
        check()  # clips of someone's own
    (tmp_path / "out" / "clips" / "recordings.json").touch()
    check()  # as a run leaves it that was killed while it cut them


def test_what_is_missing_is_said():
    counts = {"angry": 2, "fear": 1, "sadness": 0}
    absent = "no clips of sadness: the network may now prefer the other labels"
    assert command.notes_on(counts, None) == [absent]
    assert command.notes_on(counts, 2) == [absent, "fewer than --per_label=2: fear 1"]
    assert command.notes_on({"angry": 1}, 1) == []


def test_ctrl_c_while_it_is_imported(tmp_path):
    """A jax that presses it stands in for the seconds that the real one takes."""
    press = "import signal; signal.raise_signal(signal.SIGINT)"
    (tmp_path / "jax.py").write_text(press)
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "seen_jax.adapt", "--help"]
    ran = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (130, "")


def test_no_clips_at_all(tmp_path):
    for folder, words in (
        (tmp_path, "expected a SEE folder, a table of clips or a f"),
        (tmp_path / "none", "got none; record some with `seen live"),
    ):
        with pytest.raises(UserError, match=words):
            wearer.find(folder)
