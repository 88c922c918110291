"""The program for the board: the images, the bundle and the command."""

import ast
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seen_jax import images, see
from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import BackendError, BundleError, Runtime
from tests.runtime.bundles import (
    SOURCE,
    make_manifest,
    pgm,
    whole_numbers,
    write_clip,
    write_manifest,
)


def test_it_is_python_36():
    ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 6))


def test_it_imports_nothing_of_ours():
    tree = ast.walk(ast.parse(SOURCE.read_text(encoding="utf-8")))
    names = set()
    for node in tree:
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
    rng = np.random.default_rng(size)
    noise = rng.integers(0, 256, (size, size), np.uint8)
    for image in (noise, 255 * (noise > 127).astype(np.uint8), noise.T):
        expected = images.resize(image)
        np.testing.assert_array_equal(seen_runtime.resize(image), expected)
        monkeypatch.setattr(seen_runtime, "Image", None)
        np.testing.assert_array_equal(seen_runtime.resize(image), expected)
        monkeypatch.undo()
    for other in (1, 7, 45, 64, 180):
        expected = images.resize(noise, other)
        np.testing.assert_array_equal(
            seen_runtime.resize_by_numpy(noise, other), expected
        )


def test_normalising_is_that_of_training_bit_by_bit():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    runtime = Runtime(make_manifest(), "none", "none", None)
    for kind, expected in (
        ("event", images.normalise_events),
        ("intensity", images.normalise_intensity),
    ):
        got = runtime.prepare(kind, np.kron(levels, np.ones((5, 5), np.uint8)))
        whole = images.resize(np.kron(levels, np.ones((5, 5), np.uint8)))
        assert got.dtype == np.float32
        assert got.tobytes() == expected(whole).tobytes()
        mean, std = (getattr(see, f"{kind.upper()}_{x}") for x in ("MEAN", "STD"))
        got = seen_runtime.normalise(levels, mean, std)
        assert got.tobytes() == expected(levels).tobytes()


def test_images_from_disk(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 20), np.uint8)
    image[0, :3] = 10, 32, 35  # which a reader of text would take for blanks
    np.save(tmp_path / "0.npy", image)
    (tmp_path / "1.pgm").write_bytes(pgm(image))
    Image.fromarray(image).save(tmp_path / "2.png")
    Image.fromarray(image).save(tmp_path / "3.pgm")  # as Pillow writes it
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(seen_runtime.read_image(str(path)), image)
    Image.fromarray(image).save(tmp_path / "4.jpg", quality=see.JPEG_QUALITY)
    got = seen_runtime.read_image(str(tmp_path / "4.jpg"))
    expected = images.decode_jpeg((tmp_path / "4.jpg").read_bytes())
    np.testing.assert_array_equal(got, expected)


GREY = np.zeros((4, 4), np.uint8)


@pytest.mark.parametrize(
    "name, content, found",
    [
        ("a.pgm", b"", "no binary PGM"),
        ("a.pgm", pgm(GREY)[:-1], "15 bytes for 4 x 4"),
        ("a.pgm", pgm(GREY) + b"0", "17 bytes for 4 x 4"),
        ("a.pgm", pgm(GREY, b"# a comment\n"), "without comments"),
        ("a.pgm", b"P5 4 4 65535 " + bytes(32), "no binary PGM"),
        ("a.pgm", b"P2 1 1 255 0", "no binary PGM"),
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
def test_what_is_no_image(tmp_path, name, content, found):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        content.save(path)
    with pytest.raises(ValueError, match=rf"{name}: expected .*{found}.*; "):
        seen_runtime.read_image(str(path))


def test_no_program_is_started_for_an_image(tmp_path, monkeypatch):
    """Pillow starts Ghostscript for PostScript, whatever the name of the file."""
    started = tmp_path / "started"
    gs = tmp_path / "bin" / "gs"
    gs.parent.mkdir()
    gs.write_text(f"#!/bin/sh\ntouch {started}\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", str(gs.parent), prepend=os.pathsep)
    path = tmp_path / "00003.jpg"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(seen_runtime.UserError, match="got neither JPEG nor PNG"):
        seen_runtime.read_image(str(path))
    assert not started.exists()


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "00000.jpg")
    with pytest.raises(seen_runtime.UserError, match="got a folder or a device"):
        seen_runtime.read_image(str(tmp_path / "00000.jpg"))


def test_jpeg_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setattr(seen_runtime, "Image", None)
    with pytest.raises(
        ValueError, match=r"0\.jpg: expected Pillow, .*, got none; inst"
    ):
        seen_runtime.read_image(str(tmp_path / "0.jpg"))


def test_numbered_images_of_a_folder(tmp_path):
    for name in ("00010.pgm", "9.PGM", "00000.jpg", "notes.txt", "7.npy"):
        (tmp_path / name).touch()
    found = seen_runtime.list_frames(str(tmp_path))
    assert [(n, Path(path).name) for n, path in found.items()] == [
        (0, "00000.jpg"),
        (7, "7.npy"),
        (9, "9.PGM"),
        (10, "00010.pgm"),
    ]


@pytest.mark.parametrize(
    "names", [[], ["a.txt"], ["frame1.jpg"], ["-1.jpg"], ["1.jpg", "01.png"], ["².jpg"]]
)
def test_folders_without_numbered_images(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"expected images 00000.jpg, .*, got .*; "):
        seen_runtime.list_frames(str(tmp_path))
    with pytest.raises(ValueError, match=r"none: expected images 00000\.jpg"):
        seen_runtime.list_frames(str(tmp_path / "none"))


def test_a_whole_bundle(dummy):
    (dummy / "seen.engine").write_bytes(b"made on the board")
    manifest = seen_runtime.read_manifest(str(dummy))
    assert {**manifest, "sha256": None} == {
        **make_manifest(files=manifest["files"]),
        "sha256": None,
    }


def test_a_bundle_of_another_export(dummy):
    """The hashes beside the files agree; one from elsewhere does not."""
    right = seen_runtime.read_manifest(dummy)["sha256"]
    assert seen_runtime.read_manifest(dummy, trust=right.upper())["sha256"] == right
    with pytest.raises(BundleError, match=f"expected SHA-256 {'0' * 64}, got {right}"):
        seen_runtime.read_manifest(dummy, trust="0" * 64)


def change_shape(arrays):
    arrays["fc2"] = arrays["fc2"][:, :5]


def change_type(arrays):
    arrays["scores"] = arrays["scores"].astype(np.float16)


def add_nan(arrays):
    arrays["deep"][3, 4] = np.nan


def add_objects(arrays):
    arrays["moments"] = np.full((90, 7), None)


def remove(arrays):
    del arrays["conv3"]


def test_weights_come_back_as_they_were(tmp_path):
    folded = seen_runtime.fold(whole_numbers())
    np.savez(tmp_path / "seen.npz", **folded)
    arrays = seen_runtime.read_folded(str(tmp_path), make_manifest())
    assert arrays.keys() == folded.keys()
    for name in folded:
        np.testing.assert_array_equal(arrays[name], folded[name])


@pytest.mark.parametrize(
    "change", [change_shape, change_type, add_nan, add_objects, remove]
)
def test_weights_of_another_form(tmp_path, change):
    folded = seen_runtime.fold(whole_numbers())
    change(folded)
    np.savez(tmp_path / "seen.npz", **folded)
    with pytest.raises(BundleError, match=r"seen\.npz.*: expected "):
        seen_runtime.read_folded(str(tmp_path), make_manifest())


@pytest.mark.parametrize("name", seen_runtime.FILES)
def test_a_damaged_file(dummy, name):
    path = dummy / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    size = len(content)
    words = rf"{name}: expected {size} bytes of SHA-256 \w+, got {size - 1} bytes of "
    with pytest.raises(BundleError, match=rf"{words}SHA-256 \w+; copy or export the b"):
        seen_runtime.read_manifest(str(dummy))
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(BundleError, match=f"{name}: expected .*; copy or export the b"):
        seen_runtime.load(str(dummy))
    path.unlink()
    with pytest.raises(BundleError, match=f"{name}: expected a file, got none; copy"):
        seen_runtime.read_manifest(str(dummy))


def test_no_bundle(dummy):
    (dummy / seen_runtime.MANIFEST).unlink()
    for folder in (dummy, dummy / "none"):
        with pytest.raises(
            BundleError, match=r"expected a bundle, with manifest\.json"
        ):
            seen_runtime.read_manifest(str(folder))


def test_any_damage_to_the_manifest(dummy):
    path = dummy / seen_runtime.MANIFEST
    content = path.read_bytes()
    for size in range(0, len(content), 50):
        path.write_bytes(content[:size])
        with pytest.raises(BundleError, match=r"manifest\.json: expected JSON, got"):
            seen_runtime.read_manifest(str(dummy))
    for i in range(0, len(content), 3):  # one bit of a byte, another one each time
        flipped = bytes([content[i] ^ (1 << i % 8)])
        path.write_bytes(content[:i] + flipped + content[i + 1 :])
        with pytest.raises(BundleError, match=r"manifest\.json.*: expected"):
            seen_runtime.read_manifest(str(dummy))


@pytest.mark.parametrize("name", [*make_manifest(), "sha256"])
def test_an_entry_of_the_manifest_removed(dummy, name):
    path = dummy / seen_runtime.MANIFEST
    manifest = json.loads(path.read_text())
    del manifest[name]
    if name != "sha256":
        manifest["sha256"] = seen_runtime.manifest_hash(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(
        BundleError, match=rf"json, {name}: expected .*, got none; copy"
    ):
        seen_runtime.read_manifest(str(dummy))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 1},
        {"classes": "angry"},
        {"classes": ["angry", "angry"]},
        {"classes": ["two\nlines"]},
        {"num_event_frames": 10**5},
        {"num_event_frames": 10**18},
        {"num_event_frames": True},
        {"skip": 10**5},
        {"skip": 10**18},
        {"skip": 400},
        {"intensity_places": 10**6 * [0]},
        {"event_mean": 1e8},
        {"intensity_std": 1e8},
        {"classes": []},
        {"classes": ["angry", 1]},
        {"classes": {"angry": 1}},
        {"num_event_frames": 0},
        {"num_event_frames": 4.0},
        {"num_event_frames": "4"},
        {"num_event_frames": None},
        {"skip": -1},
        {"skip": [3]},
        {"event_std": 0},
        {"event_std": "1"},
        {"intensity_places": []},
        {"intensity_places": [0, 4]},
        {"intensity_places": [-1, 3]},
        {"intensity_places": [0.0, 3.0]},
        {"intensity_places": "03"},
        {"intensity_places": 3},
        {"image_size": 180},
        {"event_mean": None},
        {"event_mean": float("nan")},
        {"event_std": 0},
        {"intensity_mean": "0"},
        {"intensity_std": float("inf")},
        {"files": "seen.pt"},
        {"files": list(seen_runtime.FILES)},
        {"files": {}},
    ],
    ids=str,
)
def test_entries_that_no_export_writes(dummy, changes):
    write_manifest(dummy, **changes)
    (name,) = changes
    with pytest.raises(BundleError, match=rf"manifest\.json, {name}: expected .*, got"):
        seen_runtime.read_manifest(str(dummy))


@pytest.mark.parametrize("content", ["[]", "3", '"manifest"', "null"])
def test_a_manifest_that_is_no_object(dummy, content):
    (dummy / seen_runtime.MANIFEST).write_text(content)
    with pytest.raises(BundleError, match="expected an object, got"):
        seen_runtime.read_manifest(str(dummy))


def test_files_that_the_manifest_may_not_name(dummy, tmp_path_factory):
    files = json.loads((dummy / seen_runtime.MANIFEST).read_text())["files"]
    secret = tmp_path_factory.mktemp("outside") / "seen.pt"
    secret.write_bytes(b"secret")
    names = "../outside0/seen.pt", str(secret), "seen.engine"
    odd = "none", None, {}, {"bytes": 1}, {"bytes": "17", "sha256": 1}
    for changed in (
        *({**files, name: files["seen.pt"]} for name in names),
        *({x: files[x] for x in files if x != name} for name in files),
        *({**files, "seen.ts": facts} for facts in odd),
    ):
        write_manifest(dummy, files=changed)
        words = r"json, files: expected bytes and sha256 of seen\.npz, seen\.pt, "
        with pytest.raises(BundleError, match=words):
            seen_runtime.read_manifest(str(dummy))


def test_backends_that_are_not_there(dummy, monkeypatch):
    with pytest.raises(
        ValueError, match=r"backend: expected auto or one of tensorrt, "
    ):
        seen_runtime.load(str(dummy), "jax")
    for package in ("tensorrt", "onnxruntime", "torch"):
        monkeypatch.setitem(sys.modules, package, None)  # importing it fails
    for backend, (package, _) in seen_runtime.BACKENDS.items():
        with pytest.raises(ValueError, match=f"backend: expected {package} to be inst"):
            seen_runtime.load(str(dummy), backend)
    with pytest.raises(ValueError, match="expected onnxruntime or torch to be"):
        seen_runtime.load(str(dummy))


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
        "events      received 15, dropped 1, late 0, too_late 0, ahead 0",
        "intensities received 16, dropped 0, late 0, too_late 0, ahead 0",
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
    found = json.loads(out)
    assert found["predictions"] == []
    assert found["latency_ms"] == {"p50": None, "p95": None, "p99": None}
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


def test_the_command_and_a_backend_that_fails(dummy, tmp_path, monkeypatch, capsys):
    def cannot_start(bundle, manifest):
        raise RuntimeError("CUDA error: out of memory\n\nsee CUDA_LAUNCH_BLOCKING\n")

    def cannot_compute(bundle, manifest):
        return "plain Python", lambda *x: np.zeros(3) @ np.zeros(2)

    options = [*write_clip(tmp_path / "clip", 1), "--bundle", str(dummy)]
    options += ["--backend", "torch"]
    for loads, words in (
        (
            cannot_start,
            "backend torch: expected to start, got RuntimeError: CUDA error: out of "
            "memory see CUDA_LAUNCH_BLOCKING; fix it, or choose another backend\n",
        ),
        (cannot_compute, "plain Python: expected a window computed, got ValueError: "),
    ):
        monkeypatch.setitem(seen_runtime.BACKENDS, "torch", ("json", loads))
        assert seen_runtime.main(options) == 1
        err = capsys.readouterr().err
        assert err.startswith(words) and err.count("\n") == 1
        with pytest.raises(BackendError) as caught:
            runtime = seen_runtime.load(str(dummy), "torch")
            runtime.logits(*(np.zeros((1, n, 90, 90), np.float32) for n in (4, 2)))
        assert f"{caught.value}\n" == err
        assert caught.value.__context__ is not None
