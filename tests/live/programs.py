"""Programs that run beside a test: a camera, and `seen live` with its page."""

import contextlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

from tests.cameras.server_process import free_pair
from tests.helpers import ROOT, cpu_environment

LIMIT_S = 60


def wait_for(condition, what, limit_s=LIMIT_S):
    """Waits until a condition holds; returns what it returned."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.05)
    return value


@contextlib.contextmanager
def program(module, *arguments, said, log):
    """A module in a process of its own, killed at the end.

    Args:
      module: its name.
      arguments: of it.
      said: part of what it prints when it is ready.
      log: the file of what it prints.
    """
    with open(log, "wb") as file:
        pipes = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
        command = [sys.executable, "-m", module, *map(str, arguments)]
        options = {"cwd": ROOT, "env": cpu_environment(1), "stdout": file}
        process = subprocess.Popen(command, **options, **pipes)
    try:

        def is_ready():
            assert process.poll() is None, log.read_text()
            return said in log.read_text()

        wait_for(is_ready, log.read_text)
        yield process
    finally:
        process.kill()
        process.wait()


def camera(log):
    """A camera of noise, see `tests.live.camera`; its port."""
    return _served("tests.live.camera", lambda port: [port], log)


def virtual_davis(seed, log):
    """The simulator's server; its port."""
    module = "seen_jax.simulator"
    return _served(
        module, lambda port: [f"--serve=127.0.0.1:{port}", f"--seed={seed}"], log
    )


@contextlib.contextmanager
def _served(module, arguments_of, log):
    port = free_pair()
    with program(module, *arguments_of(port), said="serving", log=log):
        yield f"tcp://127.0.0.1:{port},{port + 1}"


def live(source, bundle, port, log, *options):
    """`seen live` of a source, with its page at a port."""
    options = f"--bundle={bundle}", f"--port={port}", "--backend=native", *options
    return program("seen_jax.live", source, *options, said="page ", log=log)


def is_up(port):
    """Whether a page answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10):
            return True
    except urllib.error.URLError:
        return False
