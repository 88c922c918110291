"""The first weights of a run, from a run, a bundle or a file."""

import json
import shutil
import sys

import jax
import numpy as np
import pytest
from flax import traverse_util

from configs import default
from seen_jax import see
from seen_jax.errors import UserError
from seen_jax.evaluation.restored import restore
from seen_jax.export import published, start, torch_files
from seen_jax.export.convert import torch_from_variables
from seen_jax.runtime import seen_runtime
from seen_jax.training import setup, state, workdir
from tests.helpers import ROTATED, memory_records, untrained, write_run
from tests.runtime.bundles import write_manifest
from tests.training import runs

FIELDS = {"num_event_frames": 1, "skip": 0, "batch_size": 4, "eval_passes": 1}
MORE = (*see.EMOTIONS, "boredom")
FC2 = {"params/fc2/kernel", "params/fc2/bias"}


@pytest.fixture(scope="module")
def source(module_folder):
    """A run of two epochs; no array of it is as one that is drawn by a seed."""
    drawn = untrained(1)

    def plus(step):
        return jax.tree.map(lambda x: x + np.asarray(step, x.dtype), drawn)

    by_step = {step: plus(step) for step in (3, 6)}
    return write_run(module_folder, {3: 0.5, 6: 0.4}, by_step, num_epochs=2, **FIELDS)


@pytest.fixture
def made(source, tmp_path, monkeypatch):
    """Returns what makes a task, by `init_from` and the labels of its records."""

    def make(init_from, labels=see.EMOTIONS, fingerprint="f" * 32, **fields):
        def open_records(data_dir, split, dataset):
            facts = {"split": split, "labels": labels, "fingerprint": fingerprint}
            return memory_records(tmp_path, range(9, 17), num_volunteers=4, **facts)

        monkeypatch.setattr(setup, "open_records", open_records)
        config = default.get_config().to_dict() | FIELDS | fields
        return setup.prepare(config | {"init_from": str(init_from)})

    return make


def begin(task, tmp_path):
    return start.begin(task, tmp_path / "run")


def flat(variables):
    return traverse_util.flatten_dict(jax.device_get(variables), sep="/")


def same(one, other):
    assert one.keys() == other.keys()
    return {path for path, x in one.items() if x.tobytes() == other[path].tobytes()}


def first_state(task, weights=None):
    drawn = state.create(task.model, task.optimizer, 1, jax.random.key(2022))
    return state.with_weights(drawn, weights or {})


def test_a_run_gives_weights_and_nothing_else(source, made, tmp_path):
    task = made(source)
    weights, origin = begin(task, tmp_path)
    there = restore(source)
    assert origin.pop("history") == (
        "the last epoch, trained on others, perhaps some that are evaluated here"
    )
    assert origin.pop("digest") != begin(made(f"{source}:3"), tmp_path)[1]["digest"]
    assert origin == {"file": str(source), "epoch": 2, "step": 6, "notes": []}
    first = first_state(task, weights)
    expected = flat(there.variables)
    assert same(flat(first.variables), expected) == set(expected)
    assert first.step == 0
    assert not any(x.any() for x in jax.tree.leaves(first.opt_state))
    drawn = first_state(task)
    num_batches = {path for path in expected if path.endswith("num_batches")}
    assert len(num_batches) == 3 and not same(flat(drawn.variables), expected)


def test_a_step_of_a_run(source, made, tmp_path):
    weights, origin = begin(made(f"{source}:3"), tmp_path)
    expected = flat(restore(source, 3).variables)
    assert same(weights, expected) == set(expected)
    assert (origin["epoch"], origin["step"]) == (1, 3)
    assert origin["history"].startswith("named by its step, trained on ")


def test_the_same_clips(source, made, tmp_path):
    records = restore(source).records
    task = made(source, fingerprint=records["train"])
    history = begin(task, tmp_path)[1]["history"]
    assert history.endswith("trained on these clips")
    # Of these, the source has trained on those that are evaluated now.
    fields = {"select": "validation", "validation_volunteers": 1}
    task = made(source, fingerprint=records["train"], **fields)
    assert "perhaps some that are eval" in begin(task, tmp_path)[1]["history"]


@pytest.mark.parametrize("labels", [MORE, ROTATED], ids=["more", "another order"])
def test_other_classes_get_a_fresh_last_layer(source, made, tmp_path, labels):
    task = made(source, labels)
    weights, origin = begin(task, tmp_path)
    (note,) = origin["notes"]
    now, before = ", ".join(labels), ", ".join(see.EMOTIONS)
    layer = "drawn at random: fc2/bias, fc2/kernel"
    assert note == f"{layer}, since the classes are {now} and were {before}"
    first, drawn = (flat(first_state(task, x).variables) for x in (weights, None))
    expected = flat(restore(source).variables)
    assert all(first[path].shape == drawn[path].shape for path in first)
    assert same(first, drawn) == FC2
    assert same(weights, {x: expected[x] for x in weights}) == first.keys() - FC2


def test_another_network(source, made, tmp_path):
    words = "run: expected weights of network cnn, got those of seen; give --config.net"
    with pytest.raises(UserError, match=f"^init_from: .*{words}"):
        begin(made(source, network="cnn"), tmp_path)
    words = r"expected the weights of the config, got others\n.*conv1_cat_t.*absent"
    with pytest.raises(UserError, match=words):
        begin(made(source, kernels="own"), tmp_path)
    task = made(source, readout="last_spike")
    notes = begin(task, tmp_path)[1]["notes"]
    assert notes == ["the network there was seen"]


@pytest.mark.parametrize(
    "given, words",
    [
        ("none", "none: expected a run, a bundle or a .pth file, got none; give"),
        ("", "got a folder without config.json and manifest.json; give the path"),
        ("run:5", r"step: expected one of \[3, 6\], which .*checkpoints has, got 5"),
        ("run:last", "run:last: expected a run, a bundle or a .pth file, got none"),
        ("run/config.json:3", "expected a step of a run, got one of a bundle or a fil"),
    ],
)
def test_what_is_not_there(source, made, tmp_path, given, words):
    with pytest.raises(UserError, match=f"^init_from: .*{words}") as error:
        begin(made(source.parent / given), tmp_path)
    assert str(error.value).count("\n") == 0


def test_a_run_without_a_checkpoint(source, made, tmp_path):
    (tmp_path / "left").mkdir()
    shutil.copy(source / "config.json", tmp_path / "left")
    words = "left/checkpoints: expected checkpoints, got n"
    with pytest.raises(UserError, match=words):
        begin(made(tmp_path / "left"), tmp_path)


def write_checkpoint(path, variables):
    pytest.importorskip("torch")
    torch_files.write_checkpoint(path, torch_from_variables(variables), 7)


def test_a_published_checkpoint(source, made, tmp_path, monkeypatch):
    there, path = restore(source).variables, tmp_path / "save_7.pth"
    write_checkpoint(path, there)
    weights, origin = begin(made(path, ROTATED), tmp_path)
    assert same(weights, flat(there)) == {*weights}
    assert (origin["epoch"], origin["step"]) == (7, None)
    assert origin["history"] == "trained and chosen elsewhere"
    (note,) = origin["notes"]
    assert note == "its classes are taken to be those of these records, in order"
    weights, origin = begin(made(path, MORE), tmp_path)
    assert weights.keys() == flat(there).keys() - FC2
    assert origin["notes"][0].endswith("boredom and were 7")
    with pytest.raises(UserError, match="network cnn, got those of seen"):
        begin(made(path, network="cnn"), tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="torch is not installed; run python -m pip"):
        begin(made(path), tmp_path)


def test_a_bundle(source, made, tmp_path):
    there, folder = restore(source).variables, tmp_path / "bundle"
    folder.mkdir()
    for name in seen_runtime.files_of(["native"]):
        (folder / name).write_bytes(b"of no use here")
    facts = {"epoch": 2, "step": 6, "choice": "the last epoch"}
    write_manifest(folder, trained=facts, classes=[*ROTATED])
    words = "bundle: expected a bundle with seen.pt, got folded weights alone; give the"
    with pytest.raises(UserError, match=words):
        begin(made(folder), tmp_path)
    write_checkpoint(folder / "seen.pt", there)
    words = "a step of a run, got one of a bundle or a file"
    with pytest.raises(UserError, match=words):
        begin(made(f"{folder}:6"), tmp_path)
    for other in (None, 3, {"epoch": 2}, {**facts, "network": 5}):
        write_manifest(folder, trained=other, classes=[*ROTATED])
        with pytest.raises(UserError, match=r"manifest.json: expected epoch, step, c"):
            begin(made(folder), tmp_path)
    write_manifest(folder, trained=facts, classes=[*ROTATED])
    weights, origin = begin(made(folder, ROTATED), tmp_path)
    assert same(weights, flat(there)) == {*flat(there)} and origin["notes"] == []
    assert origin["history"] == "the last epoch, trained and chosen elsewhere"
    assert begin(made(folder), tmp_path)[0].keys() == flat(there).keys() - FC2
    (folder / "seen.pt").write_bytes(b"cut off")
    with pytest.raises(UserError, match=r"seen\.pt: expected .* bytes of SHA-256"):
        begin(made(folder), tmp_path)


def test_an_import_has_weights_of_its_own(tmp_path):
    config = default.get_config().to_dict() | {"init_from": "run"}
    words = "init_from: expected none, since weights are im"
    with pytest.raises(UserError, match=words):
        published.import_checkpoint(tmp_path / "a.pth", tmp_path / "run", config)


def train(source, init_from, folder, num_epochs):
    """Trains as train.py does, on the records of the source."""
    config = default.get_config().to_dict() | FIELDS | {"init_from": str(init_from)}
    config |= {"data_dir": str(source.parent / "data"), "num_epochs": num_epochs}
    task = setup.prepare(config)
    weights, origin = start.begin(task, folder)
    runs.train(task, folder, weights, origin)
    return weights


def test_a_run_that_resumes_does_not_read_them_again(source, tmp_path, capsys):
    gone = tmp_path / "gone"
    shutil.copytree(source, gone)
    train(source, gone, tmp_path / "whole", 2)
    weights = train(source, gone, tmp_path / "run", 1)
    assert weights and f"imported from {gone}, epoch 2\n" in capsys.readouterr().out
    shutil.rmtree(gone)
    weights = train(source, gone, tmp_path / "run", 2)
    assert weights is None
    assert runs.digests(tmp_path / "run") == runs.digests(tmp_path / "whole")
    # Three steps with rate 0.015 moved the weights, and not far.
    begun, trained = (
        restore(x, step).variables["params"]["fc1"]["kernel"]
        for x, step in ((source, 6), (tmp_path / "run", 3))
    )
    assert 0 < abs(trained - begun).max() < 1
    origin = json.loads((tmp_path / "run" / "config.json").read_text())["imported"]
    assert runs.saved(tmp_path / "run")["imported"] == origin
    assert origin["file"] == str(gone)
    choice = restore(tmp_path / "run").facts["choice"]
    assert choice == (
        f"the last epoch; fine-tuned from {gone} (epoch 2), the last epoch, trained on "
        "these clips"
    )


def test_another_source_for_a_run_that_left_no_checkpoint(tmp_path):
    config = {"data_dir": "a", "init_from": "b"}
    origin = {"file": "b", "epoch": 3}
    assert workdir.check_config(tmp_path, config, {"train": "c"}, origin) == []
    lines = workdir.check_config(tmp_path, config | {"init_from": ""}, {"train": "c"})
    assert lines == ["init_from: b -> "] and workdir.load_origin(tmp_path) is None
