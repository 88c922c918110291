"""Export and runtime where torch is, in an environment that is made here.

The ordinary install has no torch. This adds what requirements-export.txt asks for to
the packages that these tests run with, and runs there the files of which something is
skipped here. It is a large download: `-m "not environments"` leaves it out.
"""

import os
import re
import shutil
import subprocess
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers import ROOT, make_venv

# They ask for torch themselves, or by the bundle of tests/runtime/conftest.py.
NEEDS_TORCH = re.compile(r'importorskip\("torch"|def test_.*\bbundle\b')
TESTED = [
    path
    for folder in ("export", "runtime", "benchmarks")
    for path in sorted((ROOT / "tests" / folder).glob("test_*.py"))
    if NEEDS_TORCH.search(path.read_text())
]


@pytest.fixture
def venv():
    """A folder that is removed, since pytest would keep 5 GB of it for three runs."""
    folder = Path(tempfile.mkdtemp())
    yield folder
    # While other tests run, where there are any: a disk may take long for it.
    threading.Thread(target=shutil.rmtree, args=[folder]).start()


@pytest.mark.environments
@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is here already")
def test_with_torch(venv):
    python = make_venv(venv)
    pip = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-compile"]
    wanted = ["-r", ROOT / "requirements-export.txt"]
    installed = subprocess.run([*pip, *wanted], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"torch cannot be had: {installed.stderr.strip()[-300:]}")
    command = [python, "-m", "pytest", "-q", *TESTED, f"--basetemp={venv / 'tests'}"]
    env = {k: x for k, x in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    print(ran.stdout[-3000:])
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-1000:]
    for reason in ("torch is not installed", "not in the ordinary install"):
        assert reason not in ran.stdout
