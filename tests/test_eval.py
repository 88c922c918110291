"""eval.py as a user runs it, on the checkpoint of a network that never trained."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from seen_jax import see
from seen_jax.evaluation import __main__ as report_command
from seen_jax.evaluation import provenance, run, shown, writing
from seen_jax.evaluation.results import read_results
from seen_jax.training import workdir
from tests import runs
from tests.helpers import ROOT

# What compiles in less than a second is kept, too.
ENV = {"JAX_PLATFORMS": "cpu", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def evaluate(folder, *flags):
    command = [sys.executable, "eval.py", f"--workdir={folder}", *flags]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | ENV,
        text=True,
        capture_output=True,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A workdir as train.py leaves it, after steps 3 and 6; step 3 was the best."""
    return runs.write_run(
        tmp_path_factory.mktemp("eval of a run"),
        {3: 0.5, 6: 0.25},
        num_event_frames=1,
        skip=0,
        batch_size=3,
        select="test",
    )


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
    assert files == [provenance.FILE, shown.FILE, "test_1.json", "test_2.json"]
    (found,) = read_results(out)
    assert found.scores.shape == (2, 4, 7)  # of 14 clips every third, in batches of 3
    np.testing.assert_allclose(found.scores.sum(axis=-1), 1, rtol=1e-5)
    facts = provenance.read(out)
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
    assert report_command.main(["report", str(out), "--html", str(page)]) == 0
    text = page.read_text()
    assert "<h1>Emotion recognition on real data</h1>" in text
    assert "chosen on the test split" in text and "Examples" in text
    # Lighting, confusions, calibration, attention, rates; there was no training that
    # has curves. Scores, two intensity frames and an event frame for each window.
    windows = text.count('<figure class="window">')
    assert windows == 4 + text.count("<figure", text.index("Most confident mistakes"))
    assert text.count('src="data:image/png;base64,') == 5 + 4 * windows
    without_data = re.sub(r'src="data:[^"]*"', "", text)
    assert not re.search("https?:|src=|href=|url\\(|<script", without_data)

    # Another place, another checkpoint of the same weights: the same windows.
    again, cache = tmp_path / "again", tmp_path / "cache"
    elsewhere = [f"--out={again}", f"--compilation_cache={cache}"]
    code, output, errors = evaluate(folder, "--passes=2", "--step=6", *elsewhere)
    assert code == 0, errors
    assert any(cache.iterdir())
    assert "epoch 2 (step 6), named by --step" in output
    (again,) = read_results(again)
    np.testing.assert_allclose(again.scores, found.scores, rtol=1e-6)


def test_an_error_has_no_traceback(folder, tmp_path):
    code, _, errors = evaluate(tmp_path)
    assert code == 1
    assert f"eval.py: {tmp_path}: expected the folder of a run" in errors
    assert "Traceback" not in errors


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
        run.restore(folder, split, step)


def changed(folder, tmp_path, **fields):
    """Copies the run, with another config beside its checkpoints."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    content = json.loads((copy / workdir.CONFIG_FILE).read_text())
    content["config"].update(fields)
    (copy / workdir.CONFIG_FILE).write_text(json.dumps(content))
    return copy


def test_other_records(folder, tmp_path):
    data_dir = runs.build_records(tmp_path, 1, (6,))
    copy = changed(folder, tmp_path, data_dir=str(data_dir))
    words = "expected the train records that this run was trained with"
    with pytest.raises(ValueError, match=words):
        run.restore(copy)


def test_weights_of_another_config(folder, tmp_path):
    copy = changed(folder, tmp_path, kernels="own")
    with pytest.raises(ValueError, match="weights of the config") as error:
        run.restore(copy)
    assert "conv1_cat_t" in str(error.value) and "got absent" in str(error.value)
    assert "6 do not fit" in str(error.value)


def test_volunteers_that_were_held_out(folder, tmp_path):
    copy = changed(folder, tmp_path, select="validation", validation_volunteers=1)
    restored = run.restore(copy, "validation")
    assert restored.facts["choice"].startswith("chosen on volunteers held out")
    assert writing.default_directory(restored) == copy / "evaluation" / "validation_3"
    writing.write_evaluation(restored, tmp_path / "out", 1, "")  # on two devices
    (found,) = read_results(tmp_path / "out")
    assert len({name.volunteer for name in found.names}) == 1
    assert len(found.names) == 5  # of the 10 for training
    held_out = {*restored.batches.provider.records.names}
    kept = {*run.restore(copy, "train").batches.provider.records.names}
    assert len(kept) == len(held_out) == 5 and not kept & held_out
    people = [{see.ClipName.parse(x).volunteer for x in y} for y in (kept, held_out)]
    assert not people[0] & people[1]
    assert len(run.restore(copy, "test").batches.provider.records.names) == 4


def test_a_run_that_is_not_done_says_so(folder, tmp_path):
    copy = changed(folder, tmp_path, num_epochs=30, select="last")
    words = "the latest checkpoint of a run that is not done, 2 of 30 epochs"
    assert run.restore(copy).facts["choice"] == words


def test_without_held_out_volunteers_all_of_the_training_part_is_train(folder):
    assert len(run.restore(folder, "train").batches.provider.records.names) == 10


def test_no_checkpoint(folder, tmp_path):
    copy = changed(folder, tmp_path)
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(FileNotFoundError, match="expected checkpoints, found none"):
        run.restore(copy)
    (copy / "checkpoints").mkdir()
    with pytest.raises(FileNotFoundError, match="expected a checkpoint, found none"):
        run.restore(copy)


def test_more_passes_are_there_already(folder, tmp_path):
    for number in (1, 2):
        (tmp_path / f"test_{number}.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no pass after 1, found test_2\.json"):
        writing.write_evaluation(run.restore(folder), tmp_path, 1, "")


def truncate(step):
    for path in (step / "variables").rglob("*"):
        if path.is_file() and path.stat().st_size > 10_000:
            path.write_bytes(path.read_bytes()[:5000])


def without_variables(step):
    shutil.rmtree(step / "variables")


@pytest.mark.parametrize("spoil", [truncate, without_variables])
def test_a_checkpoint_that_is_not_whole(folder, tmp_path, spoil):
    copy = changed(folder, tmp_path)
    spoil(copy / "checkpoints" / "6")
    words = r"checkpoints/6: expected a whole checkpoint, got .*; copy it again"
    with pytest.raises(ValueError, match=words):
        run.restore(copy, step=6)


def test_a_config_that_lacks_fields(folder, tmp_path):
    copy = changed(folder, tmp_path)
    content = json.loads((copy / workdir.CONFIG_FILE).read_text())
    del content["config"]["readout"]
    (copy / workdir.CONFIG_FILE).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"config\.json: expected .* got no readout"):
        run.restore(copy)


@pytest.mark.parametrize("value, got", [(0, "got 0"), ("4", "got '>='")])
def test_a_config_with_other_values(folder, tmp_path, value, got):
    copy = changed(folder, tmp_path)
    content = json.loads((copy / workdir.CONFIG_FILE).read_text())
    content["config"]["num_event_frames"] = value
    (copy / workdir.CONFIG_FILE).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"config\.json: expected a config.*{got}"):
        run.restore(copy)


FACTS = {name: kind(3) for name, kind in provenance.FACTS.items()}


@pytest.mark.parametrize(
    "facts, got",
    [
        ([], "no source"),
        ({"source": "real"}, "no dataset"),
        (FACTS | {"passes": "3"}, '"3" as passes'),
        (FACTS | {"passes": True}, "true as passes"),
        (FACTS | {"efficiency": None}, "nothing as efficiency"),
        (FACTS | {"efficiency": {"macs": 3}}, r'\{"macs": 3\} as efficiency'),
        (FACTS | {"curves": 3}, "3 as curves"),
        (FACTS | {"curves": [{"epoch": 1}]}, r'\[\{"epoch": 1\}\] as curves'),
        (
            FACTS | {"curves": [{"epoch": 1, "loss": 2, "accuracy": 0, "war": 1}]},
            r"\[.*\] as curves",
        ),
    ],
)
def test_provenance_that_is_not_of_the_form(tmp_path, facts, got):
    (tmp_path / provenance.FILE).write_text(json.dumps(facts))
    words = rf"evaluation\.json: expected .*, got {got}; evaluate again or remove it"
    with pytest.raises(ValueError, match=words):
        provenance.read(tmp_path)


def test_provenance_that_is_no_json(tmp_path):
    (tmp_path / provenance.FILE).write_text("{")
    with pytest.raises(ValueError, match=r"evaluation\.json: expected JSON"):
        provenance.read(tmp_path)
    with pytest.raises(ValueError, match="got no dataset"):
        provenance.write(tmp_path, {"source": "real"})


def test_provenance_written_and_read(tmp_path):
    rows = [{"epoch": 1, "loss": 2, "accuracy": 0.5}]
    rows += [rows[0] | {"split": "test", "war": 0.5, "uar": 0.5}]
    provenance.write(tmp_path, FACTS | {"curves": rows})
    assert provenance.read(tmp_path) == FACTS | {"curves": rows}
    assert "3 passes, windows drawn" in provenance.to_text(FACTS)
    assert "1 pass, windows drawn" in provenance.to_text(FACTS | {"passes": 1})
