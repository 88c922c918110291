"""Two real processes on loopback take the same steps as one with two devices."""

import pickle
import socket
import subprocess
import sys

import jax
import pytest

from seen_jax.training import hosts
from tests.training import test_step

WORKER = """
import pickle, sys
import numpy as np
from seen_jax.training import hosts, step as step_lib
from tests.training import test_step as t

port, number, out = sys.argv[1:]
hosts.join("127.0.0.1:" + port, 2, int(number), heartbeat_s=20)
mine = slice(int(number) * t.B // 2, (int(number) + 1) * t.B // 2)
tree = {"a": np.float32(7 + int(number)), "b": np.arange(3) * int(number)}
shared = hosts.from_main(tree)
facts = {"name": "one" * (1 + 2 * int(number)), "number": int(number)}
assert hosts.facts_of_main(facts) == {"name": "one", "number": 0}
assert hosts.everywhere(True) and not hosts.everywhere(number == "0")

def part(batch_number, mask):
    batch = t.make_batch(batch_number, mask)
    return {name: x[mine] for name, x in batch.items()}

made = {name: t.train(2, t.MASKS[name], part) for name in ("full", "few")}
pickle.dump((shared, made), open(out, "wb"))
"""


def test_two_processes_train_as_one_does(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env, files = test_step.environment(tmp_path, 1), [tmp_path / "0", tmp_path / "1"]
    processes = [
        subprocess.Popen([sys.executable, "-c", WORKER, port, str(i), file], env=env)
        for i, file in enumerate(files)
    ]
    expected = {
        name: test_step.train(2, test_step.MASKS[name]) for name in ("full", "few")
    }
    for process in processes:
        assert process.wait(timeout=120) == 0
    for file in files:  # each process has the result of all
        shared, made = pickle.loads(file.read_bytes())
        assert shared["a"] == 7 and shared["b"].tolist() == [0, 0, 0]
        for name, found in made.items():
            test_step.assert_same(found, expected[name])


@pytest.mark.parametrize(
    "given", [("a:1", None, None), ("a:1", 2, 2), (None, 2, 0), ("a:1", 2, -1)]
)
def test_flags_that_do_not_fit_are_refused(given):
    with pytest.raises(ValueError, match="num_processes and process_id: expected all"):
        hosts.join(*given)


def test_without_flags_there_is_one_process():
    hosts.join(None, None, None)
    assert jax.process_count() == 1 and hosts.is_main()
    assert hosts.from_main({"a": 1}) == {"a": 1}
    assert hosts.everywhere(True) and not hosts.everywhere(False)


def test_an_error_of_one_process_leaves_the_block_as_it_is():
    with pytest.raises(KeyError), hosts.ends_together():
        raise KeyError


def test_a_signal_is_noticed_and_the_second_one_ends_at_once():
    script = (
        "import os, signal\n"
        "from seen_jax.training.hosts import Stop\n"
        "with Stop() as stop:\n"
        "    assert not stop.asked()\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    assert stop.asked() and stop.signal == signal.SIGTERM\n"
        "    print('noticed', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('too late', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (-15, "noticed\n"), done.stderr
