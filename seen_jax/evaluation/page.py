"""Evaluations -> one HTML file that opens from disk: tables, and plots by matplotlib.

What a reader would get wrong: the pictures show the first pass, the numbers are means
over all of them. Images are embedded; the page loads nothing.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from seen_jax import see
from seen_jax.evaluation import analysis, details, efficiency, plots, provenance, shown
from seen_jax.evaluation.report import Summary, notes, rows

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem;
       margin: 0 auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; } h2 { margin-top: 2.5rem; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption, .note { color: #555; font-size: .9rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .7rem; white-space: nowrap; }
th:first-child { text-align: left; } tr { border-top: 1px solid #ddd; }
tr.group { border-top: 2px solid #888; }
pre { overflow-x: auto; background: #f5f5f5; padding: .7rem; font-size: .8rem; }
.facts { white-space: pre-wrap; overflow-wrap: anywhere; }
.window { display: flex; flex-wrap: wrap; gap: 0 .7rem; border-top: 1px solid #ddd;
          padding-top: .5rem; }
.window figcaption { flex-basis: 100%; } .window > img { width: 220px; }
.window div { flex: 0 0 86px; font-size: .8rem; color: #555; }
.window .events { flex: 1 1 280px; }
.window div img { width: 82px; height: 82px; margin: 0 2px 0 0; }
"""


def to_html(
    summaries: Sequence[Summary], pictures: Sequence[shown.Shown | None]
) -> str:
    """Returns the page.

    Args:
      summaries: of evaluations; the first is what others are compared with.
      pictures: what `shown.load` gave of each.
    """
    sources = {s.facts["source"] if s.facts else "unstated" for s in summaries}
    title = f"Emotion recognition on {' and '.join(sorted(sources))} data"
    parts = [f"<h1>{escape(title)}</h1>", "<h2>Results</h2>", _table(summaries)]
    parts += [_note(note.replace("+-", "±")) for note in notes(summaries)]
    bars = plots.columns(summaries, see.LIGHTINGS)
    parts.append(_figure(bars, "Right, by lighting"))
    for s, seen in zip(summaries, pictures, strict=True):
        parts += _section(s, seen)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style></head>\n"
        "<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _table(summaries: Sequence[Summary]) -> str:
    lines, kind = [], ""
    for row in rows(summaries):
        if not row:
            kind = ' class="group"'
            continue
        tag = "td" if lines else "th"
        texts = (" ".join(x.split()).replace("( ", "(") for x in row[1:])
        cells = [f"<{tag}>{escape(x).replace('+-', '±')}</{tag}>" for x in texts]
        lines.append(f"<tr{kind}><th>{row[0]}</th>{''.join(cells)}</tr>")
        kind = ""
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _section(s: Summary, seen: shown.Shown | None) -> list[str]:
    """What is known of one evaluation."""
    facts = s.facts or {}
    parts = [f"<h2>{escape(s.name)}</h2>", "<h3>Where it comes from</h3>"]
    if facts:
        parts.append(f'<pre class="facts">{escape(provenance.to_text(facts))}</pre>')
    else:
        parts.append(_note("Result files alone: they do not say it."))
    parts.append("<h3>Confusions</h3>")
    matrix = plots.confusion(analysis.confusion(s.results))
    words = "Clips by true and predicted emotion, percent of the true; - without clips"
    parts.append(_figure(matrix, words))
    if (found := analysis.calibration(s.results)) is not None:
        words = (
            f"Expected calibration error {100 * found.error:.1f} percentage points; "
            "each point says of how many predictions it is"
        )
        parts += ["<h3>Calibration</h3>", _figure(plots.reliability(found), words)]
    if facts.get("curves"):
        words = f"The epoch evaluated here: {facts['choice']}"
        curves = plots.curves(facts["curves"], facts["epoch"])
        parts += ["<h3>Training</h3>", _figure(curves, words)]
    if seen is not None:
        parts += [*_activity(seen), *_windows(s, seen)]
    parts.append("<h3>People, intervals and scores</h3>")
    parts.append(f"<pre>{escape(details.to_text(s.results))}</pre>")
    if "efficiency" in facts:
        text = efficiency.to_text(facts["efficiency"])
        parts += ["<h3>Operations and energy</h3>", f"<pre>{escape(text)}</pre>"]
    return parts


def _activity(seen: shown.Shown) -> list[str]:
    """Attention and spikes, means over the observed clips of each emotion."""
    emotions = np.array([see.ClipName.parse(str(x)).emotion for x in seen.observed])
    here = {e: emotions == e for e in see.EMOTIONS if e in emotions}
    rates = np.column_stack([seen.spatial_rate, seen.rates.mean(axis=1)])
    of = f"of {len(emotions)} clips"
    attention = plots.attention({e: seen.attention[x].mean(0) for e, x in here.items()})
    spikes = plots.rates({e: rates[x].mean(0) for e, x in here.items()})
    return [
        "<h3>Attention and spikes</h3>",
        _figure(attention, f"Attention of the three scales, by emotion {of}"),
        _figure(spikes, f"Neurons that fire in a time step, percent, by emotion {of}"),
    ]


def _windows(s: Summary, seen: shown.Shown) -> list[str]:
    """Windows with the scores they got: examples, then mistakes."""
    place = {str(name): i for i, name in enumerate(s.results.names)}
    other = sorted({*map(str, (*seen.observed, *seen.clips))} - place.keys())
    if other:
        raise ValueError(
            f"{shown.FILE}: expected clips of the result files beside it, got "
            f"{other[0]}; evaluate again"
        )
    at = np.array([place[str(name)] for name in seen.clips])
    labels, scores = analysis.labels_of(s.results)[at], s.results.scores[0, at]
    wrong = shown.mistakes(labels, scores)
    parts = [
        "<h3>Examples</h3>",
        _note(
            "The first clip of each emotion: scores (green the true emotion, red "
            "another one that was answered), intensity frames, event frames."
        ),
        *(_window(seen, i, labels[i], scores[i]) for i in shown.examples(labels)),
    ]
    if len(wrong):
        parts += ["<h3>Most confident mistakes</h3>", _note("Highest score first.")]
        parts += [_window(seen, i, labels[i], scores[i]) for i in wrong]
    return parts


def _window(seen: shown.Shown, i: int, label: int, scores: np.ndarray) -> str:
    best = int(scores.argmax())
    words = f"True {see.EMOTIONS[label]}, predicted {see.EMOTIONS[best]}, score "
    words += f"{scores[best]:.2f}: {seen.clips[i]}"
    frames = [("intensity", seen.intensity_frames[i]), ("events", seen.event_frames[i])]
    images = "".join(
        f'<div class="{kind}">{kind}<br>'
        + "".join(_image(Image.fromarray(x).save, kind) for x in images)
        + "</div>"
        for kind, images in frames
    )
    bars = _image(plots.scores(scores, label).savefig, "scores")
    caption = f"<figcaption>{escape(words)}</figcaption>"
    return f'<figure class="window">{caption}{bars}{images}</figure>'


def _figure(figure: Figure, caption: str) -> str:
    image = _image(figure.savefig, caption, dpi=120)
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _image(save, words: str, **options) -> str:
    file = io.BytesIO()
    save(file, format="png", **options)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{data}">'


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
