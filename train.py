"""Trains SEEN.

    python train.py --config=configs/e4_s3.py --workdir=RUN [--config.FIELD=VALUE ...]

If it was killed or stopped, rerun the command to resume. SIGTERM saves first, and so
does Ctrl-C where one process runs alone; the exit code is then 128 + the signal's
number, so that a script does not take the run for done. Several machines:
launch/train_multihost.sh.
"""

import collections
from pathlib import Path

import jax
from absl import flags, logging
from ml_collections import config_flags

from seen_jax import absl_command, memory
from seen_jax.errors import refuse
from seen_jax.export import bundle, start
from seen_jax.files import check_writable
from seen_jax.training import hosts, loop, overrides, setup, workdir

_CONFIG = config_flags.DEFINE_config_file("config", None, "A file of configs/.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; made if needed.")
_CACHE = flags.DEFINE_string(
    "compilation_cache",
    None,
    "Folder in which compiled steps are kept; default: beside the workdir.",
)
_FOR_EXPORT = flags.DEFINE_bool(
    "for_export", False, "Refuse a network that cannot be exported, before training."
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Processes of the job.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "This process, from 0.")
_HEARTBEAT_S = flags.DEFINE_integer(
    "heartbeat_s", hosts.HEARTBEAT_S, "Silence after which a process counts as gone."
)
_JOIN_S = flags.DEFINE_integer(
    "join_s", hosts.JOIN_S, "Seconds in which all processes have to join."
)


def main() -> int:
    logging.set_verbosity(logging.ERROR)
    memory.keep_freed()
    folder = Path(_WORKDIR.value)
    cache = _CACHE.value or folder.resolve().parent / "compilation_cache"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    hosts.join(
        _COORDINATOR.value,
        _NUM_PROCESSES.value,
        _PROCESS_ID.value,
        _HEARTBEAT_S.value,
        _JOIN_S.value,
    )
    with hosts.ends_together():
        print(devices_text(), flush=True)
        if hosts.is_main():
            check_writable(folder)
        task = setup.prepare(_CONFIG.value.to_dict())
        if _FOR_EXPORT.value:
            bundle.check_network(task.model)
        check_processes(task)
        if not hosts.is_main():
            return loop.train(task, folder)
        weights, origin = start.begin(task, folder)
        with workdir.claimed(folder):
            lines = workdir.check_config(folder, task.config, task.fingerprints, origin)
            for line in lines:
                print(f"a run that left no checkpoint starts again with {line}")
            return loop.train(task, folder, weights)


def check_processes(task: setup.Task) -> None:
    """Raises a UserError unless this process was given what process 0 was."""
    git = workdir.git_revision()
    mine = {"config": task.config, "records": task.fingerprints, "git": git}
    mine |= {"devices": jax.local_device_count(), "program": task.program}
    main = hosts.facts_of_main(mine)
    where = ("data_dir", "store_dir")  # other fields decide what is waited for
    lines = workdir.different(main["config"], mine["config"], free=where)
    lines += workdir.different(main["records"], mine["records"], "records of ")
    for name in ("git", "devices", "program"):
        lines += workdir.different({name: main[name]}, {name: mine[name]})
    if lines:
        rule = "the config, records, code, devices and C compiler of process 0"
        what = f"process {jax.process_index()}"
        refuse(what, rule, ", ".join(lines), "give every process the same")


def devices_text() -> str:
    """Says what trains: processes, devices and the versions that matter."""
    kinds = collections.Counter(device.device_kind for device in jax.devices())
    devices = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    return (
        f"process {jax.process_index()} of {jax.process_count()}; devices: {devices} "
        f"({jax.default_backend()}); JAX {jax.__version__}"
    )


if __name__ == "__main__":
    absl_command.run(main, ["config", "workdir"], overrides.check)
