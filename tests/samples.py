"""Small SEE folders and events for tests."""

from pathlib import Path

import numpy as np
from PIL import Image

from seen_jax import see
from seen_jax.data.clips import FIELDS
from seen_jax.evaluation import provenance
from seen_jax.evaluation.results import Results
from seen_jax.events import Events
from seen_jax.split import Annotation, Split, split_to_json


def clip_names(
    num_volunteers: int = 3, lengths: tuple[int, ...] = (18, 25, 40)
) -> list[see.ClipName]:
    """Names of one clip per volunteer and emotion, of the given lengths in turn."""
    names = []
    for volunteer in range(1, num_volunteers + 1):
        for emotion in see.EMOTIONS:
            names.append(
                see.ClipName(
                    sequence=len(names) + 1,
                    volunteer=volunteer,
                    sex=see.SEXES[volunteer % 2],
                    age=18 + volunteer,
                    degree=see.DEGREES[volunteer % 3],
                    lighting=see.LIGHTINGS[volunteer % 4],
                    emotion=emotion,
                    length=lengths[len(names) % len(lengths)],
                    take=0,
                )
            )
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
    split = Split(
        see.EMOTIONS,
        {
            str(name): Annotation(
                "testing" if i % 3 == 2 else "training", name.emotion, 0, name.length
            )
            for i, name in enumerate(names)
        },
    )
    (root / "emotion.json").write_text(split_to_json(split))
    return root


def events_of(*rows: tuple[int, int, int, int]) -> Events:
    """Events from (t, x, y, p)."""
    t, x, y, p = np.array(rows, np.int64).reshape(-1, 4).T
    return Events(t, x.astype(np.int16), y.astype(np.int16), p.astype(bool))


def random_events(
    count: int, span_us: int, height: int, width: int, seed: int = 0
) -> Events:
    rng = np.random.default_rng(seed)
    return Events(
        np.sort(rng.integers(0, span_us, count)),
        rng.integers(0, width, count).astype(np.int16),
        rng.integers(0, height, count).astype(np.int16),
        rng.random(count) < 0.5,
    )


def results_of(names, predictions, scores=None, labels=see.EMOTIONS, epoch=None):
    """Results of clips with names of SEE, in the order of the names."""
    predictions = np.asarray(predictions)
    if scores is None:
        scores = np.full((*predictions.shape, len(labels)), np.nan)
    return Results(
        epoch,
        tuple(labels),
        tuple(map(str, names)),
        np.array([labels.index(name.emotion) for name in names]),
        predictions,
        scores,
        {x: np.array([getattr(name, x) for name in names]) for x in FIELDS},
    )


def facts_of(labels, **fields):
    """Facts of an evaluation in the form of `provenance.FACTS`, mostly threes."""
    kinds = provenance.FACTS.items()
    facts = {name: kind(3) for name, kind in kinds if kind is not list}
    return facts | {"labels": [*labels]} | fields
