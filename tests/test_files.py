"""Files that are complete or absent, and held against other processes."""

import subprocess
import sys

import pytest

from seen_jax.files import held
from tests.helpers import ROOT

HOLDS = """
import sys, time
from pathlib import Path
from seen_jax.files import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
    if len(sys.argv) > 3:
        Path(sys.argv[1]).unlink()
"""


class RefusedError(Exception):
    pass


@pytest.fixture
def file(tmp_path):
    (tmp_path / "lock").write_text("mine")
    return tmp_path / "lock"


@pytest.fixture
def other(file):
    """Returns a function that starts a process which holds the file for so long."""
    started = []

    def start(seconds, *more):
        command = [sys.executable, "-c", HOLDS, str(file), str(seconds), *more]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE))
        assert started[0].stdout.readline() == b"held\n"
        return started[0]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_hold_ends_with_the_block(file):
    for _ in range(2):
        with held(file), pytest.raises(RefusedError), held(file, RefusedError()):
            pass
    assert file.read_text() == "mine"


def test_a_hold_ends_with_its_process(file, other):
    process = other(600)
    with pytest.raises(RefusedError), held(file, RefusedError()):
        pass
    process.kill()
    process.wait()
    with held(file, RefusedError()):
        pass


def test_it_waits_where_nothing_is_refused(file, other):
    process = other(0.3)
    with held(file):
        pass
    assert process.wait() == 0


def test_a_file_that_its_holder_removed_is_not_held(file, other):
    """Else two would each hold a file of that name."""
    other(0.3, "and remove it")
    with pytest.raises(FileNotFoundError), held(file):
        pass
    with pytest.raises(RefusedError), held(file, RefusedError()):
        pass


def test_errors_of_the_block_are_its_own(file):
    with pytest.raises(BlockingIOError), held(file, RefusedError()):
        raise BlockingIOError
