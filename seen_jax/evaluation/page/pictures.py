"""A window -> its pictures and its scores, drawn like the paper's figure 1.

A film strip of intensity frames above one of event frames, with a border around the
frames that the network reads; a bar for each class, with its name at the end.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from seen_jax import palette
from seen_jax.evaluation.examples import Examples
from seen_jax.evaluation.page.markup import Html, join, tag

BRIGHT = 170  # grey level above which a fifth of a brightened window's pixels are
MOST_GAIN = 8.0
MOST_BARS = 12  # of more classes, those with the highest scores
LONG = 7  # moments; with more, bars do not fit beside them
KINDS = {"intensity": "intensity frame", "events": "event frame"}  # of a film


@dataclass(frozen=True)
class Film:
    """Frames of a window, (S, H, W) uint8 each, and (S,) bool which are read."""

    events: np.ndarray
    intensity: np.ndarray
    reads_events: np.ndarray
    reads_intensity: np.ndarray


def film(shown: Examples, i: int) -> Film:
    """Returns a window's film, or what the network reads where there is no film."""
    if shown.film_reads is not None:
        frames = shown.film_events[i], shown.film_intensity[i]
        return Film(*frames, *shown.film_reads)
    return read(shown, i)


def read(shown: Examples, i: int) -> Film:
    """Returns a window's film without the moments that the network skips."""
    if shown.film_reads is not None:
        here, of_intensity = shown.film_reads
        frames = shown.film_events[i][here], shown.film_intensity[i][here]
        return Film(*frames, here[here], of_intensity[here])
    frames = shown.event_frames[i], shown.intensity_frames[i]
    return Film(*frames, *(np.ones(len(x), bool) for x in frames))


def strips(frames: Film, seconds: float | None) -> tuple[Html, float]:
    """Returns both strips on one axis, and how much the intensity is brightened.

    Args:
      frames: of the window.
      seconds: from its first frame to its last, None if not known.
    """
    factor = gain(frames.intensity)
    bright = np.minimum(frames.intensity * factor, 255).astype(np.uint8)
    kinds = {
        "intensity": (bright, frames.reads_intensity),
        "events": (frames.events, frames.reads_events),
    }
    count = max(len(frames.events), len(frames.intensity))
    columns = f"grid-template-columns: repeat({count}, minmax(0, 150px))"
    parts = [
        tag("div", *_images(kind, *x), class_=f"film {kind}", style=columns)
        for kind, x in kinds.items()
    ]
    if seconds:
        ends = tag("span", "0 ms"), tag("span", f"{1000 * seconds:.0f} ms")
        parts.append(tag("div", *ends, class_="axis"))
    return tag("div", *parts), factor


def _images(kind: str, frames: np.ndarray, reads: np.ndarray) -> list[Html]:
    parts = []
    for number, (frame, is_read) in enumerate(zip(frames, reads, strict=True), 1):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, format="png", optimize=True)
        source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        words = f"{KINDS[kind]} {number}" + (", read" if is_read else "")
        framed = {"class_": "read"} if is_read else {}
        parts.append(tag("img", alt=words, src=source, **framed))
    return parts


def gain(frames: np.ndarray) -> float:
    """Returns how much to brighten dark frames for people to look at; 1 if not."""
    factor = min(BRIGHT / max(np.percentile(frames, 80), 1), MOST_GAIN)
    return round(float(factor), 1) if factor >= 1.2 else 1.0


def bars(labels: Sequence[str], scores: np.ndarray) -> Html:
    """Draws a bar for each class, its name at the end, the highest in full colour."""
    scores, colours = np.nan_to_num(scores), palette.colours(labels)
    highest = np.argsort(-scores, kind="stable")[:MOST_BARS]
    rows = []
    for i in sorted(highest.tolist()):
        label, share, is_best = labels[i], float(scores[i]), i == highest[0]
        style = f"--share: {share:.3f}; background: {colours[i]}"
        text = f"{label} {100 * share:.0f} %" if is_best else label
        parts = tag("i", style=style), tag("span", text, title=f"{label} {share:.3f}")
        rows.append(tag("div", *parts, **{"class_": "best"} if is_best else {}))
    return tag("div", *rows, class_="bars")


def window(
    labels: Sequence[str],
    scores: np.ndarray,
    frames: Film,
    seconds: float | None,
    caption: Html,
) -> Html:
    """Returns the figure of a window.

    Args:
      labels, scores: of the K classes.
      frames: as `film` or `read` returns them.
      seconds: see `strips`.
      caption: of the figure; that the frames are brightened is added.
    """
    pictures, factor = strips(frames, seconds)
    words = [caption]
    words += [f"intensity shown {factor:g} times brighter"] if factor > 1 else []
    parts = tag("figcaption", join(words, "; ")), pictures, bars(labels, scores)
    kind = "window long" if len(frames.events) > LONG else "window"
    return tag("figure", *parts, class_=kind)
