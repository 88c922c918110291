"""The benchmark of an evaluation runs its stages; no test judges its seconds."""

import json

import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.errors import UserError
from tests import helpers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return helpers.write_run(
        tmp_path_factory.mktemp("benchmark"),
        {3: 0.5},
        num_event_frames=1,
        skip=0,
        batch_size=3,
    )


def test_every_stage_is_measured(folder, capsys):
    options = ["--workdir", str(folder), "--passes", "2"]
    before = sorted(folder.rglob("*"))
    assert benchmarks.main(["evaluation", *options, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    names = ["imports", "restore", "passes", "observe", "write", "report"]
    assert [*result["seconds"]] == names
    assert result["total_seconds"] == pytest.approx(sum(result["seconds"].values()))
    assert result["seconds_per_pass"] == result["seconds"]["passes"] / 2
    assert (result["setting"], result["clips"], result["passes"]) == ("E1_S0", 4, 2)
    assert result["observed_clips"] == 4
    assert sorted(folder.rglob("*")) == before  # nothing is left

    assert benchmarks.main(["evaluation", *options]) == 0
    text = capsys.readouterr().out.splitlines()
    assert text[0].startswith("E1_S0, 4 clips, 2 passes, 4 clips observed; ")
    assert text[-1].endswith(" s a pass")


def test_a_run_that_is_not_there(tmp_path):
    with pytest.raises(
        UserError, match="expected the folder of a run, got one without"
    ):
        benchmarks.main(["evaluation", f"--workdir={tmp_path}"])
