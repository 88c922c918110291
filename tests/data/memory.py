"""Records that were never on disk, for tests of what is made of records."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from seen_jax import see


@dataclass(frozen=True)
class MemoryRecords:
    """Stands for `seen_jax.data.records.Records`."""

    directory: Path
    records: list
    split: str = "train"
    fingerprint: str = "0123456789abcdef0123456789abcdef"
    labels: tuple[str, ...] = see.EMOTIONS
    reads: list = field(default_factory=list)  # clips in the order they were asked for

    def __len__(self):
        return len(self.records)

    def __getitem__(self, clip):
        self.reads.append(clip)
        return self.records[clip]

    @property
    def names(self):
        return [str(record.name) for record in self.records]

    @property
    def segments(self):
        return np.array([(r.start, r.end) for r in self.records])

    @property
    def label_index(self):
        return np.array([r.label for r in self.records], np.int32)


def memory_records(directory, lengths, seed=0, **fields):
    """Clips of the given lengths; segments begin at frame 0, 1, 2, 0, 1, 2, ..."""
    rng = np.random.default_rng(seed)
    records = []
    for clip, length in enumerate(lengths):
        emotion = see.EMOTIONS[clip % 7]
        name = see.ClipName(
            clip, 1, "man", 20, "Master", "normal", emotion, length, clip % 1000
        )
        record = SimpleNamespace(
            name=name,
            event_jpegs=tuple(jpeg(rng) for _ in range(length)),
            frame_jpegs=tuple(jpeg(rng) for _ in range(length)),
            label=clip % 7,
            start=min(clip % 3, length - 1),
            end=length,
        )
        records.append(record)
    return MemoryRecords(Path(directory), records, **fields)


def jpeg(rng, size=180):
    """A grey JPEG of smooth noise."""
    small = Image.fromarray(rng.integers(0, 256, (6, 6), np.uint8))
    file = io.BytesIO()
    small.resize((size, size), Image.Resampling.BILINEAR).save(file, "JPEG", quality=75)
    return file.getvalue()
