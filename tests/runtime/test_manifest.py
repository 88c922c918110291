"""The program for the board: the manifest of a bundle, its files and its weights."""

import itertools
import json

import numpy as np
import pytest

from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import (
    FILES,
    FORMATS,
    MANIFEST,
    PROGRAM,
    BundleError,
    read_manifest,
)
from tests.runtime.bundles import make_manifest, write_manifest

ALONE = PROGRAM, "seen.npz", "seen.onnx", "seen_dynamic.onnx"  # others need these


def test_a_whole_bundle(dummy):
    (dummy / "seen.engine").write_bytes(b"made on the board")
    manifest = read_manifest(str(dummy))
    written = ("files", "sha256")
    assert manifest == make_manifest(**{name: manifest[name] for name in written})


def test_a_bundle_of_another_export(dummy):
    """The hashes beside the files agree; one from elsewhere does not."""
    right = read_manifest(dummy)["sha256"]
    assert read_manifest(dummy, trust=right.upper())["sha256"] == right
    with pytest.raises(BundleError, match=f"expected SHA-256 {'0' * 64}, got {right}"):
        read_manifest(dummy, trust="0" * 64)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file(dummy, name):
    path = dummy / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    size = len(content)
    words = rf"{name}: expected {size} bytes of SHA-256 \w+, got {size - 1} bytes of "
    with pytest.raises(BundleError, match=rf"{words}SHA-256 \w+; copy or export the b"):
        read_manifest(str(dummy))
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(BundleError, match=f"{name}: expected .*; copy or export the b"):
        seen_runtime.load(str(dummy))
    path.unlink()
    with pytest.raises(BundleError, match=f"{name}: expected a file, got none; copy"):
        read_manifest(str(dummy))


def test_no_bundle(dummy):
    (dummy / MANIFEST).unlink()
    for folder in (dummy, dummy / "none"):
        words = r"expected a bundle, with manifest\.json"
        with pytest.raises(BundleError, match=words):
            read_manifest(str(folder))


def test_any_damage_to_the_manifest(dummy):
    path = dummy / MANIFEST
    content = path.read_bytes()
    for size in range(0, len(content), 50):
        path.write_bytes(content[:size])
        with pytest.raises(BundleError, match=r"manifest\.json: expected JSON, got"):
            read_manifest(str(dummy))
    for i in range(0, len(content), 3):  # one bit of a byte, another one each time
        flipped = bytes([content[i] ^ (1 << i % 8)])
        path.write_bytes(content[:i] + flipped + content[i + 1 :])
        with pytest.raises(BundleError, match=r"manifest\.json.*: expected"):
            read_manifest(str(dummy))


@pytest.mark.parametrize(
    "content, words",
    [
        ("[]", "an object, got list"),
        ("3", "an object, got int"),
        ('"manifest"', "an object, got str"),
        ("null", "an object, got NoneType"),
        ("[" * 10**5, "JSON, got values nested too deep"),
        (" " * (16 * 2**20 + 1), "at most 16777216 bytes, got 16777217"),
    ],
    ids=lambda x: x[:9],
)
def test_a_manifest_that_is_no_object(dummy, content, words):
    (dummy / MANIFEST).write_text(content)
    with pytest.raises(BundleError, match=rf"manifest\.json: expected {words}; copy"):
        read_manifest(str(dummy))


@pytest.mark.parametrize("name", [*make_manifest(), "sha256"])
def test_an_entry_of_the_manifest_removed(dummy, name):
    path = dummy / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest[name]
    if name != "sha256":
        manifest["sha256"] = seen_runtime.manifest_hash(manifest)
    path.write_text(json.dumps(manifest))
    words = rf"json, {name}: expected .*, got none; copy"
    with pytest.raises(BundleError, match=words):
        read_manifest(str(dummy))


ABSURD = {
    "format": [1, 2.0, True],
    "classes": [
        "angry",
        [],
        ["angry", 1],
        {"angry": 1},
        ["a", "a"],
        ["two\nlines"],
        ["a", "A"],
        ["a", "a "],
    ],
    "num_event_frames": [0, 10**5, 10**18, True, 4.0, "4", None],
    "frames_per_s": [0, -1, 1.1e6, float("nan"), float("inf"), "30", True, None],
    "skip": [-1, 400, 10**5, 10**18, [3], None, True],
    "intensity_places": [
        [],
        [0, 4],
        [-1, 3],
        [0.0, 3.0],
        "03",
        3,
        10**6 * [0],
        [0, 0],
        [3, 0],
    ],
    "image_size": [180, "90"],
    "event_mean": [-0.1, 1e8, None, float("nan")],
    "event_std": [0, 1.1, "1"],
    "intensity_mean": ["0", [0]],
    "intensity_std": [1e8, float("inf")],
    "readout": ["mean", "", None, 0, ["last_spike"]],
    "decay": [-0.1, 1.1, float("nan"), "0.2", None, True],
    "threshold": [-1e-9, 1001, float("inf"), float("nan"), "0.3", None, False],
    "files": ["seen.pt", list(FILES), {}, None],
}


@pytest.mark.parametrize(
    "name, value", [(name, x) for name, values in ABSURD.items() for x in values]
)
def test_entries_that_no_export_writes(dummy, name, value):
    write_manifest(dummy, **{name: value})
    with pytest.raises(BundleError, match=rf"manifest\.json, {name}: expected .*, got"):
        read_manifest(str(dummy))


def test_files_that_the_manifest_may_not_name(dummy, tmp_path_factory):
    files = json.loads((dummy / MANIFEST).read_text())["files"]
    secret = tmp_path_factory.mktemp("outside") / "seen.pt"
    secret.write_bytes(b"secret")
    names = "../outside0/seen.pt", str(secret), "seen.engine"
    odd = "none", None, {}, {"bytes": 1}, {"bytes": "17", "sha256": 1}
    for changed in (
        *({**files, name: files["seen.pt"]} for name in names),
        # The rest of a format, or no format at all:
        *({x: files[x] for x in files if x != name} for name in ALONE),
        *(
            {x: files[x] for x in (PROGRAM, name)}
            for name in files
            if name != "seen.ts"
        ),
        *({**files, "seen.ts": facts} for facts in odd),
    ):
        write_manifest(dummy, files=changed)
        words = r"json, files: expected bytes and sha256 of seen_runtime\.py and of "
        with pytest.raises(BundleError, match=words):
            read_manifest(str(dummy))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_bundle_of_some_formats(dummy, count):
    every = json.loads((dummy / MANIFEST).read_text())["files"]
    for formats in itertools.combinations(FORMATS, count):
        wanted = {PROGRAM}.union(*(FORMATS[name] for name in formats))
        write_manifest(dummy, files={x: every[x] for x in every if x in wanted})
        files = read_manifest(str(dummy))["files"]
        assert tuple(seen_runtime.formats_of(files)) == formats
        for name, backend in seen_runtime.BACKENDS.items():
            if backend.format in formats:
                continue
            words = f"a format for the backend {name}, got one of {', '.join(formats)};"
            words += f" write it with .*seen_jax.export .* --formats={backend.format}$"
            with pytest.raises(BundleError, match=words):
                seen_runtime.load(str(dummy), name)


def test_auto_never_takes_torchscript(dummy):
    files = json.loads((dummy / MANIFEST).read_text())["files"]
    write_manifest(dummy, files={x: files[x] for x in (PROGRAM, "seen.ts")})
    words = "a format for the backend auto, got one of torchscript; write it with pyt"
    words += ".* --formats=native, or run it with --backend=torchscript, a program"
    with pytest.raises(BundleError, match=words):
        seen_runtime.load(str(dummy))


def with_nan(x):
    return np.where(np.arange(x.shape[-1]) == 4, np.nan, x).astype(np.float32)


@pytest.mark.parametrize(
    "name, change, words",
    [
        (
            "fc2",
            lambda x: x[:, :5],
            r"fc2: expected float32 \(256, 7\), got float32 \(",
        ),
        ("scores", lambda x: x.astype(np.float16), "scores: expected .*got float16"),
        ("deep", with_nan, "deep: expected finite numbers, got others"),
        ("moments", lambda x: np.full((90, 7), None), "expected the float32 arrays"),
        ("event", lambda x: np.tile(x, 2), "expected the float32 arrays of this netw"),
        ("conv3", None, "expected the float32 arrays of this network, got other names"),
    ],
)
def test_weights_of_another_form(tmp_path, folded, name, change, words):
    arrays = dict(folded)
    array = arrays.pop(name)
    if change:
        arrays[name] = change(array)
    np.savez(tmp_path / "seen.npz", **arrays)
    with pytest.raises(BundleError, match=rf"seen\.npz.*{words}"):
        seen_runtime.read_folded(str(tmp_path), make_manifest())
