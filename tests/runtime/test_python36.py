"""A bundle in the board's Python 3.6, with its torch and without Pillow.

It downloads 900 MB; `-m "not environments"` leaves it out.
"""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from seen_jax.runtime import seen_runtime
from tests.runtime.bundles import three_levels

PYTHON36 = """
import sys
import numpy as np
import seen_runtime

assert seen_runtime.Image is None
frames = np.load(sys.argv[1])
for backend in ("torch", "torchscript"):
    runtime = seen_runtime.load(".", backend)
    inputs = [
        np.stack([[runtime.prepare(kind, x) for x in w] for w in frames[kind]])
        for kind in seen_runtime.KINDS
    ]
    np.save(backend, runtime.logits(*inputs))
    print(sys.version_info[:2], runtime.device, np.__version__)
"""


def find_python36():
    """An interpreter of 3.6: on the path, or one that pyenv installed."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    paths = [shutil.which("python3.6"), *sorted(root.glob("versions/3.6*/bin/python"))]
    for path in filter(None, paths):
        show = [path, "-c", "import sys; print(sys.version_info[:2])"]
        found = subprocess.run(show, capture_output=True, text=True)
        if found.stdout.strip() == "(3, 6)":  # pyenv's shims are there without one
            return str(path)
    return None


@pytest.mark.environments
def test_the_board_s_python_and_torch(bundle, tmp_path):
    python = find_python36()
    if python is None:
        pytest.skip("no Python 3.6 on the path or of pyenv")
    venv = tmp_path / "venv"
    subprocess.run([python, "-m", "venv", venv], check=True)
    packages = [
        "torch==1.10.2",
        "numpy==1.19.5",
        "typing-extensions<4.2",
        "dataclasses",
    ]
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    for wanted in (["--upgrade", "pip<22"], packages):
        installed = subprocess.run([*pip, *wanted], capture_output=True, text=True)
        if installed.returncode:
            pytest.skip(f"{wanted[-1]} cannot be had: {installed.stderr[-300:]}")
    board = tmp_path / "board"
    shutil.copytree(bundle, board)
    frames = dict(zip(seen_runtime.KINDS, three_levels(3), strict=True))
    np.savez(tmp_path / "frames.npz", **frames)
    (board / "play.py").write_text(PYTHON36)
    command = [venv / "bin" / "python", "play.py", tmp_path / "frames.npz"]
    subprocess.run(command, cwd=board, check=True)
    for backend in ("torch", "torchscript"):
        runtime = seen_runtime.load(str(bundle), backend)
        inputs = [
            np.stack([[runtime.prepare(kind, x) for x in w] for w in frames[kind]])
            for kind in seen_runtime.KINDS
        ]
        got = np.load(board / f"{backend}.npy")
        np.testing.assert_allclose(got, runtime.logits(*inputs), rtol=0, atol=1e-5)
