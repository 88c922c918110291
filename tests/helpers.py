"""What several test files share: records and runs that no one simulated or trained."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path

import jax
import numpy as np
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

from configs import default
from seen_jax import see
from seen_jax.data import clips as clips_lib
from seen_jax.data.record import Record
from seen_jax.data.records import Records
from seen_jax.models.seen import SEEN
from seen_jax.training import rows as rows_lib
from seen_jax.training import setup, state, workdir
from seen_jax.training.checkpoint import Checkpoints
from tests import samples
from tests.models.variables import draw, windows

ROOT = Path(__file__).resolve().parents[1]
ROTATED = (*see.EMOTIONS[3:], *see.EMOTIONS[:3])  # another order of the classes


class MemoryRecords(Records):
    """Records that were never on disk.

    Attributes:
      records: one of each clip.
      reads: clips in the order in which they were asked for.
    """

    def __init__(self, directory, records, clips):
        self.directory, self.records, self.clips = Path(directory), records, clips
        self.reads = []

    def __getitem__(self, clip):
        self.reads.append(int(clip))
        return self.records[clip]

    def __reduce__(self):
        return type(self), (self.directory, self.records, self.clips)


def memory_records(
    directory,
    lengths,
    seed=0,
    *,
    labels=see.EMOTIONS,
    num_volunteers=1,
    split="train",
    fingerprint="0123456789abcdef0123456789abcdef",
):
    """Clips of the given lengths; segments begin at frame 0, 1, 2, 0, 1, 2, ..."""
    rng = np.random.default_rng(seed)
    names, records, segments = [], [], []
    for clip, length in enumerate(lengths):
        who = clip, 1 + clip % num_volunteers, "man", 20, "Master", "normal"
        name = str(see.ClipName(*who, see.EMOTIONS[clip % 7], length, clip % 1000))
        jpegs = [tuple(jpeg(rng) for _ in range(length)) for _ in range(2)]
        names.append(name)
        records.append(Record(name, *jpegs))
        segments.append((min(clip % 3, length - 1), length))
    facts = {"split": split, "source": "simulated", "fingerprint": fingerprint}
    clips = clips_lib.from_names(names, labels, segments, **facts)
    return MemoryRecords(directory, records, clips)


def jpeg(rng, size=180):
    """A grey JPEG of smooth noise."""
    small = Image.fromarray(rng.integers(0, 256, (6, 6), np.uint8))
    file = io.BytesIO()
    small.resize((size, size), Image.Resampling.BILINEAR).save(file, "JPEG", quality=75)
    return file.getvalue()


def build_records(
    root: Path,
    num_volunteers: int,
    lengths: tuple[int, ...],
    labels=see.EMOTIONS,
    levels: tuple[int, ...] = (),
) -> Path:
    """Builds records of small clips of noise; returns their data_dir."""
    names = samples.clip_names(num_volunteers, lengths)
    see_dir = samples.write_see_folder(root / "see", names, size=90, levels=levels)
    write_labels(see_dir, labels)
    build = [sys.executable, "datasets/see_tfds/build.py", see_dir, root / "data"]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return root / "data"


def write_labels(see_dir: Path, labels) -> None:
    """Changes the order of the classes in a split file."""
    with samples.edited(see_dir / "emotion.json") as content:
        content["labels"] = list(labels)


def write_run(
    root: Path,
    wars: dict[int, float],
    variables=None,
    labels=see.EMOTIONS,
    levels: tuple[int, ...] = (),
    **fields,
) -> Path:
    """Writes a workdir as train.py leaves it, on records of its own, without training.

    The records are of two volunteers with 5 or 8 frames a clip.

    Args:
      root: an empty folder; the run is in `run` there.
      wars: step to the WAR of its checkpoint, one for each epoch.
      variables: by step; of the others they are drawn as before training.
      labels: in the order of the split file.
      levels: of grey, of which images are noise; by default that is smooth.
      **fields: of the config.
    """
    config = default.get_config().to_dict() | fields
    config["data_dir"] = str(build_records(root, 2, (5, 8), labels, levels))
    task = setup.prepare(config)
    folder = root / "run"
    folder.mkdir()
    workdir.check_config(folder, config, task.fingerprints)
    drawn = untrained(config["num_event_frames"])
    facts = {"config": config, "git": "abc", "records": task.fingerprints}
    facts |= {"labels": list(task.train.clips.labels), "epoch_so_far": {}}
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        for epoch, (step, war) in enumerate(wars.items(), start=1):
            now = (variables or {}).get(step, drawn)
            opt_state = jax.device_get(task.optimizer.init(now["params"]))
            now = state.TrainState(np.int32(step), **now, opt_state=opt_state)
            checkpoints.save(now, facts | {"epoch": epoch})
            rows_lib.append_row(folder, make_row(epoch, "test", war=war, step=step))
        checkpoints.wait()
    return folder


def untrained(num_event_frames: int):
    """Draws variables as before training, without the time that compiling takes."""
    inputs = windows(see.INPUT_SIZE, 1, num_event_frames)
    return jax.device_get(draw(SEEN(), inputs, scale=1.0))


def in_float64(variables):
    """Returns variables of which the floats are float64; x64 has to be on."""
    return jax.tree.map(
        lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, variables
    )


def make_row(epoch, split=None, **fields):
    """A row of metrics.jsonl; of an epoch that was evaluated where a split is given."""
    row = {
        "epoch": epoch, "step": 10 * epoch, "loss": 1 / epoch, "accuracy": 0.5,
        "learning_rate": 0.015, "seconds": 90.0, "windows_per_s": 100.0,
    }  # fmt: skip
    if split:
        mean = {
            "recalls": dict.fromkeys(see.EMOTIONS, 0.5),
            "lightings": {**dict.fromkeys(see.LIGHTINGS, 0.5), "HDR": None},  # no clip
            "overall": {"WAR": 0.5, "UAR": 0.5},
        }
        row |= {"split": split, "war": 0.612, "uar": 0.6, "war_std": None}
        row |= {"mean": mean, "passes": [mean]}
    return row | fields


def read_board(folder):
    """Reads TensorBoard's file in a workdir: tag -> values, each with its step."""
    (file,) = (folder / "tensorboard").iterdir()
    data, values = file.read_bytes(), {}
    while data:  # length (8 bytes), its checksum (4), the event, its checksum (4)
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
        for value in event.summary.value:
            values.setdefault(value.tag, []).append((event.step, value))
    return values


def make_venv(folder: Path) -> Path:
    """Makes a virtual environment that sees these packages; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    place = subprocess.check_output([python, "-c", code], text=True).strip()
    Path(place, "these.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def cpu_environment(num_devices: int, **variables: str) -> dict[str, str]:
    """Returns the environment of another process with so many virtual devices.

    Its programs are compiled with few of LLVM's passes, in about half of the time.
    """
    flags = f"--xla_force_host_platform_device_count={num_devices}"
    flags += " --xla_backend_optimization_level=1"
    return os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, **variables}


def python(*arguments, **variables: str) -> subprocess.CompletedProcess:
    """Runs Python at the repository's root with one device; returns what it said."""
    command = [sys.executable, *map(str, arguments)]
    env = cpu_environment(1, **variables)
    return subprocess.run(command, cwd=ROOT, env=env, text=True, capture_output=True)


def run_without(packages: str, code: str) -> None:
    """Runs code in a process that cannot import these packages; fails if it does."""
    absent = f"import sys; sys.modules.update(dict.fromkeys({packages.split()}))\n"
    done = python("-c", absent + code)
    assert done.returncode == 0, done.stderr
