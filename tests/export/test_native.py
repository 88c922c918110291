"""A bundle for the kernel in C, written and run where there is no torch."""

import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from seen_jax.evaluation.restored import open_batches, restore
from seen_jax.export import bundle, compare
from seen_jax.models.fast import native
from seen_jax.models.seen import SEEN
from seen_jax.runtime import seen_runtime
from tests.export.command import export
from tests.helpers import ROOT, write_run
from tests.models.variables import draw, windows

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
NO_TORCH = "run python -m pip install -r requirements-export.txt"

# Runs a module or a file in a process in which these cannot be imported.
WITHOUT = """
import runpy, sys
for package in ("torch", "onnx", "onnxruntime"):
    sys.modules[package] = None
sys.argv = sys.argv[1:]
run = runpy.run_path if sys.argv[0].endswith(".py") else runpy.run_module
run(sys.argv[0], run_name="__main__")
"""


def without_torch(*arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *map(str, arguments)],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def no_torch(monkeypatch):
    for package in ("torch", "onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)


def test_written_and_run(folder, tmp_path):
    out = tmp_path / "new"
    command = ["seen_jax.export", "bundle", "--workdir", folder, "--out", out]
    done = without_torch(*command)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("native: 4 windows, largest difference of a logit")
    assert lines[1] == "formats: native"
    left_out = "torch, torchscript, onnx: torch is not installed; " + NO_TORCH
    assert lines[2] == f"left out: {left_out}"
    manifest = seen_runtime.read_manifest(out)
    files = {"seen.npz", "seen_spikes.c", "seen_runtime.py"}
    assert {path.name for path in out.iterdir()} == files | {"manifest.json"}
    assert manifest["files"].keys() == files and [*manifest["parity"]] == ["native"]
    for name in ("events", "frames"):
        (tmp_path / name).mkdir()
        for i in range(6):
            image = np.full((90, 90), 40 * i, np.uint8)
            np.save(tmp_path / name / f"{i:05d}.npy", image)
    clip = f"--events={tmp_path / 'events'}", f"--frames={tmp_path / 'frames'}"
    done = without_torch(out / "seen_runtime.py", *clip, "--rate=0", "--json")
    assert done.stderr == "backend native: the kernel in C\n"
    assert len(json.loads(done.stdout)["predictions"]) == 4


@pytest.mark.parametrize(
    "count, intensity, readout", [(3, "all", "mean_spike"), (1, "first", "last_spike")]
)
def test_what_else_a_config_allows(tmp_path, no_torch, count, intensity, readout):
    """One window must agree in float64; in float32 rounding may decide a spike."""
    frames = windows(90, 1, count, intensity)
    variables = jax.device_get(draw(SEEN(intensity=intensity), frames))
    options = {"intensity": intensity, "readout": readout, "num_event_frames": count}
    folder = write_run(tmp_path, {4: 0.5}, {4: variables}, skip=1, **options)
    restored, out = restore(folder), tmp_path / "new"
    batches = open_batches(restored)
    manifest = bundle.write_bundle(restored, batches, out, num_windows=1)
    assert seen_runtime.formats_of(manifest["files"]) == ["native"]
    assert manifest["intensity_places"] == [*range(count)]
    assert manifest["readout"] == readout
    _, inputs = compare.windows(batches, 1)
    assert compare.same_in_float64(restored, "native", *inputs).tolist() == [True]


def test_what_is_asked_for_and_not_installed(folder, tmp_path, no_torch, monkeypatch):
    out = tmp_path / "new"
    place = ["--workdir", folder, "--out", out]
    for arguments, words in (
        (["torch", *place], f"torch: torch is not installed; {NO_TORCH}\n"),
        (["bundle", *place, "--formats=onnx,native"], "onnx: torch is not installed; "),
        (["bundle", *place, "--formats=jax"], "formats: expected one of native, torch"),
        (["bundle", *place, "--formats="], "formats: expected one of native, torch, "),
    ):
        code, said = export(*arguments)
        assert code == 1 and said.startswith(words) and said.count("\n") == 1, said
    monkeypatch.setenv("CC", "no-such-cc")
    words = "native: expected a C compiler, to compare it with JAX, got no-such-cc is "
    words += "not installed; "
    for asked in ([], ["--formats=native"]):  # and nothing else is left
        code, said = export("bundle", *place, *asked)
        assert code == 1 and said.startswith(words) and said.count("\n") == 1, said
        end = f"give --formats=torch (torch is not installed; {NO_TORCH})\n"
        assert said.endswith(end)
    assert not out.exists()


def test_names_of_formats_with_spaces_and_twice(folder, tmp_path):
    out = tmp_path / "new"
    place = ["--workdir", folder, "--out", out]
    code, said = export("bundle", *place, "--formats= native, native")
    assert code == 0, said
    assert seen_runtime.formats_of(seen_runtime.read_manifest(out)["files"]) == [
        "native"
    ]


def test_without_a_compiler_where_torch_is(monkeypatch):
    monkeypatch.setenv("CC", "no-such-cc")
    monkeypatch.setattr(bundle.importlib.util, "find_spec", lambda name: name)
    assert bundle.missing("native").endswith(", or give --formats=torch")


def test_which_formats_are_written(tmp_path, monkeypatch):
    lacks = dict.fromkeys(seen_runtime.FORMATS, "")
    monkeypatch.setattr(bundle, "missing", lacks.get)
    assert bundle.check_ready(tmp_path) == [*lacks]
    assert bundle.check_ready(tmp_path, ["onnx", "native"]) == ["native", "onnx"]
    lacks["native"] = "expected a C compiler"
    assert bundle.check_ready(tmp_path) == ["torch", "torchscript", "onnx"]


def test_the_kernel_is_not_compared_with_itself(folder, monkeypatch):
    restored = restore(folder)
    assert restored.model.follow_spikes
    monkeypatch.setattr(native, "_call", lambda *arrays, **options: 1 / 0)
    _, inputs = compare.windows(open_batches(restored), 1)
    assert compare.jax_logits(restored, *inputs).shape == (1, 7)
    with pytest.raises(ZeroDivisionError):  # as training and evaluation do
        compare._apply(restored.model, restored.variables, *inputs)
