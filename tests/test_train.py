"""train.py as a user runs it: real processes, killed and stopped at several moments."""

import re
import shutil
import signal

import numpy as np
import pytest

from seen_jax.training.checkpoint import Checkpoints
from seen_jax.training.rows import chosen_row, read_rows
from tests.helpers import python, read_board
from tests.lab import FIELDS, Lab, wait_for
from tests.training import runs

# train.py, but that a signal comes when it asks for one for the n-th time.
SIGNALLED = """
import os, runpy, signal, sys
from seen_jax.training import hosts

asked, moment = hosts.Stop.asked, int(sys.argv.pop(1))

def asked_then(self):
    if self._num_asked + 1 == moment:
        os.kill(os.getpid(), signal.SIGTERM)
    return asked(self)

hosts.Stop.asked = asked_then
runpy.run_path("train.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def lab(module_folder):
    return Lab(module_folder)


@pytest.fixture(scope="module")
def whole(lab):
    """A run that nothing disturbed."""
    code, output = lab.run("whole")
    assert code == 0, output
    return output


def test_what_a_run_says(whole):
    lines = whole.splitlines()
    assert lines[0].startswith("process 0 of 1; devices: 1 x cpu (cpu); JAX")
    assert "E1_S0, real data, 3 steps per epoch" in whole
    assert "\ntraining: 10 clips\ntest: 4 clips\n" in whole
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == FIELDS["num_epochs"] + 1
    for line in epochs:
        if "WAR" in line:
            assert "chosen on the test split" in line


def test_what_a_run_leaves(lab, whole):
    folder = lab.root / "whole"
    rows = read_rows(folder)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["step"] for row in rows] == [3, 6, 9, 12]
    rates = [0.015 * 0.94**epoch for epoch in range(FIELDS["num_epochs"])]
    np.testing.assert_allclose([row["learning_rate"] for row in rows], rates, rtol=1e-5)
    assert [len(row.get("passes", ())) for row in rows] == [0, 2, 0, 2]
    for row in rows:
        assert 0 < row["loss"] < 3
        assert round(10 * row["accuracy"], 9) % 1 == 0  # of 10 clips, each counted once
    for row in rows[1::2]:
        assert row["war"] == np.mean([x["overall"]["WAR"] for x in row["passes"]])
        assert round(4 * row["passes"][0]["overall"]["WAR"], 9) % 1 == 0
    assert (folder / "curves.svg").read_text().startswith("<svg ")
    best = max(rows[1::2], key=lambda row: (row["war"], row["step"]))
    assert chosen_row(rows, "test") == best
    checkpoints = Checkpoints(folder, read_only=True)
    assert checkpoints.steps() == sorted({best["step"], 9, 12})
    checkpoints.close()
    saved = runs.saved(folder, 12)
    assert saved["config"]["select"] == "test"
    assert saved["epoch"] == 4 and len(saved["git"]) > 6 and set(saved["records"])


VALIDATION = {"select": "validation", "validation_volunteers": 1}
OPTIONS = {
    "bfloat16 and validation": {"precision": "bfloat16", **VALIDATION},
    "networks of Table 2": dict(
        kernels="own", attention="own", readout="mean_spike", intensity="first",
        surrogate="triangle",
    ),
}  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_options_train_and_are_evaluated(lab, options):
    fields = {"num_epochs": 1, "eval_passes": 1, **options}
    run = "-".join(options)
    code, output = lab.run(run, **fields)
    assert code == 0, output
    rows = lab.rows(run)
    split = "validation" if "select" in options else "test"
    assert [row["split"] for row in rows] == [split]
    done = python("eval.py", f"--workdir={lab.root / run}", "--passes=1")
    assert done.returncode == 0, done.stderr
    assert {"test": "test split"}.get(split, "volunteers held out") in done.stdout


def test_tensorboard_has_the_published_tags(lab, whole):
    board = read_board(lab.root / "whole")
    scalars = {tag: [step for step, _ in values] for tag, values in board.items()}
    assert scalars["train/loss"] == scalars["train/lr"] == [1, 2, 3, 4]
    # TensorBoard's writers turn the published `=` into `_`, the published one's too.
    assert {
        "train/acc", "test_num/1", "test_num/2", "acc/neutral",
        "Metrics/UAR-average", "Metrics/WAR-average", "Metrics/F1-p_0.33-average",
        "situation/Overexposed--average", "situation/Low--average",
    } <= set(scalars)  # fmt: skip
    assert scalars["Metrics/WAR-average"] == [2, 4]


def test_killed_and_stopped_at_several_moments_it_ends_the_same(lab, whole):
    folder = lab.root / "killed"
    saves = folder / "checkpoints"

    def saving(step):
        return lambda: bool(list(saves.glob(f"{step}.orbax-checkpoint-tmp*")))

    def noted(epoch):
        return lambda: len(read_rows(folder)) >= epoch

    # Before anything is saved; in the middle of a save; in the evaluation of an epoch
    # that is saved; and between its line and the checkpoint's metrics, or just after.
    saved = (saves / "6").is_dir
    begun = (folder / "config.json").exists
    for moment in (begun, saving(3), saved, noted(2), saving(9)):
        process = lab.start("killed")
        wait_for(moment, process, "the moment to kill it")
        process.kill()
        process.communicate()
    assert list(saves.glob("*tmp*")), "the save was over before the kill"
    process = lab.start("killed")
    while "resumes after" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "stopped and saved at step" in output
    code, output = lab.run("killed")
    assert code == 0, output
    assert not list(saves.glob("*tmp*"))
    assert lab.rows(folder.name) == lab.rows("whole")
    assert runs.digests(folder) == runs.digests(lab.root / "whole")


def test_stopped_where_an_epoch_is_to_be_evaluated_it_saves_and_evaluates_later(
    lab, whole
):
    folder = lab.root / "stopped"

    # At the end of epoch 2, within its evaluation, and at the end of the last one: each
    # of three steps an epoch and of two passes asks whether to stop.
    for moment, step, evaluated in (("6", 6, 0), ("2", 6, 0), ("8", 12, 1)):
        code, output = lab.run("stopped", program=("-c", SIGNALLED, moment))
        assert code == 128 + signal.SIGTERM, output
        assert f"stopped and saved at step {step}" in output
        assert output.count("WAR") == evaluated  # one epoch late
        assert runs.saved(folder, step)["epoch"] == step // 3
    code, output = lab.run("stopped")
    assert code == 0, output
    assert lab.rows(folder.name) == lab.rows("whole")
    assert runs.digests(folder) == runs.digests(lab.root / "whole")
    best = chosen_row(read_rows(folder), "test")["step"]
    assert {int(x.name) for x in (folder / "checkpoints").iterdir()} == {best, 9, 12}
    code, again = lab.run("stopped")  # done is done
    assert code == 0 and "epoch 4/4" in output and "epoch 4/4" not in again


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_run_that_resumes_with_another_program_says_so(lab, whole):
    kernel = "XLA and the kernel in C"
    assert f"computed by {kernel}\n" in whole
    assert runs.saved(lab.root / "whole", 12)["program"] == kernel
    shutil.copytree(lab.root / "whole", lab.root / "program")
    code, output = lab.run("program", before="export CC=no-such-cc;")
    assert code == 0 and "from the host, computed by XLA\n" in output, output
    assert output.count("no kernel in C: no-such-cc is not installed") == 1
    words = f"resumes after step 12, which {kernel} computed: sums are rounded"
    assert words in output


def test_a_loss_that_is_not_finite_ends_the_run(lab):
    """Without a checkpoint it starts again with another config, else not."""
    # The second epoch's rate is 0.015e38: its first step overflows the weights.
    fields = {"learning_rate_decay": 1e38, "select": "last"}
    code, output = lab.run("diverged", **fields, eval_every=3, checkpoint_every=3)
    assert code == 1
    words = r"loss: expected a finite number at step [56] \(epoch 2\), got"
    assert re.search(words, output), output
    assert "there is no checkpoint yet" in output and "Traceback" not in output

    code, output = lab.run("diverged", **fields, eval_every=2)
    assert code == 1 and re.search(words, output), output
    line = "a run that left no checkpoint starts again with eval_every: 3 -> 2\n"
    assert line in output
    assert "the last good checkpoint is kept (step 3)" in output
    checkpoints = Checkpoints(lab.root / "diverged", read_only=True)
    assert checkpoints.steps() == [3]
    checkpoints.close()

    code, output = lab.run("diverged", **fields, eval_every=3)
    assert code == 1 and "eval_every: 2 -> 3" in output


def test_a_disk_without_room_is_an_error_that_says_so(lab, whole):
    # No file may grow beyond 1 MB, where a checkpoint has 25.
    code, output = lab.run("full", before="ulimit -f 1024;")
    assert code == 1
    place = lab.root / "full" / "checkpoints"
    assert f"{place}: expected a folder that can be written" in output
    assert "File too large" in output


def test_a_workdir_that_cannot_be_written_is_told_before_opening_the_data(lab):
    (lab.root / "file").touch()
    code, output = lab.run("file/run", data_dir="absent")
    assert code == 1 and "run: expected a place that can be written" in output


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"learning_rte": 0.1}, "learning_rte: expected a field of configs/default.py"),
        ({"network": "cnn"}, "network: expected seen or a variant of it, which a bund"),
    ],
)
def test_fields_that_are_not_right_are_refused(lab, fields, words):
    code, output = lab.run("refused", ["--for_export"], **fields)
    assert code == 1
    (line,) = [line for line in output.splitlines() if not line.startswith("process")]
    assert line.startswith(words)
    assert not (lab.root / "refused").exists()
