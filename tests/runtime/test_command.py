"""The program for the board as a command: what it prints, and what it refuses."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import BackendError
from tests.helpers import ROOT
from tests.runtime.bundles import SOURCE, normalised, plain_runtime, write_clip


def test_the_command_prints(loaded, clock, tmp_path, capsys):
    options = write_clip(tmp_path, 16)
    os.remove(tmp_path / "event" / "00007.npy")
    assert seen_runtime.main([*options, "--bundle", "B", "--backend", "torch"]) == 0
    assert loaded == [("B", "torch")]
    out, err = capsys.readouterr()
    assert err == ""
    # exp(1) / (exp(1) + 6) = 0.312
    shares = "angr  11  disg  11  fear  11  happ  31  neut  11  sadn  11  surp  11"
    assert out.splitlines() == [
        *(f"{n:05d}  happiness  {shares}      0.0 ms" for n in (12, 13, 14)),
        "windows     frames 16, predicted 3, missed 0, filling 11, incomplete 1, "
        "waiting 1",
        "events      received 15, dropped 1, late 0, too_late 0, ahead 0, restarts 0",
        "intensities received 16, dropped 0, late 0, too_late 0, ahead 0, restarts 0",
        "latency_ms  p50 0, p95 0, p99 0",
        "gaps        event frame 7",
        "device      plain Python",
    ]


def test_the_command_and_a_clip_that_is_too_short(loaded, clock, tmp_path, capsys):
    options = write_clip(tmp_path, 12)
    assert seen_runtime.main([*options, "--json"]) == 1
    assert loaded == [(str(SOURCE.parent), "auto")]
    out, err = capsys.readouterr()
    assert err == (
        "frames: expected 13 of both kinds in a row, which one window spans (4 event "
        "frames, 3 left out between two), got 12 and no whole window; play more, or "
        "see what was dropped\n"
    )
    result = json.loads(out)
    assert result["predictions"] == []
    assert result["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert seen_runtime.main(options) == 1
    assert "latency_ms  none\n" in capsys.readouterr().out


def test_ctrl_c_ends_the_command(loaded, clock, tmp_path, monkeypatch, capsys):
    def sleep(seconds):
        clock.now += seconds
        if clock.now > 13.5 / 30:
            raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", sleep)
    assert seen_runtime.main(write_clip(tmp_path, 16)) == 130
    out, err = capsys.readouterr()
    assert [line[:5] for line in out.splitlines()] == ["00012", "00013"] and err == ""


def test_the_command_and_what_it_cannot_play(dummy, tmp_path, capsys):
    options = write_clip(tmp_path / "clip", 1)
    assert seen_runtime.main([*options, "--bundle", str(tmp_path / "none")]) == 1
    assert "none: expected a bundle, with manifest.json" in capsys.readouterr().err
    (dummy / "seen.ts").write_bytes(b"")
    assert seen_runtime.main([*options, "--bundle", str(dummy)]) == 1
    assert "seen.ts: expected 17 bytes of SHA-256 " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        seen_runtime.main([*options, "--backend", "jax"])
    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["9" * 12, "9" * 18])
def test_the_command_and_a_frame_of_a_far_away_time(
    loaded, clock, tmp_path, capsys, name
):
    options = write_clip(tmp_path, 16)
    np.save(tmp_path / "event" / f"{name}.npy", np.zeros((60, 60), np.uint8))
    assert seen_runtime.main(options) == 1
    assert capsys.readouterr().err == (
        f"frames: expected numbers that play within a day, got 0 to {name} at 30 Hz; "
        "number frames by their period, 0, 1, 2, ...\n"
    )
    assert clock.now == 0
    assert seen_runtime.main([*options, "--rate", "1e-300"]) == 1
    assert "at 1e-300 Hz; number" in capsys.readouterr().err
    assert seen_runtime.main([*options, "--rate", "0"]) == 0


def cannot_start(bundle, manifest):
    raise RuntimeError("CUDA error: out of memory\n\nsee CUDA_LAUNCH_BLOCKING\n")


def cannot_compute(bundle, manifest):
    return "plain Python", lambda *x: np.zeros(3) @ np.zeros(2)


@pytest.mark.parametrize(
    "start, words",
    [
        (
            cannot_start,
            "backend torch: expected to start, got RuntimeError: CUDA error: out of "
            "memory see CUDA_LAUNCH_BLOCKING; fix it, or choose another backend\n",
        ),
        (cannot_compute, "plain Python: expected a window computed, got ValueError: "),
    ],
)
def test_the_command_and_a_backend_that_fails(
    dummy, tmp_path, monkeypatch, capsys, start, words
):
    backend = seen_runtime.Backend("torch", "json", start)
    monkeypatch.setitem(seen_runtime.BACKENDS, "torch", backend)
    options = [*write_clip(tmp_path / "clip", 1), "--bundle", str(dummy)]
    assert seen_runtime.main([*options, "--backend", "torch"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(words) and err.count("\n") == 1
    with pytest.raises(BackendError) as caught:
        seen_runtime.load(str(dummy), "torch").logits(*normalised(1))
    assert f"{caught.value}\n" == err
    assert caught.value.__context__ is not None


def test_shares_of_classes_that_begin_alike(clock, tmp_path, monkeypatch, capsys):
    names = ["zoom in", "zoom out", *"abcde"]
    runtime = plain_runtime(classes=names)
    monkeypatch.setattr(seen_runtime, "load", lambda *_: runtime)
    assert seen_runtime.main([*write_clip(tmp_path, 13), "--bundle", "B"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert "zoom i  " in first and "zoom o  " in first


def test_the_readmes_python(bundle, tmp_path):
    write_clip(tmp_path / "data" / "clip", 20)
    (tmp_path / "data" / "quickstart").mkdir()
    (tmp_path / "data" / "quickstart" / "bundle").symlink_to(bundle)
    blocks = re.findall("```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (block,) = [x for x in blocks if "quickstart/bundle" in x]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-c", block]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "emotions.png").stat().st_size > 10_000
