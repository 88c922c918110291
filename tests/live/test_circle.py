"""The whole circle: a camera, labels by keys, a dataset, a network, live again."""

import asyncio
import csv
import functools
import json

import aiohttp
import pytest

from tests.cameras.server_process import free_ports
from tests.helpers import python
from tests.live.programs import camera, live, virtual_davis
from tests.live.viewers import Browser

LABELS = ["resting", "busy"]
HOLD_US = 1_000_000
LIMIT_S = 60


def call(*command):
    """Runs a command; returns what it printed."""
    done = python(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def head_where(browser, condition):
    """Shows messages until a condition holds of one; returns its head."""
    head = {}
    try:
        async with asyncio.timeout(LIMIT_S):
            while not ("number" in head and condition(head)):
                head, _ = await browser.see()
    except TimeoutError:
        pytest.fail(f"{head.get('status')}, {browser.refused}")
    return head


async def hold_each(port, names):
    """Watches a page, and holds each label for a second of the camera's time."""
    url = f"http://127.0.0.1:{port}/socket"
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(url, max_msg_size=0) as socket,
    ):
        browser = Browser(socket)
        until = functools.partial(head_where, browser)
        await until(lambda head: head["probabilities"])
        for name in names:
            await browser.say(press=name)
            begin = await until(lambda head: head["status"]["held"] == name)  # noqa: B023
            end_us = begin["time_us"] + HOLD_US
            await until(lambda head: head["time_us"] >= end_us)  # noqa: B023
            await browser.say(release=True)
            await until(lambda head: not head["status"]["held"])
        assert browser.refused == []


def record(folder, bundle, log, who, source):
    """Records a second of each label of a person."""
    options = f"--record={folder}", f"--volunteer={who}", "--seconds=600"
    port, labels = int(free_ports()[0]), f"--labels={','.join(LABELS)}"
    with live(source, bundle, port, log, *options, labels) as process:
        asyncio.run(hold_each(port, LABELS))
        process.terminate()
        assert process.wait(60) == 130, log.read_text()


@pytest.mark.environments
def test_from_a_camera_to_a_network_of_what_it_saw(bundle, tmp_path):
    names = "in/CLIPS.csv", "see", "data", "run", "bundle", "log", "camera.log"
    clips, see_dir, data, run, out, log, camera_log = (tmp_path / x for x in names)
    with virtual_davis(1, tmp_path / "1.log") as source:
        record(clips.parent, bundle, log, "1", source)
    with camera(camera_log) as source:
        record(clips.parent, bundle, log, "2", source)
    with open(clips, newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [(x["volunteer"], x["label"]) for x in rows] == [
        (who, label) for who in ("1", "2") for label in LABELS
    ]
    call("-m", "seen_jax.recordings", f"--clips={clips}", f"--out={see_dir}")
    call("datasets/see_tfds/build.py", see_dir, data)
    fields = {"data_dir": data, "dataset": "published", "batch_size": 2}
    fields |= {"num_epochs": 1, "eval_every": 1, "eval_passes": 1}
    fields |= {"num_event_frames": 2, "skip": 1}  # compiles faster than the default
    overrides = [f"--config.{name}={value}" for name, value in fields.items()]
    call("train.py", "--config=configs/demo.py", f"--workdir={run}", *overrides)
    export = f"--workdir={run}", f"--out={out}", "--formats=native"
    call("-m", "seen_jax.export", "bundle", *export)
    options = f"--bundle={out}", "--no_page", "--json", "--seconds=3"
    with camera(camera_log) as source:
        said = call("-m", "seen_jax.live", source, *options)
    predictions = [json.loads(line) for line in said.splitlines()]
    assert predictions
    for each in predictions:
        assert sorted(each["probabilities"]) == sorted(LABELS)
        assert sum(each["probabilities"].values()) == pytest.approx(1, abs=1e-5)
