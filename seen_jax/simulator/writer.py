"""Writes a simulated SEE folder: many clips, several processes, resumable.

    OUT/simulation.json                        what was asked for; marks the data as
                                               simulated for every later program
    OUT/event/<emotion>/<clip name>/*.jpg      as published
    OUT/frame/<emotion>/<clip name>/*.jpg
    OUT/raw/<emotion>/<clip name>.aedat4       with raw=True
    OUT/emotion.json                           written last: a folder with it is whole

A clip is made in OUT/.staging and moved when complete, its event folder last, so that
the event folder's presence means the clip is whole, whenever the program was killed.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from pathlib import Path

import numpy as np

from seen_jax import images, see
from seen_jax.files import held
from seen_jax.processes import map_in_processes
from seen_jax.simulator.cast import PlannedClip, plan

PROVENANCE_FILE = "simulation.json"
# Raise it with every change that makes other images from the same seed.
SIMULATOR_VERSION = 1
# One thread per worker, on the CPU: a clip is too small to share out.
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
) -> None:
    """Writes a simulated SEE folder, or what is missing of it.

    Args:
      out: the folder; new, empty, or left by an earlier call with the same arguments.
      num_volunteers, num_clips, seed: the cast; see `cast.plan`.
      raw: also writes each clip's events and intensity frames as AEDAT4.
      num_workers: processes; None takes one per processor. Does not change a pixel.
      progress: shows a progress bar.

    Raises:
      ValueError: `out` holds something else.
    """
    clips = plan(num_volunteers, num_clips, seed)
    asked = {
        "source": "simulated",
        "simulator_version": SIMULATOR_VERSION,
        "volunteers": num_volunteers,
        "clips": num_clips,
        "seed": seed,
        "raw": raw,
    }
    _claim(out, asked)
    refusal = ValueError(
        f"{out}: expected no other run to write there, found one; wait for it or give "
        "another --out"
    )
    with held(out / PROVENANCE_FILE, refusal):
        _write_missing(out, clips, seed, raw, num_workers, progress)


def _write_missing(out, clips, seed, raw, num_workers, progress) -> None:
    staging = out / ".staging"
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
    staging.mkdir()
    missing = [clip for clip in clips if not _is_whole(out, clip)]
    if progress and len(missing) < len(clips):
        print(f"{out}: {len(clips) - len(missing)} of {len(clips)} clips are there")
    write = functools.partial(_write_clip, out, seed, raw)
    for _ in map_in_processes(
        write, missing, "simulate", num_workers, progress, few=0, env=_WORKER_ENV
    ):
        pass
    _write_text(out / "emotion.json", see.split_to_json(_split(clips)))
    staging.rmdir()


def _claim(out: Path, asked: dict) -> None:
    """Marks `out` as ours, or refuses a folder that something else was written to."""
    note = out / PROVENANCE_FILE
    if not out.exists() or {x.name for x in out.iterdir()} <= {_part(note).name}:
        out.mkdir(parents=True, exist_ok=True)
        _write_text(note, json.dumps(asked, indent=1) + "\n")
        return
    rule = "expected a new or empty folder or one that the simulator wrote"
    if not note.is_file():
        raise ValueError(
            f"{out}: {rule}, found one without {note.name}; give another --out"
        )
    try:
        found = dict(json.loads(note.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{note}: {rule}, found no JSON object in it ({error}); give another --out"
        ) from error
    differs = {
        key: f"{key} {found.get(key)} there, {value} now"
        for key, value in asked.items()
        if found.get(key) != value
    }
    if differs:
        raise ValueError(
            f"{out}: expected the arguments that it was begun with, got others "
            f"({'; '.join(differs.values())}); give the same ones or another --out"
        )


def _is_whole(out: Path, clip: PlannedClip) -> bool:
    return all(_clip_dir(out, kind, clip).is_dir() for kind in ("event", "frame"))


def _write_clip(out: Path, seed: int, raw: bool, clip: PlannedClip) -> None:
    from seen_jax.simulator.clip import simulate_clip  # JAX only where it computes

    recorded = simulate_clip(clip.name, seed)
    staging = out / ".staging" / str(clip.name)
    shutil.rmtree(staging, ignore_errors=True)
    for kind, frames in (
        ("frame", recorded.intensity_frames),
        ("event", recorded.event_frames),
    ):
        images.save_frames(staging / kind, frames)
    if raw:
        _write_raw(staging / "raw", recorded)
        final = _clip_dir(out, "raw", clip).with_name(f"{clip.name}.aedat4")
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staging / "raw", final)
    for kind in ("frame", "event"):  # in this order: see the module's docstring
        final = _clip_dir(out, kind, clip)
        final.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(final, ignore_errors=True)  # of a run killed between the two
        os.replace(staging / kind, final)
    staging.rmdir()


def _write_raw(path: Path, recorded) -> None:
    """Writes AEDAT4 with a frame at the end of each period, inside it by 1 us."""
    from seen_jax.aedat4 import write_aedat4

    count = len(recorded.intensity_frames)
    times_us = (np.arange(count) + 1) * see.FRAME_PERIOD_US - 1
    write_aedat4(path, recorded.events, times_us, recorded.intensity_frames)


def _clip_dir(out: Path, kind: str, clip: PlannedClip) -> Path:
    return out / kind / clip.name.emotion / str(clip.name)


def _split(clips: list[PlannedClip]) -> see.Split:
    return see.Split(
        see.EMOTIONS,
        {
            str(clip.name): see.Annotation(
                clip.subset, clip.name.emotion, 0, clip.name.length
            )
            for clip in clips
        },
    )


def _write_text(path: Path, text: str) -> None:
    """Writes a whole file or none."""
    part = _part(path)
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")
