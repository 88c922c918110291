"""The table of seeds, with its arithmetic."""

import json
import os
import subprocess
import sys

import pytest

from seen_jax.errors import UserError
from seen_jax.training import seeds, workdir
from tests.helpers import ROOT, make_row


def make_run(folder, seed, wars, **fields):
    path = folder / f"seed_{seed}"
    path.mkdir()
    config = {"seed": seed, "select": "last", "batch_size": 4, "data_dir": "data"}
    config |= {"num_epochs": len(wars)} | fields
    workdir.check_config(path, config, {"train": "abc"})
    lines = ""
    for epoch, war in enumerate(wars, 1):
        row = make_row(epoch)
        if war is not None:
            row = make_row(epoch, "test", war=war)
            row["mean"] = {
                kind: {x: y and war for x, y in part.items()}
                for kind, part in row["mean"].items()
            }
        lines += json.dumps(row) + "\n"
    (path / "metrics.jsonl").write_text(lines)
    return path


def test_mean_and_spread(tmp_path, capsys, monkeypatch):
    # 60, 70 and 80 %: mean 70, standard deviation sqrt((100 + 0 + 100) / 2) = 10.
    for seed, war in ((9, 0.6), (10, 0.7), (11, 0.8)):
        make_run(tmp_path, seed, [0.9, None, war])
    monkeypatch.setattr(sys, "argv", ["seeds", str(tmp_path)])
    seeds.main()
    text = (tmp_path / "seeds.md").read_text()
    assert text in capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0].startswith("Percent of test clips; the last epoch; 3 seeds")
    assert lines[4].startswith("| 9 | 3 | 60.0 | 60.0 |")
    assert lines[5].startswith("| 10 | 3 | 70.0 |")
    assert lines[7].startswith("| mean | | 70.0 | 70.0 |")
    assert lines[8].startswith("| spread | | 10.0 | 10.0 |")
    assert lines[8].endswith("|  |")  # HDR: no clips
    assert len({line.count("|") for line in lines[2:]}) == 1


def test_the_best_epoch_where_the_run_chose_so(tmp_path):
    make_run(tmp_path, 1, [0.2, 0.9, 0.9, None, 0.1], select="test")
    text = seeds.compare(tmp_path)
    assert "| 1 | 3 | 90.0 |" in text and "chosen on the test split" in text


@pytest.mark.parametrize(
    "runs, words",
    [
        ([], r"expected runs in seed_\*, got none"),
        ([([None], {})], "expected a run of 1 epoch, got 0 evaluated"),
        ([([0.2, 0.3], {"num_epochs": 5})], "of 5 epochs, got 2 evaluated; train"),
        ([([0.2], {}), ([0.2], {"batch_size": 8})], "the seed, got batch_size: 4 -> 8"),
        ([([0.2, 0.3], {}), ([0.2], {})], "but for the seed, got num_epochs: 2 -> 1"),
    ],
)
def test_runs_without_a_table_are_refused(tmp_path, runs, words):
    for seed, (wars, fields) in enumerate(runs):
        make_run(tmp_path, seed, wars, **fields)
    with pytest.raises(UserError, match=words):
        seeds.compare(tmp_path)


SCRIPT = str(ROOT / "launch" / "seeds.sh")


def test_the_commands_of_the_script():
    command = ["bash", SCRIPT, "runs/a b", "--config=configs/demo.py"]
    variables = os.environ | {"PYTHON": "echo", "SEEDS": "7 8"}
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    assert done.stdout.splitlines() == [
        "train.py --workdir=runs/a b/seed_7 --config=configs/demo.py --config.seed=7",
        "eval.py --workdir=runs/a b/seed_7 --out=runs/a b/seed_7/evaluation/test",
        "train.py --workdir=runs/a b/seed_8 --config=configs/demo.py --config.seed=8",
        "eval.py --workdir=runs/a b/seed_8 --out=runs/a b/seed_8/evaluation/test",
        "-m seen_jax.training.seeds runs/a b",
        "-m seen_jax.evaluation report a b=runs/a b/seed_*/evaluation/test",
    ]


def test_the_script_wants_a_folder_before_the_flags():
    command = ["bash", SCRIPT, "--config=configs/demo.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("--config=configs/demo.py: expected a FOLDER")
