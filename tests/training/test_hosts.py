"""Two real processes on loopback take the same steps as one, and end with a reason."""

import shutil
import signal
import socket
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest
from flax import traverse_util

from seen_jax.errors import UserError
from seen_jax.evaluation.restored import restore
from seen_jax.training import coordinator, hosts, rendezvous
from tests.helpers import cpu_environment, python
from tests.lab import Lab, free_port, outcomes, wait_for

WORKER = """
import sys, threading
import numpy as np
from seen_jax.training import hosts

port, number = sys.argv[1], int(sys.argv[2])
tree = {"a": np.float32(7 + number), "b": np.arange(3) * number}
facts = {"name": "one" * (1 + 2 * number), "number": number}

def threads():
    return [thread for thread in threading.enumerate() if thread.name == "peers"]

hosts.join("127.0.0.1:" + port, 2, number, heartbeat_s=20)
with hosts.ends_together():
    shared = hosts.from_main(tree)
    assert shared["a"] == 7 and shared["b"].tolist() == [0, 0, 0]
    assert hosts.facts_of_main(facts) == {"name": "one", "number": 0}
    assert hosts.everywhere(True) and not hosts.everywhere(number == 0)
    assert len(threads()) == 2
assert not threads()  # one that talks to the service meanwhile would abort the exit
"""


def test_what_process_0_has_and_all_agree_on_is_known_to_both():
    command, env = [sys.executable, "-c", WORKER, str(free_port())], cpu_environment(1)
    both = [subprocess.Popen([*command, str(i)], env=env) for i in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]


@pytest.fixture(scope="module")
def lab(module_folder):
    """Runs of an epoch in float64, in which sums in another order fire no neuron.

    Its last batch has two clips, so that of two processes one has padding alone.
    """
    fields = {"num_epochs": 1, "eval_every": 1, "images": "device"}
    return Lab(module_folder, fields, JAX_ENABLE_X64="1")


@pytest.fixture(scope="module")
def outputs(lab):
    """What two processes print, and one with two devices, its images on the host."""
    processes = [*lab.start_two("two"), lab.start("one", devices=2, images="store")]
    codes, outputs = outcomes(processes)
    assert codes == [0, 0, 0], "\n".join(outputs)
    return outputs


def test_two_processes_with_images_on_the_devices_write_what_one_writes(lab, outputs):
    assert "images on the devices" in outputs[0] and "epoch" not in outputs[1]
    assert "images from the host" in outputs[2]
    assert "first 3 steps after" in outputs[0] and "first step after" in outputs[2]
    (row,), (expected,) = lab.rows("two"), lab.rows("one")
    assert row.pop("loss") == pytest.approx(expected.pop("loss"), rel=1e-9)
    assert len(row["passes"]) == 2
    assert row == expected
    two, one = (restore(lab.root / name).variables for name in ("two", "one"))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12), two, one)


def test_two_processes_resume_where_one_was_and_stop_together(lab, outputs):
    shutil.copytree(lab.root / "one", lab.root / "again")
    processes = lab.start_two("again", num_epochs=1000)
    wait_for(lambda: len(lab.rows("again")) > 1, processes[0], "another epoch")
    processes[1].send_signal(signal.SIGTERM)  # to one; both stop
    codes, said = outcomes(processes)
    assert codes == [128 + signal.SIGTERM] * 2, "\n".join(said)
    assert "devices: 2 x cpu" in said[0] and "resumes after step 3" in said[0]
    assert "stopped and saved at step" in said[0]
    assert "epoch" not in said[1]  # process 0 alone writes


def test_given_weights_frozen_ones_and_augmented_windows(lab, outputs):
    fields = {"init_from": lab.root / "one", "freeze": "conv*"}
    fields |= {"augment": "shift=4,rotation=5,contrast=0.2,dropout=0.2,noise=0.01"}
    processes = [
        *lab.start_two("two_from", **fields),
        lab.start("one_from", devices=2, images="store", **fields),
    ]
    codes, said = outcomes(processes)
    assert codes == [0, 0, 0], "\n".join(said)
    (row,), (expected,) = lab.rows("two_from"), lab.rows("one_from")
    assert row.pop("loss") == pytest.approx(expected.pop("loss"), rel=1e-9)
    assert row == expected
    two, one, begun = (
        traverse_util.flatten_dict(restore(lab.root / x).variables["params"], sep="/")
        for x in ("two_from", "one_from", "one")
    )
    for path, x in one.items():
        np.testing.assert_allclose(two[path], x, rtol=1e-9, atol=1e-12)
        same = begun[path].tobytes() == two[path].tobytes() == x.tobytes()
        assert same == path.startswith("conv")


def test_another_config_in_one_process_ends_both_with_a_line(lab):
    codes, outputs = outcomes(lab.start_two("differ", second={"seed": 1}))
    assert codes == [1, 1], "\n".join(outputs)
    line = (
        "process 1: expected the config, records, code, devices and C compiler of "
        "process 0, got seed: 2022 -> 1; give every process the same\n"
    )
    ended = line.replace("process 1:", "process 1 ended:")
    assert outputs[1].endswith(f"\n{line}") and f"process 0: {ended}" in outputs[0]
    assert "Traceback" not in "".join(outputs)


@pytest.mark.parametrize("lost, number", [(0, signal.SIGKILL), (1, signal.SIGSTOP)])
def test_a_process_that_is_gone_or_stopped_ends_the_other_with_a_line(
    lab, lost, number
):
    run = f"lost{lost}{number}"
    processes = lab.start_two(run, ["--heartbeat_s=5"], num_epochs=1000)
    wait_for(lambda: lab.rows(run), processes[0], "an epoch")
    processes[lost].send_signal(number)
    try:
        output = processes[1 - lost].communicate(timeout=30)[0]
    finally:
        processes[lost].kill()
        processes[lost].communicate()
    assert processes[1 - lost].returncode == 1, output
    last = output.splitlines()[-1]
    assert last.startswith(f"process {1 - lost}: process {lost} is gone or stopped; ")
    assert "Traceback" not in output and "Fatal" not in output
    rows = lab.rows(run)
    assert [row["epoch"] for row in rows] == [*range(1, len(rows) + 1)]


def test_a_jax_without_what_is_private_there_is_named(monkeypatch):
    words = f"jax: expected a release with .*no.*, got {jax.__version__}; run python"
    for private in (("jaxlib._jax", "no"), ("jax._src.distributed", "no.client")):
        with pytest.raises(UserError, match=words):
            coordinator.private(*private)
    monkeypatch.setattr(coordinator, "CLIENT", ("jax._src.no", "client"))
    with pytest.raises(UserError, match=r"release with jax\._src\.no\.client"):
        hosts.join("127.0.0.1:1234", 2, 0)


def test_a_port_in_use_is_refused(monkeypatch):
    monkeypatch.setattr(rendezvous, "LINGER_S", 0)
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UserError, match=f"port that is free.*, got {port} "):
            hosts.join(f"127.0.0.1:{port}", 2, 0)


def test_no_process_0_is_said_at_once_and_refused_in_the_end(capsys):
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(UserError, match=f"expected process 0 at {address} in 1 s, got"):
        hosts.join(address, 2, 1, join_s=1)
    assert f"process 1 of 2 waits for process 0 at {address}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags", [("a:1", None, None), ("a:1", 2, 2), (None, 2, 0), ("a:1", 2, -1)]
)
def test_flags_that_do_not_fit_are_refused(flags):
    with pytest.raises(UserError, match="num_processes and process_id: expected all"):
        hosts.join(*flags)


@pytest.mark.parametrize("seconds", [0, 10**12])
def test_a_limit_is_a_second_to_a_week(seconds):
    with pytest.raises(UserError, match="heartbeat_s and join_s: expected 1 to 604800"):
        hosts.join("127.0.0.1:1234", 2, 1, join_s=seconds)


def test_without_flags_there_is_one_process():
    hosts.join(None, None, None)
    assert jax.process_count() == 1 and hosts.is_main()
    assert hosts.from_main({"a": 1}) == {"a": 1}
    assert hosts.everywhere(True) and not hosts.everywhere(False)


def test_an_error_of_one_process_leaves_the_block_as_it_is():
    with pytest.raises(KeyError), hosts.ends_together():
        raise KeyError


TWICE = """
import os, signal
from seen_jax.training.hosts import Stop
with Stop() as stop:
    assert not stop.asked()
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.asked() and stop.signal == signal.SIGTERM
    print("noticed", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("too late", flush=True)
"""


def test_a_signal_is_noticed_and_the_second_one_ends_at_once():
    done = python("-c", TWICE)
    assert (done.returncode, done.stdout) == (-15, "noticed\n"), done.stderr
