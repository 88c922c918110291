"""Clips from several places -> one store in memory, such as one person's among others.

A table that names a clip in several rows shows as many windows of it in an epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seen_jax.clip_files import Clip
from seen_jax.data import clips as clips_lib
from seen_jax.data.clips import Clips
from seen_jax.data.record import KINDS, Record
from seen_jax.data.store import FEW_CLIPS, Store
from seen_jax.processes import map_in_processes

if TYPE_CHECKING:  # TFDS is not needed where the clips are files
    from seen_jax.data.records import Records


def from_files(
    clips: Sequence[Clip], labels: Sequence[str], frames_per_s: float, source: str
) -> Store:
    """Decodes all images of clips of a SEE folder that was checked.

    Their labels are among `labels`, which are K names in class-index order.
    """
    index = {
        "names": [clip.name for clip in clips],
        "segments": [(x.annotation.start, x.annotation.end) for x in clips],
        "labels": [clip.annotation.label for clip in clips],
        "num_frames": [len(clip.event_files) for clip in clips],
        "metadata": {"volunteer": [x.metadata.get("volunteer", "") for x in clips]},
    }
    identity = "".join(f"{clip.annotation.label} {clip.sha256}\n" for clip in clips)
    table = clips_lib.from_index(
        index,
        labels,
        source=source,
        fingerprint=hashlib.sha256(identity.encode()).hexdigest(),
        frames_per_s=frames_per_s,
    )
    frames = map_in_processes(_decode, clips, "decode", few=FEW_CLIPS)
    return Store(table, Path("files"), *map(np.concatenate, zip(*frames, strict=True)))


def _decode(clip: Clip) -> list[np.ndarray]:
    files = clip.event_files, clip.frame_files
    record = Record(clip.name, *(tuple(map(Path.read_bytes, x)) for x in files))
    return [record.decode(kind, range(len(clip.event_files))) for kind in KINDS]


def gather(images: Store | Records, clips: Clips) -> Store:
    """Copies all frames of clips into memory, 0.9 MB for one of SEE."""
    lengths = clips.num_frames
    frames = [
        images.windows(clips, np.array([i]), np.arange(n)[None], range(n))
        for i, n in enumerate(lengths)
    ]
    joined = (
        np.concatenate([x[0] for x in part]) for part in zip(*frames, strict=True)
    )
    first_rows = np.cumsum(lengths, dtype=np.int32) - lengths
    return Store(replace(clips, first_rows=first_rows), Path("gathered"), *joined)


def join(first: Store, other: Store) -> Store:
    """Returns the clips of both, with the first table's attributes.

    Both have the same labels. The metadata are left out.
    """
    a, b = first.clips, other.clips
    num_frames = len(first.event_frames)

    def both(name, shift=0):
        return np.concatenate([getattr(a, name), getattr(b, name) + shift])

    table = replace(
        a,
        names=a.names + b.names,
        label_index=both("label_index"),
        segments=both("segments"),
        metadata={},
        numbers=np.arange(len(a) + len(b), dtype=np.int32),
        num_frames=both("num_frames"),
        first_rows=both("first_rows", num_frames).astype(np.int32),
        left_out=(),
        dropped={},
    )
    kinds = ("event_frames", "intensity_frames")
    frames = (np.concatenate([getattr(x, k) for x in (first, other)]) for k in kinds)
    return Store(table, Path("joined"), *frames)


def in_both(store: Store, images: Store | Records, clips: Clips) -> list[str]:
    """Names the clips of a store that are among others too.

    Names alone prove nothing, since every simulated set has the same ones: the frames
    of clips with the same name are compared, as many as both have.
    """
    places = {name: i for i, name in enumerate(clips.names)}

    def is_same(own: int, other: int) -> bool:
        count = min(store.clips.num_frames[own], clips.num_frames[other])
        which = np.arange(count)[None], range(count)
        one = store.windows(store.clips, np.array([own]), *which)
        two = images.windows(clips, np.array([other]), *which)
        return all(map(np.array_equal, one, two))

    names = enumerate(store.clips.names)
    return [x for i, x in names if x in places and is_same(i, places[x])]


def even_rows(label_index: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws rows of a table, equally many of each label, give or take one.

    A clip is drawn again only after all others of its label were. From labels (N,) to
    rows (count,).
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    present = rng.permutation(np.unique(label_index))
    shares = np.bincount(np.arange(count) % len(present), minlength=len(present))
    drawn = [
        np.resize(rng.permutation(np.flatnonzero(label_index == label)), share)
        for label, share in zip(present, shares, strict=True)
    ]
    return np.concatenate(drawn)
