"""The data benchmark runs every way to load windows; no test judges the rates."""

import json

import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks import clips, data, timing
from tests.helpers import memory_records


@pytest.mark.parametrize("num_clips", [0, 9])
def test_the_command_measures_every_way(num_clips, monkeypatch, capsys, tmp_path):
    records = memory_records(tmp_path, [9] * 5)
    monkeypatch.setattr(data, "open_records", lambda *args: records)
    fast = ["--rounds=2", "--seconds=0.02", f"--clips={num_clips}"]
    assert benchmarks.main(["data", "--data_dir=here", *fast, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [*result["windows"]] == ["store", "records", data.PLAIN]
    assert len(result["windows"]["store"]["per_s"]) == 2
    lines = data.to_text(result).splitlines()
    assert lines[0].startswith("E4_S3, batch 32, ")
    (plain,) = (line for line in lines if line.startswith(data.PLAIN))
    assert plain.split()[-1].rstrip(timing.MARK) == "1.00"  # over itself


def test_what_looks_like_postscript_is_not_decoded():
    with pytest.raises(OSError, match="cannot identify"):
        clips.decode_rgb([b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
