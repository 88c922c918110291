"""The folder of a run: one run at a time, one config."""

import subprocess

import pytest

from seen_jax.errors import UserError
from seen_jax.training import workdir
from seen_jax.training.fields import BEFORE

CONFIG = {"learning_rate": 0.1, "select": "last", "num_epochs": 3, "data_dir": "a"}
RECORDS = {"train": "abc", "test": "def"}


def test_some_fields_may_change(tmp_path):
    workdir.check_config(tmp_path, CONFIG, RECORDS)
    changed = {**CONFIG, "num_epochs": 9, "data_dir": "b"}
    workdir.check_config(tmp_path, changed, RECORDS)
    assert workdir.load_config(tmp_path) == changed


@pytest.mark.parametrize(
    "config, records, words",
    [
        ({"learning_rate": 0.2}, {}, "learning_rate: 0.1 -> 0.2"),
        ({"select": "test"}, {}, "select: last -> test"),
        ({"new": 1}, {}, "new: absent -> 1"),
        ({"num_epochs": 9}, {"train": "xyz"}, "records of train: abc -> xyz"),
    ],
)
def test_others_may_not_and_are_shown(tmp_path, config, records, words):
    workdir.check_config(tmp_path, CONFIG, RECORDS)
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    with pytest.raises(ValueError, match="started with, got \n  " + words) as error:
        workdir.check_config(tmp_path, CONFIG | config, RECORDS | records)
    assert "give another workdir" in str(error.value)
    assert "num_epochs" not in str(error.value)
    assert workdir.load_config(tmp_path) == CONFIG


def test_a_run_that_is_older_than_a_field_had_its_one_value(tmp_path):
    workdir.check_config(tmp_path, CONFIG, RECORDS)
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    now = {**BEFORE, **CONFIG}
    for change in ({"decay": 0.5}, {"network": "cnn"}):
        ((name, value),) = change.items()
        with pytest.raises(UserError, match=f"{name}: {BEFORE[name]} -> {value}"):
            workdir.check_config(tmp_path, now | change, RECORDS)
    assert workdir.check_config(tmp_path, now, RECORDS) == []
    assert workdir.load_config(tmp_path) == now


def test_a_cosine_ends_with_the_last_epoch(tmp_path):
    config = {**CONFIG, "schedule": "cosine"}
    workdir.check_config(tmp_path, config, RECORDS)
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    with pytest.raises(UserError, match="num_epochs: 3 -> 9"):
        workdir.check_config(tmp_path, {**config, "num_epochs": 9}, RECORDS)


def test_nothing_is_bound_before_the_first_checkpoint(tmp_path):
    assert workdir.check_config(tmp_path, CONFIG, RECORDS) == []
    (tmp_path / "checkpoints" / "0.orbax-checkpoint-tmp").mkdir(parents=True)
    changed = {**CONFIG, "select": "test"}
    lines = workdir.check_config(tmp_path, changed, RECORDS)
    assert lines == ["select: last -> test"]
    assert workdir.load_config(tmp_path) == changed
    (tmp_path / "checkpoints" / "0").mkdir()
    with pytest.raises(ValueError, match="select: test -> last"):
        workdir.check_config(tmp_path, CONFIG, RECORDS)


def test_an_import_that_was_cut_off_is_not_trained_from_random_weights(tmp_path):
    origin = {"file": "a.pth", "epoch": 3}
    workdir.check_config(tmp_path, CONFIG, {}, imported=origin)
    with pytest.raises(UserError, match="got one whose import was cut off; remove it"):
        workdir.check_config(tmp_path, CONFIG, RECORDS)
    workdir.check_config(tmp_path, CONFIG, {}, imported=origin)


def test_weights_stay_imported(tmp_path):
    origin = {"file": "a.pth", "epoch": 3}
    workdir.check_config(tmp_path, CONFIG, {}, imported=origin)
    (tmp_path / "checkpoints" / "0").mkdir(parents=True)
    workdir.check_config(tmp_path, CONFIG, RECORDS)
    assert workdir.load_origin(tmp_path) == origin


def test_a_folder_serves_one_run_at_a_time(tmp_path):
    folder = tmp_path / "deep" / "run"
    with (
        workdir.claimed(folder),
        pytest.raises(UserError, match=f"{folder}: expected a folder that no other"),
        workdir.claimed(folder),
    ):
        pass
    with workdir.claimed(folder):  # free again
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(UserError, match="run: expected a place that can be written"),
        workdir.claimed(tmp_path / "file" / "run"),
    ):
        pass


@pytest.mark.parametrize(
    "text, got",
    [
        ("[1, 2]", r"got \[1, 2\]; copy it again"),
        ('{"records": {}}', "got {'records': {}}; copy it again"),
        ('{"config": 3}', "got {'config': 3}; copy it again"),
    ],
)
def test_a_broken_config_is_named(tmp_path, text, got):
    (tmp_path / workdir.CONFIG_FILE).write_text(text)
    for load in (workdir.load_config, workdir.load_origin):
        with pytest.raises(ValueError, match=rf"config\.json: expected .*{got}"):
            load(tmp_path)


def test_a_folder_without_a_run_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="train with --workdir there first"):
        workdir.load_config(tmp_path)


def test_the_revision_is_the_commit_of_the_code(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "code.py").write_text("x = 1")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    monkeypatch.setattr(workdir, "__file__", str(tmp_path / "code.py"))
    assert workdir.git_revision() == head
    (tmp_path / "code.py").write_text("x = 2")
    assert workdir.git_revision() == f"{head}-dirty"
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("SEEN_REVISION", raising=False)
    assert workdir.git_revision() == "unknown"
    monkeypatch.setenv("SEEN_REVISION", "abc")  # as of an image
    assert workdir.git_revision() == "abc"
