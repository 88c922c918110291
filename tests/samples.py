"""Small SEE folders and events for tests."""

import contextlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

from seen_jax import see
from seen_jax.data.clips import FIELDS
from seen_jax.evaluation import provenance
from seen_jax.evaluation.results import Results
from seen_jax.events import Events, Recording
from seen_jax.split import Annotation, Split, split_to_json


def clip_names(
    num_volunteers: int = 3, lengths: tuple[int, ...] = (18, 25, 40)
) -> list[see.ClipName]:
    """Names of one clip per volunteer and emotion, of the given lengths in turn."""
    names = []
    for volunteer in range(1, num_volunteers + 1):
        who = volunteer, see.SEXES[volunteer % 2], 18 + volunteer
        who = *who, see.DEGREES[volunteer % 3], see.LIGHTINGS[volunteer % 4]
        for emotion in see.EMOTIONS:
            length = lengths[len(names) % len(lengths)]
            names.append(see.ClipName(len(names) + 1, *who, emotion, length, 0))
    return names


def write_see_folder(
    root: Path,
    names: list[see.ClipName] | None = None,
    size: int = 180,
    levels: tuple[int, ...] = (),
) -> Path:
    """Writes clips of noise, every third of them in the testing subset.

    Args:
      root: a new folder.
      names: of the clips; by default those of `clip_names`.
      size: of the images.
      levels: of grey, for PNG of these alone; by default JPEG of smooth noise.
    """
    names = clip_names() if names is None else names
    rng = np.random.default_rng(0)
    for name in names:
        for kind in ("event", "frame"):
            clip_dir = root / kind / name.emotion / str(name)
            clip_dir.mkdir(parents=True)
            for i in range(name.length):
                if levels:
                    noise = rng.choice(np.array(levels, np.uint8), (size, size))
                    Image.fromarray(noise).save(clip_dir / f"{i:05d}.png")
                    continue
                small = rng.integers(0, 256, (6, 6), np.uint8)
                image = Image.fromarray(small).resize((size, size), Image.BILINEAR)
                image.save(clip_dir / f"{i:05d}.jpg", quality=75)
    subsets = ("training", "training", "testing")
    notes = {
        str(name): Annotation(subsets[i % 3], name.emotion, 0, name.length)
        for i, name in enumerate(names)
    }
    (root / "emotion.json").write_text(split_to_json(Split(see.EMOTIONS, notes)))
    return root


@contextlib.contextmanager
def edited(path: Path):
    """Gives the content of a JSON file, and writes it as the block leaves it."""
    content = json.loads(path.read_text())
    yield content
    path.write_text(json.dumps(content))


def events_of(*rows: tuple[int, int, int, int]) -> Events:
    """Events from (t, x, y, p)."""
    t, x, y, p = np.array(rows, np.int64).reshape(-1, 4).T
    return Events(t, x.astype(np.int16), y.astype(np.int16), p.astype(bool))


def random_events(
    count: int, span_us: int, height: int, width: int, seed: int = 0
) -> Events:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, span_us, count))
    x, y = (rng.integers(0, n, count).astype(np.int16) for n in (width, height))
    return Events(t, x, y, rng.random(count) < 0.5)


def assert_same_recording(got: Recording, expected: Recording) -> None:
    """Compares events, times, intensity frames and size, but not the notes."""
    for name in "txyp":
        ours, theirs = getattr(got.events, name), getattr(expected.events, name)
        np.testing.assert_array_equal(ours, theirs)
    for name in ("times_us", "intensity_frames", "resolution"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))


def results_of(names, predictions, scores=None, labels=see.EMOTIONS, epoch=None):
    """Results of clips with names of SEE, in the order of the names."""
    predictions = np.asarray(predictions)
    if scores is None:
        scores = np.full((*predictions.shape, len(labels)), np.nan)
    truth = np.array([labels.index(name.emotion) for name in names])
    metadata = {x: np.array([getattr(name, x) for name in names]) for x in FIELDS}
    names = tuple(map(str, names))
    return Results(epoch, tuple(labels), names, truth, predictions, scores, metadata)


def facts_of(labels, **fields):
    """Facts of an evaluation in the form of `provenance.FACTS`, mostly threes."""
    kinds = provenance.FACTS.items()
    facts = {name: kind(3) for name, kind in kinds if kind is not list}
    return facts | {"labels": [*labels]} | fields
