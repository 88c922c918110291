"""Worker processes: order, errors, scripts without a main guard, a killed parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seen_jax.errors import UserError
from seen_jax.processes import map_in_processes

ROOT = Path(__file__).resolve().parents[1]


def square(x):
    if x == 13:
        raise ValueError("13 brings bad luck")
    return x * x, os.getpid()


@pytest.mark.parametrize(("num_items", "few"), [(40, 16), (3, 0), (0, 0)])
def test_results_are_in_order_and_from_other_processes(num_items, few):
    items = [x for x in range(num_items + 1) if x != 13][:num_items]
    results = list(map_in_processes(square, items, "square", 2, few=few))
    assert [x for x, _ in results] == [x * x for x in items]
    assert os.getpid() not in {pid for _, pid in results}


@pytest.mark.parametrize(("num_items", "num_workers"), [(5, 2), (40, 1)])
def test_little_work_stays_in_this_process(num_items, num_workers):
    items = range(20, 20 + num_items)
    results = list(map_in_processes(square, items, "square", num_workers))
    assert {pid for _, pid in results} == {os.getpid()}


def test_an_error_in_a_worker_is_raised_here():
    with pytest.raises(ValueError, match="13 brings bad luck"):
        list(map_in_processes(square, range(40), "square", 2))


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_a_user_error():
    with pytest.raises(UserError, match="run to their end, got a dead one"):
        list(map_in_processes(die, range(40), "die", 2))


def test_no_worker_is_refused():
    with pytest.raises(ValueError, match="workers: expected at least 1, got 0"):
        list(map_in_processes(square, range(40), "square", 0))


SCRIPT = """
import sys, time
print("script runs")
from seen_jax.processes import map_in_processes
print(sum(map_in_processes({fn}, range(2, 42), "work", 2)))
"""


def test_a_script_without_main_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(fn="abs"))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "script runs\n860\n"  # 2 + 3 + ... + 41


def children(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in tasks for child in path.read_text().split()]


def alive(pid):
    """Whether a process runs; one that ended but was not asked after does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(fn="time.sleep"))
    parent = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 30
    while len(children(parent.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)  # the workers are at work
    workers = children(parent.pid)
    assert len(workers) >= 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))
