"""A bundle in the board's Python 3.6, with its torch, without Pillow and with it.

It downloads 900 MB; `-m "not environments"` leaves it out.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seen_jax import images
from seen_jax.runtime import seen_runtime
from tests.runtime import board
from tests.runtime.bundles import make_manifest, three_levels, write_clip

TORCH = ["torch==1.10.2", "numpy==1.19.5", "typing-extensions<4.2", "dataclasses"]
PILLOW = ["pillow<9", "--no-deps"]
SIZES = (17, 60, 89, 90, 91, 180, 181, 260)


def find_python36():
    """An interpreter of 3.6, and its version: on the path, or one of pyenv."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    paths = [shutil.which("python3.6"), *sorted(root.glob("versions/3.6*/bin/python"))]
    for path in filter(None, paths):
        show = [path, "-c", "import platform; print(platform.python_version())"]
        version = subprocess.run(show, capture_output=True, text=True).stdout.strip()
        if version.startswith("3.6."):  # pyenv's shims are there without one
            return str(path), version
    pytest.skip("no Python 3.6 on the path or of pyenv")


@pytest.fixture(scope="module")
def python36():
    """Runs Python 3.6 in a folder, with torch, and with Pillow where that is wanted."""
    python, version = find_python36()
    # This environment's pip, which knows what 3.6 takes, is three times as fast as the
    # one that comes with 3.6.
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    pip += ["--no-compile", "--only-binary=:all:", "--implementation=cp"]
    pip += ["--abi=cp36m", f"--python-version={version}"]
    place = tempfile.mkdtemp()  # 2 GB, which pytest would keep
    places = [f"{place}/torch", f"{place}/pillow"]

    def run(folder, *arguments, pillow=False):
        env = {k: x for k, x in os.environ.items() if not k.startswith("PYTHON")}
        env["PYTHONPATH"] = os.pathsep.join(places[: 1 + pillow])
        command = [python, *map(str, arguments)]
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        for target, wanted in zip(places, (TORCH, PILLOW), strict=True):
            command = [*pip, f"--target={target}", *wanted]
            installed = subprocess.run(command, capture_output=True, text=True)
            if installed.returncode:
                reason = installed.stderr.strip()[-300:]
                pytest.skip(f"{wanted[0]} cannot be had: {reason}")
        yield run
    finally:  # while other tests run, since a disk may take ten seconds
        threading.Thread(target=shutil.rmtree, args=[place]).start()


@pytest.fixture(scope="module")
def copied(bundle, tmp_path_factory):
    """The bundle as it is on the board, and what is computed there, beside it."""
    folder = tmp_path_factory.mktemp("board") / "bundle"
    shutil.copytree(bundle, folder)
    shutil.copy(board.__file__, folder)
    return folder


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """A folder of frames of many sizes, and of a clip of 16 of both kinds."""
    folder = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    squares = {str(n): rng.integers(0, 256, (n, n), np.uint8) for n in SIZES}
    np.savez(folder / "frames.npz", **squares)
    (folder / "manifest.json").write_text(json.dumps(make_manifest()))
    events, _ = three_levels(8)
    np.save(folder / "clip.npy", events.reshape(2, 16, 90, 90))
    return folder


@pytest.mark.environments
@pytest.mark.parametrize("pillow", [False, True])
def test_images_bit_by_bit(python36, copied, frames, pillow):
    said = python36(copied, "board.py", frames, "--images", pillow=pillow)
    assert said == f"{'Pillow' if pillow else 'no Pillow'} (3, 6)\n"
    normalise = {"event": images.normalise_events}
    normalise["intensity"] = images.normalise_intensity
    with np.load(frames / "frames.npz") as given, np.load(frames / "prepared.npz") as x:
        got, given = dict(x), dict(given)
    assert len(got) == 2 * len(given)
    for name, image in got.items():
        kind, size = name.split()
        expected = normalise[kind](images.resize(given[size]))
        assert image.dtype == np.float32 and image.tobytes() == expected.tobytes()


@pytest.mark.environments
def test_a_stream_with_a_gap(python36, copied, bundle, frames):
    python36(copied, "board.py", frames)
    for backend in board.BACKENDS:
        expected, said = board.streamed(
            seen_runtime, str(bundle), backend, *np.load(frames / "clip.npy")
        )
        assert said[12:15] == [[12, said[12][1]], ["event frame 5"], [14, said[14][1]]]
        assert said[-2]["dropped"] == 1
        assert json.loads((frames / f"{backend}.json").read_text()) == said
        got = np.load(frames / f"{backend}.npy")
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


@pytest.mark.environments
@pytest.mark.parametrize("pillow", [False, True])
def test_the_command(python36, copied, bundle, tmp_path, capsys, pillow):
    options = write_clip(tmp_path, 14, size=90, levels=[1, 128, 255])
    if pillow:
        for path in tmp_path.glob("*/*.npy"):
            Image.fromarray(np.load(path)).save(path.with_suffix(".png"))
            path.unlink()
    options += ["--rate", "0", "--json", "--backend", "torchscript"]
    played = json.loads(python36(copied, "seen_runtime.py", *options, pillow=pillow))
    assert seen_runtime.main([*options, "--bundle", str(bundle)]) == 0
    expected = json.loads(capsys.readouterr().out)
    assert played["device"].startswith("torch 1.10.2")
    for got, wanted in zip(played["predictions"], expected["predictions"], strict=True):
        assert (got["frame"], got["emotion"]) == (wanted["frame"], wanted["emotion"])
        assert got["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-5)
    assert [x["frame"] for x in played["predictions"]] == [12, 13]
