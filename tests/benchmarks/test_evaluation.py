"""The benchmark of an evaluation runs its stages; no test judges its seconds."""

import json

import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks import evaluation
from seen_jax.errors import UserError
from tests.helpers import write_run


def test_every_stage_is_measured(tmp_path, capsys):
    fields = {"num_event_frames": 1, "skip": 0, "batch_size": 3}
    folder = write_run(tmp_path, {3: 0.5}, **fields)
    before = sorted(folder.rglob("*"))
    options = [f"--workdir={folder}", "--passes=2", "--json"]
    assert benchmarks.main(["evaluation", *options]) == 0
    result = json.loads(capsys.readouterr().out)
    names = ["imports", "restore", "passes", "observe", "write", "report"]
    assert [*result["seconds"]] == names
    assert result["total_seconds"] == pytest.approx(sum(result["seconds"].values()))
    assert result["seconds_per_pass"] == result["seconds"]["passes"] / 2
    assert sorted(folder.rglob("*")) == before  # nothing is left
    first, *_, last = evaluation.to_text(result).splitlines()
    assert first.startswith("E1_S0, 4 clips, 2 passes, 4 clips observed; ")
    assert last.endswith(" s a pass")


def test_a_run_that_is_not_there(tmp_path):
    words = "expected the folder of a run, got one without"
    with pytest.raises(UserError, match=words):
        benchmarks.main(["evaluation", f"--workdir={tmp_path}"])
