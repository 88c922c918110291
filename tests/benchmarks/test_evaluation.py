"""The benchmark of an evaluation runs its stages; its seconds are nobody's test."""

import json

import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from tests import runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return runs.write_run(
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
    found = json.loads(capsys.readouterr().out)
    names = ["imports", "restore", "passes", "observe", "write", "report"]
    assert [*found["seconds"]] == names
    assert found["total_seconds"] == pytest.approx(sum(found["seconds"].values()))
    assert found["seconds_per_pass"] == found["seconds"]["passes"] / 2
    assert (found["setting"], found["clips"], found["passes"]) == ("E1_S0", 4, 2)
    assert found["observed_clips"] == 4
    assert sorted(folder.rglob("*")) == before  # nothing is left

    assert benchmarks.main(["evaluation", *options]) == 0
    text = capsys.readouterr().out.splitlines()
    assert text[0].startswith("E1_S0, 4 clips, 2 passes, 4 clips observed; ")
    assert text[-1].endswith(" s a pass")
