"""A camera's recording through the program for the board, on the host."""

import json

import numpy as np
import pytest

from seen_jax.cameras.aedat4 import write_aedat4
from seen_jax.errors import run_command
from seen_jax.event_folder import clip_images
from seen_jax.events import Recording
from seen_jax.runtime import seen_runtime
from seen_jax.runtime.__main__ import main
from tests.runtime.bundles import plain_runtime
from tests.samples import random_events


@pytest.fixture
def recording(tmp_path):
    """600 ms of 30 x 20 pixels, and its file."""
    events = random_events(5_000, 600_000, 20, 30)
    times_us = np.arange(0, 600_000, 40_000)
    frames = np.random.default_rng(0).integers(0, 256, (15, 20, 30), np.uint8)
    path = tmp_path / "a.aedat4"
    write_aedat4(path, events, times_us, frames)
    return path, Recording(events, times_us, frames, (30, 20))


def run(arguments):
    return run_command(lambda: main(arguments), seen_runtime.ERRORS)


def options(path, *more):
    return [str(path), "--bundle", "B", "--crop", "5,0,20", "--rate", "0", *more]


def test_a_recording_gives_emotions(loaded, recording, capsys):
    path, _ = recording
    main(options(path, "--json", "--backend", "torch"))
    assert loaded == [("B", "torch")]
    result = json.loads(capsys.readouterr().out)
    # 600 ms are 18 periods of 33.333 ms.
    assert result["frames"] == 18
    assert [x["frame"] for x in result["predictions"]] == list(range(12, 18))
    assert result["device"] == "plain Python"


def test_the_period_is_the_bundles(recording, monkeypatch, capsys):
    runtime = plain_runtime(frames_per_s=25)
    monkeypatch.setattr(seen_runtime, "load", lambda *_: runtime)
    main(options(recording[0], "--json"))
    # 600 ms are 15 periods of 40 ms: 3 windows of 13 frames.
    assert len(json.loads(capsys.readouterr().out)["predictions"]) == 3


def test_it_plays_the_images_that_events_writes(loaded, recording, monkeypatch):
    played = []
    monkeypatch.setattr(seen_runtime, "play", lambda *x: played.append(x))
    path, whole = recording
    start_us = int(whole.events.t[0]) - 500
    extra = ["--start_us", str(start_us), "--period_us", "50001/3", "--pixel", "sum"]
    main([*options(path, *extra), "--rate", "60"])
    expected = clip_images(
        whole, crop=(5, 0, 20), start_us=start_us, period_us=16667, pixel="sum"
    )
    _, frames, *settings = played[0]
    assert settings == [60, False]
    for got, images in zip(
        frames, (expected.event_frames, expected.intensity_frames), strict=True
    ):
        assert list(got) == list(range(len(images)))
        np.testing.assert_array_equal(list(got.values()), images)


def test_what_cannot_be_played(loaded, recording, tmp_path, capsys):
    path, _ = recording
    for arguments, words in (
        (options(tmp_path / "none.aedat4"), "got no such file"),
        ([*options(path), "--crop", "20,0,20"], "crop"),
        ([*options(path), "--start_us", "999999999"], "start_us: expected at most"),
        (options(path, "--period_us=100000"), "got 6 and no whole window; play more"),
    ):
        assert run(arguments) == 1
        assert words in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(path)])
    assert "--bundle" in capsys.readouterr().err
