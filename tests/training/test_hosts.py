"""Two real processes on loopback take the same steps as one, and end with a reason."""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from seen_jax.errors import UserError
from seen_jax.training import coordinator, hosts, peers
from tests import samples
from tests.training import test_step

ROOT = Path(__file__).resolve().parents[2]
NUM_STEPS = 20

WORKER = """
import pickle, sys
import numpy as np
from seen_jax.training import hosts, step as step_lib
from tests.training import test_step as t

port, number, out, steps = sys.argv[1:]
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

t.NUM_STEPS = int(steps)
made = {name: t.train(2, t.MASKS[name], part) for name in ("full", "few")}
pickle.dump((shared, made), open(out, "wb"))
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_two_processes_train_as_one_does(tmp_path, monkeypatch):
    # One process with one device adds everything up in one order, two in another.
    port = str(free_port())
    env, files = test_step.environment(tmp_path, 1), [tmp_path / "0", tmp_path / "1"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, port, str(i), file, str(NUM_STEPS)], env=env
        )
        for i, file in enumerate(files)
    ]
    monkeypatch.setattr(test_step, "NUM_STEPS", NUM_STEPS)
    expected = {
        name: test_step.train(1, test_step.MASKS[name]) for name in ("full", "few")
    }
    for process in processes:
        assert process.wait(timeout=120) == 0
    results = [pickle.loads(file.read_bytes()) for file in files]
    for shared, trained in results:  # each process has the result of all
        assert shared["a"] == 7 and shared["b"].tolist() == [0, 0, 0]
        for name, one in trained.items():
            assert len(one[0]) == NUM_STEPS
            test_step.assert_same(one, expected[name])


class Job:
    """Runs of train.py on ten tiny training clips."""

    def __init__(self, root):
        self.root = root
        names = samples.clip_names(2, (5, 8))
        see_dir = samples.write_see_folder(root / "see", names, size=90)
        build = [sys.executable, "datasets/see_tfds/build.py", see_dir, root / "data"]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)

    def start(self, run, devices=1, flags=(), **fields):
        fields = {
            "data_dir": self.root / "data", "batch_size": 4, "num_event_frames": 1,
            "skip": 0, "num_epochs": 1, "eval_passes": 2, **fields,
        }  # fmt: skip
        return subprocess.Popen(
            [
                sys.executable, "train.py", "--config=configs/default.py",
                f"--workdir={self.root / run}", *flags,
                *(f"--config.{name}={value}" for name, value in fields.items()),
            ],
            cwd=ROOT,
            env=os.environ | {
                "JAX_PLATFORMS": "cpu",
                "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            },
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    def start_two(self, run, second=None, flags=(), **fields):
        flags = [f"--coordinator=127.0.0.1:{free_port()}", "--num_processes=2", *flags]
        return [
            self.start(run, 1, [*flags, f"--process_id={i}"], **fields | (other or {}))
            for i, other in enumerate(({}, second))
        ]

    def rows(self, run):
        path = self.root / run / "metrics.jsonl"
        if not path.exists():
            return []
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [
            {k: v for k, v in row.items() if "_per_s" not in k and k != "seconds"}
            for row in rows
        ]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return Job(tmp_path_factory.mktemp("job"))


def outputs_of(processes):
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    return [process.returncode for process in processes], outputs


def test_two_processes_with_images_on_the_devices_write_what_one_writes(job):
    # One process with two devices does the same sums in the same order, and a sum of
    # two numbers does not depend on theirs.
    codes, outputs = outputs_of(
        [*job.start_two("two", images="device"), job.start("one", 2, images="device")]
    )
    assert codes == [0, 0, 0], outputs
    assert "images on the devices" in outputs[0] and "epoch" not in outputs[1]
    (row,), (expected,) = job.rows("two"), job.rows("one")
    assert row["loss"] == pytest.approx(expected.pop("loss"), rel=1e-5)
    assert len(expected["passes"]) == 2
    assert {k: v for k, v in row.items() if k != "loss"} == expected


def test_another_config_in_one_process_ends_both_with_a_line(job):
    codes, outputs = outputs_of(job.start_two("differ", {"seed": 1}))
    assert codes == [1, 1], outputs
    line = (
        "process 1: expected the config, records, code and number of devices of "
        "process 0, got seed: 2022 -> 1; give every process the same\n"
    )
    assert outputs[1].endswith(line) and f"process 1 ended: {line}" in outputs[0]
    assert "Traceback" not in "".join(outputs)


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_is_gone_or_stopped_ends_the_other_with_a_line(
    job, lost, number
):
    run = f"lost{lost}{number}"
    processes = job.start_two(run, flags=["--heartbeat_s=5"], num_epochs=1000)
    end = time.monotonic() + 120
    while not job.rows(run):
        assert time.monotonic() < end and processes[0].poll() is None
        time.sleep(0.1)
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


@pytest.mark.parametrize(
    "address",
    ["abc", "127.0.0.1", "a:-1", "a:0", "a:65536", ":1", "::1:80", "a:1x", "a:1234567"],
)
def test_an_address_without_a_host_or_a_port_is_refused(address):
    with pytest.raises(UserError, match=r"coordinator: expected HOST:PORT with a port"):
        hosts.join(address, 2, 1)


def test_a_jax_without_what_is_private_there_is_named(monkeypatch):
    words = f"jax: expected a release with .*no.*, got {jax.__version__}; run python"
    for private in (("jaxlib._jax", "no"), ("jax._src.distributed", "no.client")):
        with pytest.raises(UserError, match=words):
            coordinator.private(*private)
    monkeypatch.setattr(coordinator, "CLIENT", ("jax._src.no", "client"))
    with pytest.raises(UserError, match=r"release with jax\._src\.no\.client"):
        hosts.join("127.0.0.1:1234", 2, 0)


def test_an_ipv6_address_stands_in_brackets():
    assert peers.split_address("[::1]:80") == ("::1", 80)
    assert peers.split_address("host0:65535") == ("host0", 65535)


def test_a_port_in_use_is_refused(monkeypatch):
    monkeypatch.setattr(peers, "LINGER_S", 0)
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
