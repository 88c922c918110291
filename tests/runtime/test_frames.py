"""The program for the board: what it imports, and the images that it reads."""

import ast
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seen_jax import images, see
from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import UserError
from tests.runtime.bundles import SOURCE, pgm, plain_runtime


def test_one_file_of_python_36_and_numpy():
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 6))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {x.name.split(".")[0] for x in node.names}
        if isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    others = {"numpy", "PIL", "torch", "onnxruntime", "tensorrt"}
    assert others < names < others | sys.stdlib_module_names


@pytest.mark.parametrize(
    "size", [1, 2, 3, 17, 44, 45, 89, 90, 91, 100, 179, 180, 181, 200, 260, 346, 400]
)
def test_resize_is_that_of_training_bit_by_bit(monkeypatch, size):
    noise = np.random.default_rng(size).integers(0, 256, (size, size), np.uint8)
    for image in (noise, 255 * (noise > 127).astype(np.uint8), noise.T):
        expected = images.resize(image)
        np.testing.assert_array_equal(seen_runtime.resize(image), expected)
        monkeypatch.setattr(seen_runtime, "Image", None)
        np.testing.assert_array_equal(seen_runtime.resize(image), expected)
        monkeypatch.undo()


def test_normalising_is_that_of_training_bit_by_bit():
    levels = (np.arange(90 * 90) % 256).astype(np.uint8).reshape(90, 90)
    for kind, expected in (
        ("event", images.normalise_events),
        ("intensity", images.normalise_intensity),
    ):
        got = plain_runtime().prepare(kind, levels)
        assert got.dtype == np.float32
        assert got.tobytes() == expected(levels).tobytes()
    with pytest.raises(UserError, match="kind: expected event or intensity, got 'ev"):
        plain_runtime().prepare("events", levels)


def test_images_from_disk(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8)
    image[0, :3] = 10, 32, 35  # which a reader of text would take for blanks
    np.save(tmp_path / "0.npy", image)
    (tmp_path / "1.pgm").write_bytes(pgm(image))
    Image.fromarray(image).save(tmp_path / "2.png")
    Image.fromarray(image).save(tmp_path / "3.pgm")  # as Pillow writes it
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(seen_runtime.read_image(str(path)), image)
    path = tmp_path / "4.jpg"
    Image.fromarray(image).save(path, quality=see.JPEG_QUALITY)
    expected = images.decode_jpeg(path.read_bytes())
    np.testing.assert_array_equal(seen_runtime.read_image(str(path)), expected)


GREY = np.zeros((4, 4), np.uint8)


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.pgm", b"", "not a binary PGM"),
        ("a.pgm", pgm(GREY)[:-1], "15 bytes for 4 x 4"),
        ("a.pgm", pgm(GREY) + b"0", "17 bytes for 4 x 4"),
        ("a.pgm", pgm(GREY, b"# a comment\n"), "without comments"),
        ("a.pgm", b"P5 4 4 65535 " + bytes(32), "not a binary PGM"),
        ("a.pgm", b"P2 1 1 255 0", "not a binary PGM"),
        ("a.pgm", pgm(np.zeros((4, 6), np.uint8)), r"uint8 \(4, 6\)"),
        ("a.npy", b"", "grey 8-bit image"),
        ("a.npy", b"hello", "grey 8-bit image"),
        ("a.npy", np.zeros((4, 4)), r"float64 \(4, 4\)"),
        ("a.npy", np.zeros((4, 4, 3), np.uint8), r"uint8 \(4, 4, 3\)"),
        ("a.npy", np.zeros((0, 0), np.uint8), r"uint8 \(0, 0\)"),
        ("a.npy", np.array([None]), "grey 8-bit image"),
        ("a.jpg", b"no image", "grey 8-bit image"),
        ("a.png", Image.new("RGB", (4, 4)), "mode RGB"),
    ],
)
def test_what_is_no_image(tmp_path, name, content, words):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        content.save(path)
    with pytest.raises(UserError, match=rf"{name}: expected .*{words}.*; "):
        seen_runtime.read_image(str(path))


def test_no_program_is_started_for_an_image(tmp_path, monkeypatch):
    """Pillow starts Ghostscript for PostScript, whatever the name of the file."""
    started, gs = tmp_path / "started", tmp_path / "bin" / "gs"
    gs.parent.mkdir()
    gs.write_text(f"#!/bin/sh\ntouch {started}\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", str(gs.parent), prepend=os.pathsep)
    path = tmp_path / "00003.jpg"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(UserError, match="got neither JPEG nor PNG"):
        seen_runtime.read_image(str(path))
    assert not started.exists()


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "00000.jpg")
    with pytest.raises(UserError, match="got a folder or a device"):
        seen_runtime.read_image(str(tmp_path / "00000.jpg"))


def test_jpeg_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setattr(seen_runtime, "Image", None)
    with pytest.raises(UserError, match=r"0\.jpg: expected Pillow, .*, got none; inst"):
        seen_runtime.read_image(str(tmp_path / "0.jpg"))


def test_numbered_images_of_a_folder(tmp_path):
    for name in ("00010.pgm", "9.PGM", "00000.jpg", "notes.txt", "7.npy"):
        (tmp_path / name).touch()
    frames = seen_runtime.list_frames(str(tmp_path))
    names = [(number, Path(path).name) for number, path in frames.items()]
    assert names == [(0, "00000.jpg"), (7, "7.npy"), (9, "9.PGM"), (10, "00010.pgm")]


@pytest.mark.parametrize(
    "names", [[], ["a.txt"], ["frame1.jpg"], ["-1.jpg"], ["1.jpg", "01.png"], ["².jpg"]]
)
def test_folders_without_numbered_images(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=r"expected images 00000.jpg, .*, got .*; "):
            seen_runtime.list_frames(str(folder))
