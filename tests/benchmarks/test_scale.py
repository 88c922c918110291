"""The benchmark of growth: real points of the smallest size, and its table by hand."""

import json

import pytest

from seen_jax.benchmarks import __main__ as benchmarks

pytest.importorskip("torch", reason="PyTorch is not in the ordinary install")
from seen_jax.benchmarks import scale
from seen_jax.benchmarks.arguments import HERE, PLAIN

SMALL = ["step", "--setting=E1_S0", "--batch_size=2"]


def test_points_run(monkeypatch, capsys, tmp_path):
    points = {"devices": {2: [*SMALL, "--devices=2", "--clips=5"], 9: ["stop"]}}
    monkeypatch.setattr(scale, "POINTS", points)
    plot = tmp_path / "plot.png"
    options = ["--only", "devices", "--rounds", "1", "--seconds", "0"]
    assert benchmarks.main(["scale", *options, "--json", "--plot", str(plot)]) == 1
    out, err = capsys.readouterr()
    assert "stop --device=cpu" in err  # the point that fails
    result = json.loads(out)
    assert [*result] == ["devices", "failed"]
    (point,) = result["devices"].values()
    assert point["what"] == "step, E1, batch 2, random images and weights"
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_point_that_fails_says_why():
    with pytest.raises(
        RuntimeError, match=r"step --clips=many: .* of at least 0, got 'many'$"
    ):
        scale.measure_point(["step", "--clips=many"])


def test_text_by_hand():
    # 2 steps a second take 500 ms; of 8 windows each, 16 windows a second.
    calls = {PLAIN: {"per_s": [2.0]}, HERE: {"per_s": [5.0]}}
    point = {"calls": calls, "batch_size": 8, "ratio": 2.5, "machine": "M"}
    first, *_, row = scale.to_text({"batch": {8: point}}).splitlines()
    ms = ["500.0", "no", "spread", "(500.0)", "200.0", "no", "spread", "(200.0)"]
    assert row.split() == ["batch", "8", *ms, "16.0", "40.0", "2.50"]
    assert first.endswith("; M")


def test_a_point_of_a_busy_machine():
    calls = {PLAIN: {"per_s": [2.0, 3.0, 4.0]}, HERE: {"per_s": [6.0] * 3}}
    point = {"calls": calls, "batch_size": 8, "ratio": 2.0, "machine": "M"}
    *_, row, warning = scale.to_text({"batch": {8: point}}).splitlines()
    assert row.endswith(" 2.00*")
    assert f" for batch 8, {PLAIN} (spread by the clock). " in warning
