"""The command: recordings, servers and the simulator to emotions, and how it ends."""

import contextlib
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from seen_jax.cameras import digest
from seen_jax.cameras.aedat4 import write_aedat4
from seen_jax.cameras.sources import read_recording
from seen_jax.errors import run_command
from seen_jax.event_folder import clip_images
from seen_jax.live.__main__ import as_fields, main
from seen_jax.live.engine import Engine
from seen_jax.live.intake import QUIET_S, arrivals
from seen_jax.runtime import seen_runtime
from tests.cameras.server_process import ORIGIN, free_ports, sent, served
from tests.helpers import ROOT, cpu_environment
from tests.live.programs import program
from tests.live.streams import SIZE, recording_of
from tests.runtime.bundles import THREE_LEVELS, write_manifest

PERIOD_US = Fraction(10**6, 30)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """One second of 30 x 20 pixels, and its file."""
    recording = recording_of(1_000_000, every_us=25_000)
    path = tmp_path_factory.mktemp("recording") / "a.aedat4"
    parts = recording.events, recording.times_us, recording.intensity_frames
    write_aedat4(path, *parts)
    return path, recording


def run(*arguments):
    """Runs the command in this process: its status, and lines of both outputs."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        words = ["--no_page", *map(str, arguments)]
        status = run_command(lambda: main(words), seen_runtime.ERRORS)
    return status, out.getvalue().splitlines(), err.getvalue().splitlines()


def expected_of(recording, runtime, crop, period_us=PERIOD_US):
    """What `event_folder` and `replay` make of a recording."""
    images = clip_images(recording, crop=crop, period_us=period_us)
    both = images.event_frames, images.intensity_frames
    frames = [dict(enumerate(x)) for x in both]
    predictions = []
    options = dict(rate=0, on_prediction=lambda x, ms: predictions.append(x))
    seen_runtime.replay(runtime, *frames, **options)
    return predictions


def assert_same(rows, predictions):
    assert [x["frame"] for x in rows] == [x.number for x in predictions]
    assert [x["emotion"] for x in rows] == [x.emotion for x in predictions]
    for row, prediction in zip(rows, predictions, strict=True):
        shares = np.float32(list(row["probabilities"].values()))
        np.testing.assert_array_equal(shares, prediction.probabilities)


def test_a_recording_gives_what_its_replay_gives(bundle, runtime, recording):
    path, whole = recording
    predictions = expected_of(whole, runtime, (5, 0, SIZE))
    options = f"--bundle={bundle}", f"--crop=5,0,{SIZE}", "--json", "--backend=native"
    status, out, err = run(path, *options, "--speed=0")
    assert status == 0
    rows = [json.loads(line) for line in out]
    assert_same(rows, predictions)
    assert len(rows) == 18  # 30 periods, of which a window spans 13
    assert all(0 < x["latency_ms"] < 60_000 for x in rows)
    assert list(rows[0]["probabilities"]) == runtime.manifest["classes"]
    assert list(rows[0]["spikes"]) == list(seen_runtime.LAYERS)
    assert err[0] == (
        "periods     periods 30, predicted 18, filling 12, incomplete 0, missed 0, "
        "dropped 0, stale 0"
    )
    assert err[1] == "events      10000"
    assert re.fullmatch(r"latency     p50 [\d.]+ ms, p99 [\d.]+ ms from a.*", err[2])
    assert err[3] == "device      the kernel in C"

    status, out, err = run(path, *options[:2], "--backend=native", "--speed=5")
    assert (status, err) == (0, [])
    lines = [re.match(r"(\d{5})  (\w+) +\d+ %  +[\d.]+ ms", x) for x in out[:-4]]
    names = {x.number: x.emotion for x in predictions}
    for line in lines:
        assert names[int(line[1])] == line[2]


@pytest.fixture(scope="module")
def fast_bundle(bundle, tmp_path_factory):
    """The bundle for periods of 10 ms, as the tests' server has them."""
    folder = tmp_path_factory.mktemp("fast")
    for path in bundle.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    write_manifest(folder, **THREE_LEVELS, frames_per_s=100)
    return folder


def test_a_server_gives_what_a_recording_of_it_gives(fast_bundle):
    runtime, ports = seen_runtime.load(str(fast_bundle), "native"), free_ports()
    expected = expected_of(sent(), runtime, (5, 0, 30), 10_000)
    options = dict(period_us=10_000, patience_us=200_000, seconds=60)
    stream = arrivals(f"tcp://127.0.0.1:{','.join(ports)}", **options)
    engine, rows = Engine(runtime, (5, 0, 30)), []
    with served(ORIGIN, *ports):
        for arrival in stream:
            moments = engine.take([arrival])
            rows += [as_fields(x, runtime) for x in moments if x.latency_ms is not None]
            if arrival.period.index == 27:  # the server gives no frame behind the next
                break
        stream.close()
    assert_same(rows, [x for x in expected if x.number <= 27])
    assert len(rows) == 16
    assert engine.counts["dropped"] == 0


@contextlib.contextmanager
def started(*arguments):
    """The command in a process of its own, as a stream of rows of --json."""
    command = [sys.executable, "-m", "seen_jax.live", "--json", "--no_page"]
    command += ["--backend=native", *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT}
    options |= {"env": cpu_environment(1), "text": True}
    with subprocess.Popen(command, **options) as process:
        try:
            yield process, map(json.loads, process.stdout)
        finally:
            process.kill()


def interrupted(process, rows):
    """Sends Ctrl-C; returns the rows that are left, and what was said."""
    process.send_signal(signal.SIGINT)
    rest, err = [*rows], process.stderr.read()
    assert process.wait(timeout=60) == 130
    assert "Traceback" not in err
    return rest, err


@contextlib.contextmanager
def left_by_its_server(bundle, *flags):
    """The command, its rows and the first one; the server's ports, where it was."""
    ports = free_ports()
    source = f"tcp://127.0.0.1:{','.join(ports)}"
    with contextlib.ExitStack() as stack:
        with served(ORIGIN, *ports):
            options = source, f"--bundle={bundle}", "--crop=5,0,30", *flags
            process, rows = stack.enter_context(started(*options))
            first = next(rows)
        yield process, rows, first, ports


def test_a_server_that_starts_again(fast_bundle):
    with left_by_its_server(fast_bundle) as (process, rows, first, ports):
        time.sleep(1.5 * QUIET_S)
        with served(ORIGIN - 10**9, *ports):
            second = next(x for x in rows if x["time_us"] < ORIGIN)
            _, err = interrupted(process, rows)
    assert first["time_us"] > ORIGIN
    assert "the stream ended and came back: what it sent meanwhile is lost\n" in err
    assert "the camera's clock restarted, and so do the windows\n" in err
    source = f"tcp://127.0.0.1:{','.join(ports)}"
    assert f"{source}: no data from the source; waiting\n" in err
    assert second["dropped"] == 1  # by which the index tells the streams apart


def test_seconds_end_it_while_a_server_is_gone(fast_bundle):
    with left_by_its_server(fast_bundle, "--seconds=4") as (process, *_):
        begin = time.monotonic()
        process.communicate()
        assert process.returncode == 0
        assert time.monotonic() - begin < 15  # of 30, for which it is tried again


def test_what_is_recorded_gives_the_same_even_after_kill(bundle, runtime, tmp_path):
    """The simulator, killed by SIGKILL; then its recording, by the ordinary way."""
    options = f"--bundle={bundle}", f"--record={tmp_path}"
    with started("simulator:3", *options) as (process, lines):
        part, rows = tmp_path / "00000.part.aedat4", []
        while not part.exists() or part.stat().st_size < 2 << 20:  # more than a second
            rows.append(next(lines))
        process.kill()
    path = tmp_path / "00000.aedat4"
    deadline = time.monotonic() + 60
    while not digest.beside(path).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert {x.name for x in tmp_path.iterdir()} == {path.name, f"{path.name}.sha256"}
    digest.check(path)
    recording = read_recording(path)
    names = {x.number: x for x in expected_of(recording, runtime, (0, 0, 180))}
    rows = [row for row in rows if row["frame"] in names]  # some were on their way
    assert rows
    assert_same(rows, [names[row["frame"]] for row in rows])


def test_a_recording_that_cannot_be_written(bundle, recording, tmp_path):
    place = tmp_path / "file"
    place.touch()
    options = f"--bundle={bundle}", "--backend=native", "--speed=0", "--crop=5,0,20"
    status, out, err = run(recording[0], *options, f"--record={place}")
    assert (status, out, len(err)) == (1, [], 1)
    assert err[0].startswith(f"{place}: expected a place that can be written")
    status, out, err = run(recording[0], *options, f"--record={tmp_path / 'new'}")
    assert (status, out[-1], err) == (
        0, f"recorded    {tmp_path / 'new' / '00000.aedat4'}", []
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["none.aedat4"], "none.aedat4: expected a recording, got no such file; check"),
        (["FILE", "--crop=11,0,20"], "--crop: expected a square within the 30 x 20 p"),
        (["FILE"], "--crop: expected a square within the 30 x 20 pixels of the sensor"),
        (["FILE", "--bundle=none"], "none: expected a bundle, with manifest.json, got"),
        (["FILE", "--backend=torch"], "expected a bundle with a format for the backen"),
        (["FILE", "--trust=00"], "expected SHA-256 00, got "),
        (["tcp:localhost"], "source: expected tcp://HOST:PORT,PORT or unix:PATH,PATH"),
        (["tcp://127.0.0.1:PORT"], "expected a server at 127.0.0.1:"),
        (["simulator:x"], "source: expected simulator or simulator:SEED, got"),
        (["FILE", "--labels=a,A"], "--labels: expected different names, got a,A"),
        (["FILE", "--labels=a/b"], "--labels: expected names of at most 200 bytes"),
        (["FILE", "--volunteer= "], "--volunteer: expected printable text, got ' '"),
        (["FILE", "--video=a.avi"], "--video: expected a file .mp4 or .gif, got a.avi"),
        (["FILE", "--video=/none/a.gif"], "--video: expected a folder that exists, g"),
    ],
)
def test_bad_input_is_one_line(arguments, words, bundle, recording):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    places = {"FILE": str(recording[0]), "PORT": port}
    for name, place in places.items():
        arguments = [x.replace(name, place) for x in arguments]
    status, out, err = run(f"--bundle={bundle}", "--backend=native", *arguments)
    assert (status, out, len(err)) == (1, [], 1)
    assert words in err[0]


def test_a_recording_shorter_than_a_window(bundle, tmp_path):
    short = recording_of(200_000)
    path = tmp_path / "short.aedat4"
    write_aedat4(path, short.events, short.times_us, short.intensity_frames)
    options = "--crop=5,0,20", "--speed=0", "--backend=native"
    status, out, err = run(path, f"--bundle={bundle}", *options)
    assert status == 1
    assert out[2] == "latency     none"
    assert err == [
        f"{path}: expected 13 periods in a row, a window, got 6 and no whole window; "
        "play more, or see what was dropped"
    ]


def test_what_is_left_of_a_recording(bundle, recording, tmp_path):
    """Its table at the end is gone; the remedy that is named is there."""
    path, content = tmp_path / "cut.aedat4", recording[0].read_bytes()
    path.write_bytes(content[: 3 * len(content) // 4])
    options = f"--bundle={bundle}", "--crop=5,0,20", "--speed=0", "--backend=native"
    status, out, err = run(path, *options)
    assert (status, out, "--recover" in err[-1]) == (1, [], True)
    status, out, err = run(path, *options, "--recover", "--json")
    assert status == 0 and len(out) > 5


def test_arguments_that_are_refused(bundle, recording, capsys):
    wrong = "--seconds=0", "--seconds=x", "--speed=-1", "--speed=nan", "--port=65536"
    for argument in (*wrong, "--seconds=nan", "--record="):
        with pytest.raises(SystemExit):
            main([str(recording[0]), f"--bundle={bundle}", argument])
        name, _, value = argument.partition("=")
        err = capsys.readouterr().err
        assert re.search(f"argument {name}: expected .*, got '{value}'", err)


def test_who_reads_the_output_may_have_enough(bundle, recording):
    options = f"--bundle={bundle}", "--crop=5,0,20", "--speed=1"
    with started(recording[0], *options) as (process, rows):
        next(rows)
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=60) == 141
    assert "Broken pipe" not in err and "Traceback" not in err


def test_a_film_of_a_recording_has_all_of_its_time(bundle, recording, tmp_path):
    """30 periods; no moment is lost though the film is drawn more slowly."""
    path = tmp_path / "a.gif"
    options = f"--bundle={bundle}", "--crop=5,0,20", "--speed=0", f"--video={path}"
    status, out, err = run(recording[0], *options, "--backend=native")
    assert (status, out[-1], err) == (0, f"film        {path}", [])
    with Image.open(path) as image:
        frames = [image.seek(i) or image.info for i in range(image.n_frames)]
    # 967 ms from the first period's end to the last one's: ten pictures, and the last.
    assert sum(x["duration"] for x in frames) == 1100


def test_a_page_for_others_wants_the_token_that_is_printed(bundle, recording, tmp_path):
    options = f"--bundle={bundle}", "--crop=5,0,20", "--speed=0.05", "--port=0"
    arguments = recording[0], *options, "--host=0.0.0.0", "--backend=native"
    log = tmp_path / "log"
    with program("seen_jax.live", *arguments, said="127.0.0.1", log=log):
        (url,) = re.findall(r"^page +(http://127.+)$", log.read_text(), re.MULTILINE)
        place, _, token = url.partition("?token=")
        assert len(token) >= 16
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(place).close()
        cookies = urllib.request.HTTPCookieProcessor()
        with urllib.request.build_opener(cookies).open(url) as answer:
            assert (answer.status, answer.url) == (200, place)
            assert b"SEEN" in answer.read()


def test_the_simulator_until_ctrl_c(bundle):
    """Its lines come as it happens; Ctrl-C ends it with a summary."""
    with started("simulator:3", f"--bundle={bundle}") as (process, lines):
        rows = [next(lines) for _ in range(20)]
        rest, err = interrupted(process, lines)
    rows += rest
    assert rows[0]["frame"] >= 12
    assert {x["label"] for x in rows[:20]} <= {"angry", "disgust"}
    assert all(x["latency_ms"] > 5 for x in rows)  # an intensity frame is waited for
    assert f" predicted {len(rows)}, " in err
