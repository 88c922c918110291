"""The benchmark of growth: real points of the smallest size, and its table by hand."""

import json

import pytest

from seen_jax.benchmarks import __main__ as benchmarks

pytest.importorskip("torch", reason="PyTorch is not in the ordinary install")
from seen_jax.benchmarks import scale
from seen_jax.benchmarks.programs import HERE, PLAIN


def test_points_run_and_one_that_fails_says_why(monkeypatch, capsys):
    assert [*scale.POINTS] == benchmarks.GROWTH
    small = "step --setting=E1_S0 --batch_size=2 --devices=2 --clips=5"
    points = {"devices": {2: small, 9: "step --clips=many"}}
    monkeypatch.setattr(scale, "POINTS", points)
    options = "--only devices --rounds 1 --seconds 0 --json"
    assert benchmarks.main(["scale", *options.split()]) == 1
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert [*result] == ["devices", "failed"]
    (point,) = result["devices"].values()
    assert point["what"] == "step, E1, batch 2, random images and weights"
    for text in (result["failed"]["step --clips=many"], err.strip()):
        assert text.endswith("expected an integer of at least 0, got 'many'")


def test_text_by_hand():
    # 2, 3 and 4 steps a second take 500, 333.3 and 250 ms: quartiles 416.7 and 291.7.
    # Of 8 windows each they are 8 * 3 windows a second.
    calls = {PLAIN: {"per_s": [2.0, 3.0, 4.0]}, HERE: {"per_s": [5.0]}}
    point = {"calls": calls, "batch_size": 8, "ratio": 2.5, "machine": "M"}
    first, *_, row, warning = scale.to_text({"batch": {8: point}}).splitlines()
    ms = "333.3 +- 62.5 (250.0) 200.0 no spread (200.0)"
    assert " ".join(row.split()) == f"batch 8 {ms} 24.0 40.0 2.50*"
    assert first.endswith("; M")
    assert f" for batch 8, {PLAIN} (spread by the clock). " in warning
