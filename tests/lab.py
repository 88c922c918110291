"""Runs of train.py on ten tiny training clips, beside each other in a folder."""

import socket
import subprocess
import sys
import time

from seen_jax.training.rows import read_rows
from tests.helpers import ROOT, build_records, cpu_environment

# 10 clips in batches of 4: 3 steps an epoch, two clips in the last.
FIELDS = dict(batch_size=4, num_event_frames=1, skip=0, num_epochs=4)
FIELDS |= dict(select="test", eval_every=2, eval_passes=2)


class Lab:
    """Runs that share a dataset and, beside their workdirs, compiled steps.

    Attributes:
      root: the folder of data and workdirs.
      fields: of the config, for all runs.
      variables: of the environment, for all runs.
    """

    def __init__(self, root, fields=None, **variables):
        self.root, self.variables = root, variables
        data_dir = build_records(root, 2, (5, 8))
        self.fields = {**FIELDS, "data_dir": data_dir, **(fields or {})}

    def start(
        self, run, flags=(), devices=1, before="", program=("train.py",), **fields
    ):
        """Starts a run in a process; `before` are commands of the shell."""
        fields = self.fields | fields
        command = [
            sys.executable, *program, "--config=configs/default.py",
            f"--workdir={self.root / run}", *flags,
            *(f"--config.{name}={value}" for name, value in fields.items()),
        ]  # fmt: skip
        env = cpu_environment(devices, PYTHONUNBUFFERED="1", **self.variables)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        shell = ["bash", "-c", f'{before} exec "$@"', "", *command]
        return subprocess.Popen(shell, cwd=ROOT, env=env, **pipes)

    def start_two(self, run, flags=(), second=None, **fields):
        """Starts a run in two processes, the second of them with fields of its own."""
        flags = [f"--coordinator=127.0.0.1:{free_port()}", "--num_processes=2", *flags]
        return [
            self.start(run, [*flags, f"--process_id={i}"], **fields | (other or {}))
            for i, other in enumerate((None, second))
        ]

    def run(self, run, flags=(), **options):
        """Runs to the end; returns the exit code and all that was printed."""
        ((code,), (output,)) = outcomes([self.start(run, flags, **options)])
        return code, output

    def rows(self, run):
        """Returns what metrics.jsonl of a run has, but for the times."""
        return [
            {k: v for k, v in row.items() if "_per_s" not in k and k != "seconds"}
            for row in read_rows(self.root / run)
        ]


def outcomes(processes):
    """Waits for processes; returns their exit codes and what each printed."""
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    return [process.returncode for process in processes], outputs


def wait_for(condition, process, what):
    """Polls until the condition holds, as long as the process lives."""
    end = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, f"ended before {what}: {process.stdout.read()}"
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.0005)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
