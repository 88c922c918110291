"""Writes a simulated SEE folder: many clips, several processes, resumable.

    OUT/simulation.json                        the arguments; marks the data as
                                               simulated for every later program
    OUT/event/<emotion>/<clip name>/*.jpg      as published
    OUT/frame/<emotion>/<clip name>/*.jpg
    OUT/raw/<emotion>/<clip name>.aedat4       with raw=True, and its SHA-256
    OUT/emotion.json                           written last: the folder is complete

A clip is written to OUT/.staging and moved when complete, its event folder last, so
that an event folder means a complete clip, even if the program was killed.
"""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import numpy as np

from seen_jax import files, see
from seen_jax.errors import refuse
from seen_jax.images import save_frames
from seen_jax.problems import excerpt
from seen_jax.processes import map_in_processes
from seen_jax.simulator.cast import PlannedClip, plan
from seen_jax.simulator.difficulty import HARD, Difficulty
from seen_jax.split import Annotation, Split, split_to_json

# Raise it with every change to the images that the same seed gives.
SIMULATOR_VERSION = 3
# One thread per worker, on the CPU: a clip is too small for more.
_WORKER_ENV = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def write_see_folder(
    out: Path,
    num_volunteers: int = see.NUM_VOLUNTEERS,
    num_clips: int = see.NUM_CLIPS,
    seed: int = 0,
    raw: bool = False,
    num_workers: int | None = None,
    progress: bool = True,
    difficulty: Difficulty = HARD,
) -> None:
    """Writes a simulated SEE folder, or the clips that are missing in it.

    Args:
      out: new, empty, or left by an earlier call with the same arguments.
      num_volunteers, num_clips, seed: the cast; see `cast.plan`.
      raw: also writes each clip's events and intensity frames as AEDAT4.
      num_workers: processes; None takes one per processor. Changes no pixel.
      progress: shows a progress bar.
      difficulty: how far people and clips differ.

    Raises:
      UserError: `out` holds something else, is being written by another process, or
        cannot be written.
    """
    clips = plan(num_volunteers, num_clips, seed)
    asked = {
        "source": f"simulated ({difficulty.name})",
        "simulator_version": SIMULATOR_VERSION,
        "volunteers": num_volunteers,
        "clips": num_clips,
        "seed": seed,
        "raw": raw,
    }
    remedy = "make room or give another --out; the same command resumes"
    with files.explained(out, remedy):
        _claim(out, asked)
        with files.held(out / see.PROVENANCE_FILE, files.in_use(out)):
            _write_missing(out, clips, seed, raw, num_workers, progress, difficulty)


def _write_missing(out, clips, seed, raw, num_workers, progress, difficulty) -> None:
    staging = out / ".staging"
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
    staging.mkdir()
    missing = [clip for clip in clips if not _is_complete(out, clip)]
    if progress and len(missing) < len(clips):
        print(f"{out}: {len(clips) - len(missing)} of {len(clips)} clips exist already")
    write = functools.partial(_write_clip, out, seed, raw, difficulty)
    for _ in map_in_processes(
        write, missing, "simulate", num_workers, progress, few=0, env=_WORKER_ENV
    ):
        pass
    files.write_whole(out / "emotion.json", split_to_json(_split(clips)))
    staging.rmdir()


def _claim(out: Path, asked: dict) -> None:
    """Writes the arguments into `out`, or refuses a folder with other content."""
    note = out / see.PROVENANCE_FILE
    leftover = f".{note.name}.part"  # of a run that was killed right here
    if not out.exists() or {x.name for x in out.iterdir()} <= {leftover}:
        out.mkdir(parents=True, exist_ok=True)
        files.write_whole(note, json.dumps(asked, indent=1) + "\n")
        return
    if not note.exists():
        rule = "a new or empty folder or one that the simulator wrote"
        refuse(out, rule, f"one without {note.name}", "give another --out")
    begun = files.read_json(note, "give another --out")
    if not isinstance(begun, dict):
        got = excerpt(begun)
        refuse(note, "the JSON object of the simulator", got, "give another --out")
    version = begun.get("simulator_version")
    if version != SIMULATOR_VERSION:
        rule = f"clips of version {SIMULATOR_VERSION} of the simulator"
        remedy = (
            "delete it with the records and runs that were made of it, or give another "
            "folder"
        )
        refuse(out, rule, f"some of version {version}", remedy)
    others = [
        f"{key} {begun.get(key)} there, {value} now"
        for key, value in asked.items()
        if begun.get(key) != value
    ]
    if others:
        rule, got = "the arguments of the first run", f"others ({'; '.join(others)})"
        refuse(out, rule, got, "give the same ones or another --out")


def _is_complete(out: Path, clip: PlannedClip) -> bool:
    return all(_clip_dir(out, kind, clip).is_dir() for kind in ("event", "frame"))


def _write_clip(
    out: Path, seed: int, raw: bool, difficulty: Difficulty, clip: PlannedClip
) -> None:
    from seen_jax.simulator.clip import simulate_clip  # JAX only where it computes

    recorded = simulate_clip(clip.name, seed, difficulty)
    staging = out / ".staging" / str(clip.name)
    save_frames(staging / "frame", recorded.intensity_frames)
    save_frames(staging / "event", recorded.event_frames)
    if raw:
        name = f"{clip.name}.aedat4"
        _write_raw(staging / name, recorded)
        for written in (f"{name}.sha256", name):
            final = _clip_dir(out, "raw", clip).with_name(written)
            files.move_into_place(staging / written, final)
    for kind in ("frame", "event"):  # in this order: see the module's docstring
        files.move_into_place(staging / kind, _clip_dir(out, kind, clip))
    staging.rmdir()


def _write_raw(path: Path, recorded) -> None:
    """Writes AEDAT4 with a frame at the end of each period, inside it by 1 us."""
    from seen_jax.cameras.aedat4 import write_aedat4

    count = len(recorded.intensity_frames)
    times_us = (np.arange(count) + 1) * see.FRAME_PERIOD_US - 1
    write_aedat4(path, recorded.events, times_us, recorded.intensity_frames)


def _clip_dir(out: Path, kind: str, clip: PlannedClip) -> Path:
    return out / kind / clip.name.emotion / str(clip.name)


def _split(clips: list[PlannedClip]) -> Split:
    notes = {
        str(x.name): Annotation(x.subset, x.name.emotion, 0, x.name.length)
        for x in clips
    }
    return Split(see.EMOTIONS, notes)
