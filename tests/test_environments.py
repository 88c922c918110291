"""Export and runtime where torch is, in an environment that is made here.

The ordinary install has no torch. This adds what requirements-export.txt asks for to
the packages that these tests run with, and runs there what is skipped here; one test
there makes the environment of a Jetson TX2 in turn. Both are large downloads:
`-m "not environments"` leaves them out.
"""

import os
import subprocess
import sys
import sysconfig
from importlib.util import find_spec

import pytest

from tests.runs import ROOT

TESTED = ("tests/export", "tests/runtime", "tests/benchmarks")


@pytest.mark.environments
@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is here already")
def test_with_torch(tmp_path):
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    place = subprocess.run([python, "-c", code], capture_output=True, text=True)
    packages = sysconfig.get_path("purelib")
    (tmp_path / place.stdout.strip() / "these.pth").write_text(packages + "\n")
    pip = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    wanted = ["-r", ROOT / "requirements-export.txt"]
    installed = subprocess.run([*pip, *wanted], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"torch cannot be had: {installed.stderr.strip()[-300:]}")
    ran = subprocess.run(
        [python, "-m", "pytest", "-q", *TESTED, f"--basetemp={tmp_path / 'tests'}"],
        cwd=ROOT,
        env={k: x for k, x in os.environ.items() if not k.startswith("PYTEST_XDIST")},
        capture_output=True,
        text=True,
    )
    print(ran.stdout[-3000:])
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-1000:]
    assert "torch is not installed" not in ran.stdout
