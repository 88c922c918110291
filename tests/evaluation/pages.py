"""Evaluations with all that a page can show, which no network has made."""

import dataclasses
from pathlib import Path

import numpy as np

from seen_jax import see
from seen_jax.evaluation import examples, summaries
from seen_jax.evaluation.page.sections import Shown
from seen_jax.simulator import difficulty
from tests.helpers import make_row
from tests.samples import clip_names, facts_of, results_of

NAMES = clip_names(num_volunteers=2)
RIGHT = np.array([see.EMOTIONS.index(name.emotion) for name in NAMES])
NUM_WINDOWS = 9


def some(**changes):
    rng = np.random.default_rng(0)
    names = np.array([*map(str, NAMES)])
    arrays = {
        "observed": names,
        "attention": np.full((14, 3), 1 / 3),
        "spatial_rate": rng.random(14),
        "rates": rng.random((14, 4, 5)),
        "clips": names[:NUM_WINDOWS],
        "event_frames": rng.integers(0, 256, (NUM_WINDOWS, 4, 90, 90), np.uint8),
        "intensity_frames": rng.integers(0, 256, (NUM_WINDOWS, 2, 90, 90), np.uint8),
    }
    return arrays | changes


def film():
    """Seven frames of each kind, of which four and two are read, as of E4_S3."""
    rng = np.random.default_rng(1)
    shape, reads = (NUM_WINDOWS, 7, 90, 90), np.zeros((2, 7), bool)
    reads[0, ::2] = reads[1, ::6] = True
    frames = {x: rng.integers(0, 256, shape, np.uint8) for x in ("events", "intensity")}
    return {f"film_{x}": y for x, y in frames.items()} | {"film_reads": reads}


SOURCE = f"simulated ({difficulty.HARD.name})"


def shown_of(labels=see.EMOTIONS, names=NAMES, **fields):
    """An evaluation with all that can be known, of classes in any order."""
    scores = np.random.default_rng(0).dirichlet(np.ones(len(labels)), (3, len(names)))
    results = results_of(names, scores.argmax(-1), scores, labels)
    curves = [make_row(1), make_row(2, "test")]
    facts = facts_of(labels, source=SOURCE, choice="the last epoch")
    facts |= {"epoch": 2, "step": 6, "workdir": "runs/<a>", "curves": curves} | fields
    facts |= {"dataset": "by_volunteer", "split": "test", "setting": "E4_S3"}
    summary = summaries.summarise("<run>", results, facts, Path("a b"))
    arrays = some(**film())
    clips = {x: np.resize(results.names, len(arrays[x])) for x in ("clips", "observed")}
    return Shown(summary, examples.Examples(**arrays | clips), {"<run>": ROBUST})


def named_as(labels):
    """Clips of other classes."""
    return [
        dataclasses.replace(name, emotion=labels[i % len(labels)])
        for i, name in enumerate(NAMES)
    ]


POINTS = [
    dict(severity=0, war=0.5, uar=0.4, war_difference=0.0, uar_difference=0.0,
         war_interval=None, uar_interval=None),
    dict(severity=8, war=0.3, uar=0.2, war_difference=-0.2, uar_difference=-0.2,
         war_interval=[-0.3, -0.1], uar_interval=None),
]  # fmt: skip
KIND = dict(name="shift", title="Shifted <crop>", sentence="It slips.", unit="pixels",
            points=POINTS)  # fmt: skip
LIT = {"lighting": "Low", "num_clips": 9, "share": 0.75, "published": 0.808,
       "interval": [0.6, 0.85]}  # fmt: skip
LIT = {"title": "Lighting", "sentence": "As it is.", "points": [LIT]}
WHOLE = {"war": 0.5, "uar": 0.4, "war_interval": None, "uar_interval": None}
ROBUST = {"baseline": WHOLE, "passes": 2, "kinds": [KIND], "lightings": LIT,
          "setting": "E4_S3", "command": "python -m robustness <a>"}  # fmt: skip
