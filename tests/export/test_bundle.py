"""A run -> a bundle -> a run; needs torch, onnx and onnxruntime."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from configs import default
from seen_jax.evaluation import run
from seen_jax.export import bundle, published
from seen_jax.export.convert import variables_from_torch
from seen_jax.runtime import seen_runtime
from seen_jax.training.checkpoint import Checkpoints
from tests import golden, runs

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def variables():
    """Golden weights, whose neurons fire; smaller, so that few are near the threshold.

    Where one is, rounding decides whether it fires, and no two programs agree.
    """
    smaller = {
        name: (0.6 * x if name.endswith(".weight") else x).astype(np.float32)
        if x.dtype == np.float64
        else x
        for name, x in golden.state_dict().items()
    }
    return variables_from_torch(smaller)


def export(*arguments):
    """Runs the command; returns its exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "seen_jax.export", *map(str, arguments)],
        cwd=runs.ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr + done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of E2_S1 with golden weights, four clips to evaluate."""
    root = tmp_path_factory.mktemp("export")
    fields = dict(num_event_frames=2, skip=1, batch_size=3)
    return runs.write_run(root, {4: 0.5}, variables(), **fields)


@pytest.fixture(scope="module")
def written(folder):
    out = folder.parent / "bundle"
    code, said = export("torch", "--workdir", folder, "--out", out)
    assert code == 0, said
    assert "onnxruntime: 4 windows" in said and said.endswith(f"{out}\n")
    return out


def test_the_manifest(folder, written):
    manifest = seen_runtime.read_manifest(written)
    assert manifest["setting"] == "E2_S1"
    assert manifest["classes"][:2] == ["angry", "disgust"]
    assert manifest["trained"]["source"] == "real"
    assert manifest["trained"]["choice"] == "the last epoch"
    assert manifest["trained"]["revision"] == "abc"
    assert sorted(manifest["files"]) == sorted(seen_runtime.FILES)
    assert sorted(os.listdir(written)) == sorted([*seen_runtime.FILES, "manifest.json"])
    for program in bundle.PROGRAMS:
        figures = manifest["parity"][program]
        assert figures["num_windows"] == 4
        assert figures["share_equal"] == 1
        assert figures["largest_relative"] < 1e-5


def test_the_bundle_predicts_as_the_evaluation_does(folder, written):
    restored = run.restore(folder)
    batch = restored.batches.batch(0)
    expected = restored.predict_fn()(batch)
    for backend in bundle.PROGRAMS:
        runtime = seen_runtime.load(written, backend)
        got = runtime.predict(batch["event_frames"], batch["intensity_frames"])
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-7)


def test_the_bundles_own_program(written, tmp_path):
    """From another folder, with none of our code on the path."""
    frames = np.random.default_rng(0).integers(0, 256, (6, 90, 90), np.uint8)
    for name in ("events", "frames"):
        (tmp_path / name).mkdir()
        for i, frame in enumerate(frames):
            np.save(tmp_path / name / f"{i:05d}.npy", frame)
    program = written / "seen_runtime.py"
    flags = ["--events=events", "--frames=frames", "--rate=0", "--json"]
    done = subprocess.run(
        [sys.executable, "-I", program, *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [x["frame"] for x in result["predictions"]] == [2, 3, 4, 5]
    assert (result["predicted"], result["filling"]) == (4, 2)


def test_out_and_in_again_bit_by_bit(folder, written, tmp_path):
    config = default.get_config()
    config.num_event_frames = 2
    back = tmp_path / "back"
    assert published.import_checkpoint(written / "seen.pt", back, config) == 1
    with contextlib.closing(Checkpoints(back, "last", read_only=True)) as saved:
        found, facts = saved.restore_variables(0)
    assert facts["epoch"] == 1
    expected = run.restore(folder).variables
    same = jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), found, expected)
    assert all(jax.tree.leaves(same))


def test_an_imported_run_is_evaluated_and_says_what_it_is(folder, written, tmp_path):
    data_dir = folder.parent / "data"
    back = tmp_path / "back"
    flags = [f"--checkpoint={written / 'seen.pt'}", f"--workdir={back}"]
    fields = [f"--config.data_dir={data_dir}", "--config.num_event_frames=2"]
    code, said = export("import", *flags, *fields, "--config.skip=1")
    assert code == 0 and "epoch 1 ->" in said, said
    restored = run.restore(back)
    words = "the last epoch: imported from seen.pt (epoch 1), trained and chosen"
    assert restored.facts["choice"].startswith(words)
    batch = restored.batches.batch(0)
    np.testing.assert_array_equal(
        restored.predict_fn()(batch), run.restore(folder).predict_fn()(batch)
    )


def test_an_imported_run_is_trained_on(folder, written, tmp_path):
    back = tmp_path / "back"
    fields = dict(num_event_frames=2, num_epochs=1, batch_size=3, eval_passes=1)
    fields["data_dir"] = str(folder.parent / "data")
    config = default.get_config()
    config.update(fields)
    published.import_checkpoint(written / "seen.pt", back, config)
    overrides = [f"--config.{name}={value}" for name, value in fields.items()]
    command_line = [sys.executable, "train.py", "--config=configs/default.py"]
    done = subprocess.run(
        [*command_line, f"--workdir={back}", *overrides],
        cwd=runs.ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "weights imported from seen.pt, epoch 1" in done.stdout + done.stderr
    facts = run.restore(back).facts
    assert facts["step"] == 4
    assert "; fine-tuned from seen.pt (epoch 1)" in facts["choice"]


def test_what_is_not_exported(folder, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    code, said = export("torch", "--workdir", folder, "--out", tmp_path)
    assert code == 1 and "expected a new folder, an empty one or a bundle" in said
    (tmp_path / "manifest.json").write_text('{"name": "of another program"}')
    assert export("torch", "--workdir", folder, "--out", tmp_path)[0] == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"
    restored = run.restore(folder)
    other = restored.model.clone(readout="last_spike")
    restored = dataclasses.replace(restored, model=other)
    with pytest.raises(ValueError, match="readout: expected 'mean_membrane'"):
        bundle.write_bundle(restored, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_bundle_that_does_not_agree_is_not_written(folder, tmp_path, monkeypatch):
    fold = seen_runtime.fold

    def wrong(state_dict, *args):
        folded = fold(state_dict, *args)
        folded["fc2_bias"][0] += 0.1
        return folded

    monkeypatch.setattr(seen_runtime, "fold", wrong)
    with pytest.raises(ValueError, match="torch: expected JAX's logits") as e:
        bundle.write_bundle(run.restore(folder), tmp_path / "new")
    assert str(e.value).count("of its largest logit") == 4  # each window is named
    assert not list(tmp_path.iterdir())


def test_the_same_network_in_float64(folder):
    restored = run.restore(folder)
    _, inputs = bundle.windows(restored.batches, 2)
    assert bundle.same_in_float64(restored, *inputs).tolist() == [True, True]


def test_another_network_is_not_excused_by_rounding(folder, monkeypatch):
    fold = seen_runtime.fold

    def wrong(state_dict, *args):
        folded = fold(state_dict, *args)
        folded["fc2_bias"][0] += 1e-6
        return folded

    monkeypatch.setattr(seen_runtime, "fold", wrong)
    restored = run.restore(folder)
    _, inputs = bundle.windows(restored.batches, 2)
    assert bundle.same_in_float64(restored, *inputs).tolist() == [False, False]


def test_a_bundle_is_replaced_whole(folder, written):
    before = seen_runtime.read_manifest(written)
    (written / "seen-0123abcd.engine").write_text("of the old one")
    bundle.write_bundle(run.restore(folder), written)
    assert seen_runtime.read_manifest(written)["files"].keys() == before["files"].keys()
    assert not (written / "seen-0123abcd.engine").exists()


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"intensity": "all"}, "expected the weights of the config"),
        ({"kernels": "own"}, "expected the weights of the config"),
        ({"select": "test"}, "select: expected 'last'"),
    ],
)
def test_an_import_that_does_not_fit(written, tmp_path, fields, words):
    config = default.get_config()
    config.update(fields)
    with pytest.raises(ValueError, match=words):
        published.import_checkpoint(written / "seen.pt", tmp_path / "back", config)
    assert not (tmp_path / "back").exists()


def test_an_import_into_a_folder_with_something_in_it(folder, written):
    with pytest.raises(ValueError, match="expected a new or empty folder"):
        published.import_checkpoint(written / "seen.pt", folder, default.get_config())
