"""eval.py as a user runs it, on the checkpoint of a network that never trained."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from seen_jax import see
from seen_jax.data.records import Records
from seen_jax.errors import UserError
from seen_jax.evaluation import __main__ as report_command
from seen_jax.evaluation import examples, provenance
from seen_jax.evaluation.restored import evaluate as evaluate_run
from seen_jax.evaluation.restored import open_batches, restore
from seen_jax.evaluation.results import read_results
from seen_jax.training import rows, workdir
from seen_jax.training.fields import BEFORE
from tests import helpers, samples
from tests.helpers import ROOT, ROTATED

# What compiles in less than a second is kept, too.
ENV = {"JAX_PLATFORMS": "cpu", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def evaluate(folder, *flags):
    command = [sys.executable, "eval.py", f"--workdir={folder}", *flags]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | ENV, text=True, capture_output=True
    )
    return done.returncode, done.stdout, done.stderr


# By class in the order of the records: what the checkpoint of step 6 always says.
CHANCES = np.arange(7, 0, -1) / 28


@pytest.fixture(scope="module")
def folder(module_folder):
    """A workdir as train.py leaves it, after steps 3 and 6; step 3 was the best.

    Its classes have another order than SEE's. In step 6 the last layer has biases
    alone, which are the logits where there is one event frame.
    """
    certain = helpers.untrained(1)
    fc2 = certain["params"]["fc2"]
    fc2["kernel"], fc2["bias"] = 0 * fc2["kernel"], np.log(CHANCES).astype(np.float32)
    root, wars = module_folder / "of a run", {3: 0.5, 6: 0.25}
    fields = {"num_event_frames": 1, "skip": 0, "batch_size": 3, "select": "test"}
    return helpers.write_run(root, wars, {6: certain}, ROTATED, **fields)


def test_an_evaluation(folder, tmp_path):
    code, output, errors = evaluate(folder, "--passes=2")
    assert code == 0, errors
    out = folder / "evaluation" / "test_3"
    assert output.strip().endswith(str(out))
    assert "real data, test split (published), E1_S0" in output
    assert "epoch 1 (step 3), chosen on the test split" in output
    assert "2 passes, windows drawn with seed 2022" in output
    assert "--passes=2" in output and "LaTeX" in output
    assert f"'--workdir={folder}'" in output  # quoted: it has a blank
    assert any((folder.parent / "compilation_cache").iterdir())
    files = sorted(path.name for path in out.iterdir())
    assert files == [provenance.FILE, examples.FILE, "test_1.json", "test_2.json"]
    (results,) = read_results(out, ROTATED)
    assert results.scores.shape == (2, 4, 7)  # of 14 clips every third, in batches of 3
    np.testing.assert_allclose(results.scores.sum(axis=-1), 1, rtol=1e-5)
    facts = provenance.read(out)
    assert facts["labels"] == [*ROTATED]
    assert (facts["step"], facts["trained_at"], facts["passes"]) == (3, "abc", 2)
    efficiency = facts["efficiency"]
    assert efficiency["num_parameters"] == 6_078_655  # as in the paper
    assert 0 <= efficiency["spikes_per_input"] < 1
    assert efficiency["num_clips"] == 4
    # One event frame: 23 x 23 x 256 neurons of 9 * 64 inputs, 6 x 6 x 512 of 9 * 256.
    spiking = 23 * 23 * 256 * 576 + 6 * 6 * 512 * 2304 + 18432 * 256 + 256 * 7
    assert efficiency["spiking_macs"] == spiking
    # Of the published counts, (1.454 - 0.907) / 3 = 0.1823 G are a frame's.
    assert efficiency["macs"] == pytest.approx(0.907e9 - 3 * 0.1823e9, rel=2e-3)
    assert "Horowitz" in output and "6,078,655 parameters" in output

    page = tmp_path / "report.html"
    report_command.main(["report", str(out), "--html", str(page)])
    text = page.read_text()
    # Ones of this project's simulator would be "simulated".
    assert "SEEN, E1_S0, reads seven emotions of people" in text and "real; " in text
    assert "chosen on the test split" in text and "Examples" in text
    # One window in the first screen; among the examples each of the four clips.
    assert text.count('<figure class="window">') == 1 + 4
    without_data = re.sub(r'(src="data:|href="#|xmlns=")[^"]*"', "", text)
    assert not re.search("https?:|src=|href=|url\\(|<script", without_data)

    # Another place, another checkpoint: the same windows, and names of the records.
    again, cache = tmp_path / "again", tmp_path / "cache"
    elsewhere = [f"--out={again}", f"--compilation_cache={cache}"]
    code, output, errors = evaluate(folder, "--passes=1", "--step=6", *elsewhere)
    assert code == 0, errors
    assert any(cache.iterdir())
    assert "epoch 2 (step 6), named by its step" in output
    one, other = map(examples.load, (out, again))
    assert sorted(one.clips) == sorted(other.clips) and len(one.clips) == 4
    np.testing.assert_array_equal(
        one.event_frames[one.clips.argsort()], other.event_frames[other.clips.argsort()]
    )
    content = json.loads((again / "test_1.json").read_text())["results"]
    for ranking in content.values():
        assert [x["label"] for x in ranking] == [*ROTATED]
        np.testing.assert_allclose([x["score"] for x in ranking], CHANCES, rtol=1e-5)


def test_an_error_has_no_traceback(folder, tmp_path):
    code, _, errors = evaluate(tmp_path)
    assert code == 1
    assert f"{tmp_path}: expected the folder of a run" in errors
    assert "Traceback" not in errors


def test_a_folder_that_cannot_be_written_is_told_before_opening_the_data(
    folder, tmp_path
):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    code, _, errors = evaluate(folder, f"--out={out}", "--data_dir=absent")
    assert code == 1
    assert errors.startswith(f"{out}: expected a place that can be written")


@pytest.mark.parametrize(
    "split, step, words",
    [
        ("dev", None, "split: expected one of test, train, validation, got 'dev'"),
        ("validation", None, "split: expected test or train, since no volunteers"),
        ("test", 4, r"step: expected one of \[3, 6\], which .* has, got 4"),
    ],
)
def test_what_is_not_there(folder, split, step, words):
    with pytest.raises(ValueError, match=words):
        open_batches(restore(folder, step), split)


def changed(folder, tmp_path, **fields):
    """Copies the run, with other fields in its config, or without those of `...`."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    with samples.edited(copy / workdir.CONFIG_FILE) as content:
        config = content["config"] | fields
        content["config"] = {name: x for name, x in config.items() if x is not ...}
    return copy


def test_a_run_that_is_older_than_some_fields(folder, tmp_path):
    copy = changed(folder, tmp_path, **dict.fromkeys(BEFORE, ...))
    run, expected = restore(copy), restore(folder)
    assert run.facts["network"] == "seen" and run.config == expected.config
    assert run.model == expected.model


def test_other_records(folder, tmp_path):
    data_dir = helpers.build_records(tmp_path, 1, (6,))
    copy = changed(folder, tmp_path, data_dir=str(data_dir))
    words = "expected the .* records that this run was trained with"
    with pytest.raises(UserError, match=words):
        open_batches(restore(copy))


def test_a_run_that_moved_with_its_data(folder, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder.parent, copy)
    with samples.edited(copy / "run" / workdir.CONFIG_FILE) as content:
        content["config"]["data_dir"] = "data/that/was/here"
    run = restore(copy / "run")
    assert open_batches(run).images.path.is_relative_to(copy / "data")
    store = tmp_path / "decoded"
    batches = open_batches(run, data_dir=str(folder.parent / "data"), store_dir=store)
    assert batches.images.path.parent == store

    (copy / "data").rename(tmp_path / "moved again")
    with pytest.raises(UserError, match=r"--data_dir=DIR of eval\.py"):
        open_batches(run)
    places = f"--out={tmp_path / 'out'}", f"--data_dir={tmp_path / 'moved again'}"
    code, output, errors = evaluate(copy / "run", "--passes=1", *places)
    assert code == 0 and "4 clips, 30 frames per second" in output, errors


def test_each_part_of_the_records_is_opened_once(folder, monkeypatch):
    opened, plain = [], Records.__init__

    def noted(self, directory, split):
        opened.append(split)
        plain(self, directory, split)

    monkeypatch.setattr(Records, "__init__", noted)
    open_batches(restore(folder))
    assert sorted(opened) == ["test", "train"]


def test_weights_of_another_config(folder, tmp_path):
    copy = changed(folder, tmp_path, kernels="own")
    with pytest.raises(ValueError, match="weights of the config") as error:
        restore(copy)
    assert "conv1_cat_t" in str(error.value) and "got absent" in str(error.value)
    assert "6 do not fit" in str(error.value)


def test_volunteers_that_were_held_out(folder, tmp_path):
    copy = changed(folder, tmp_path, select="validation", validation_volunteers=1)
    restored = restore(copy)
    assert restored.facts["choice"].startswith("chosen on volunteers held out")
    parts = {x: open_batches(restored, x).clips for x in ("train", "validation")}
    names = [set(part.names) for part in parts.values()]
    assert len(names[0]) == len(names[1]) == 5 and not names[0] & names[1]
    people = [set(part.metadata["volunteer"]) for part in parts.values()]
    assert len(people[1]) == 1 and not people[0] & people[1]
    assert len(open_batches(restored, "test").clips) == 4
    assert len(open_batches(restore(folder), "train").clips) == 10  # nobody is held out
    batches = open_batches(restored, "validation")
    assert evaluate_run(restored, batches, 1).shape == (1, 5, 7)  # on two devices


def test_wherever_the_images_are_the_evaluation_is_the_same(folder, tmp_path):
    with jax.enable_x64(True):  # in float32 a spike may hang on the order of a sum
        probabilities = []
        for images in ("store", "device", "records"):
            copy = changed(folder, tmp_path / images, images=images)
            restored = restore(copy)
            batches = open_batches(restored)
            variables = helpers.in_float64(restored.variables)
            restored = replace(restored, variables=variables)
            probabilities.append(evaluate_run(restored, batches, 2))
    expected, *others = probabilities
    assert expected.shape == (2, 4, 7) and expected.dtype == np.float64
    for other in others:
        np.testing.assert_allclose(other, expected, rtol=1e-9)


def test_records_with_classes_in_another_order_are_refused(folder, tmp_path):
    restored = restore(folder)
    facts = restored.facts | {"labels": [*see.EMOTIONS]}
    with pytest.raises(UserError, match="expected the classes of the run, angry"):
        open_batches(replace(restored, facts=facts))


def test_a_run_that_is_not_done_says_so(folder, tmp_path):
    copy = changed(folder, tmp_path, num_epochs=30, select="last")
    words = "the latest checkpoint of a run that is not done, 2 of 30 epochs"
    assert restore(copy).facts["choice"] == words


def test_no_checkpoint(folder, tmp_path):
    copy = changed(folder, tmp_path)
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(UserError, match="expected checkpoints, got none"):
        restore(copy)
    (copy / "checkpoints").mkdir()
    with pytest.raises(UserError, match="expected a checkpoint, got none"):
        restore(copy)


def test_a_run_whose_rows_are_gone_asks_for_a_step(folder, tmp_path):
    copy = changed(folder, tmp_path)
    (copy / rows.FILE).unlink()
    with pytest.raises(UserError, match=r"that was evaluated, got none; .* \[3, 6\]"):
        restore(copy)
    assert restore(copy, step=6).facts["choice"] == "named by its step"


@pytest.mark.parametrize(
    "fields, got",
    [
        ({"readout": ...}, "got readout: expected a value"),
        ({"num_event_frames": 0}, "a config.*got 0"),
        ({"num_event_frames": "4"}, "a config.*got '4'"),
    ],
)
def test_a_config_that_is_not_right(folder, tmp_path, fields, got):
    copy = changed(folder, tmp_path, **fields)
    with pytest.raises(ValueError, match=rf"config\.json: expected .*{got}"):
        restore(copy)
