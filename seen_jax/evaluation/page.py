"""Evaluations -> one HTML file that opens from disk: tables, and plots by matplotlib.

Images are embedded, so that the page loads nothing else.

Note: example windows show the first pass; numbers are means over all passes.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from html import escape

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from seen_jax import curves
from seen_jax.errors import refuse
from seen_jax.evaluation import (
    analysis,
    analysis_text,
    differences,
    efficiency,
    examples,
    plots,
    provenance,
)
from seen_jax.evaluation.activity import NEURONS_IN_WORDS
from seen_jax.evaluation.examples import Examples
from seen_jax.evaluation.report import (
    Summary,
    columns,
    difference_tables,
    notes,
    rows,
)

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


def to_html(summaries: Sequence[Summary], shown: Sequence[Examples | None]) -> str:
    """Returns the page.

    Args:
      summaries: of evaluations; the others are compared with the first.
      shown: the examples of each, as `examples.load` returns them.
    """
    runs = [run for s in summaries for run in s.each]
    sources = {x.facts["source"] if x.facts else "unstated" for x in runs}
    title = f"Emotion recognition on {' and '.join(sorted(sources))} data"
    parts = [f"<h1>{escape(title)}</h1>", "<h2>Results</h2>", _table(rows(summaries))]
    parts += [_note(note.replace("+-", "±")) for note in notes(summaries)]
    parts.append(_bars(summaries))
    if tables := difference_tables(summaries):
        parts += ["<h2>Differences</h2>", _note(differences.LEGEND)]
        parts += map(_table, tables)
    for summary, of_it in zip(summaries, shown, strict=True):
        parts += _section(summary, of_it)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style></head>\n"
        "<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _bars(summaries: Sequence[Summary]) -> str:
    """Returns shares by lighting where that is known, else by class."""
    names = columns(summaries)
    lit = [x for x in names if x[0] == "lightings"]
    lit = [
        x for x in lit if not all(np.isnan(s.mean.get(x, np.nan)) for s in summaries)
    ]
    bars = plots.columns(summaries, lit or [x for x in names if x[0] == "recalls"])
    return _figure(bars, f"Clips that are right, by {'lighting' if lit else 'class'}")


def _table(table: Sequence[Sequence[str]]) -> str:
    lines, kind = [], ""
    for row in table:
        if not row:
            kind = ' class="group"'
            continue
        tag = "td" if lines else "th"
        texts = (" ".join(x.split()).replace("( ", "(") for x in row[1:])
        cells = [f"<{tag}>{escape(x).replace('+-', '±')}</{tag}>" for x in texts]
        lines.append(f"<tr{kind}><th>{escape(row[0])}</th>{''.join(cells)}</tr>")
        kind = ""
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _section(s: Summary, shown: Examples | None) -> list[str]:
    """Returns the parts about one evaluation."""
    facts, labels = s.facts or {}, s.results.labels
    parts = [f"<h2>{escape(s.name)}</h2>", "<h3>Where it comes from</h3>"]
    for run in s.each:
        if run.facts:
            text = escape(provenance.to_text(run.facts))
            parts.append(f'<pre class="facts">{text}</pre>')
        else:
            parts.append(_note("Unknown: there are result files alone."))
    parts.append("<h3>Confusions</h3>")
    matrix = plots.confusion(analysis.confusion(s.results), labels)
    words = "Clips by true and predicted class, percent of the true; - without clips"
    parts.append(_figure(matrix, words))
    if (calibration := analysis.calibration(s.results)) is not None:
        words = (
            f"Expected calibration error {100 * calibration.error:.1f} percentage "
            "points; the number at a point counts its predictions"
        )
        plot = plots.reliability(calibration)
        parts += ["<h3>Calibration</h3>", _figure(plot, words)]
    if rows := facts.get("curves"):
        epoch = facts["epoch"]
        words = f"The line marks epoch {epoch}, evaluated here: {facts['choice']}"
        plot = curves.draw(rows, num_classes=len(labels), chosen_epoch=epoch)
        parts += ["<h3>Training</h3>", _figure(plot, words)]
    if shown is not None:
        parts += _activity(s, shown) if shown.observed is not None else []
        parts += _windows(s, shown)
    parts.append("<h3>People, intervals and scores</h3>")
    parts.append(f"<pre>{escape(analysis_text.to_text(s.results))}</pre>")
    if "efficiency" in facts:
        text = efficiency.to_text(facts["efficiency"])
        parts += ["<h3>Operations and energy</h3>", f"<pre>{escape(text)}</pre>"]
    return parts


def _clips(s: Summary, names: np.ndarray) -> np.ndarray:
    """Returns the numbers of clips among the results."""
    places = {name: i for i, name in enumerate(s.results.names)}
    for name in sorted({*names.tolist()} - places.keys()):
        rule = "clips of the result files beside it"
        refuse(examples.FILE, rule, name, "evaluate again")
    return np.array([places[name] for name in names.tolist()])


def _activity(s: Summary, shown: Examples) -> list[str]:
    """Returns attention and spikes, means over the observed clips of each class."""
    label_index = s.results.label_index[_clips(s, shown.observed)]
    here = {s.results.labels[k]: label_index == k for k in np.unique(label_index)}
    rates = np.column_stack([shown.spatial_rate, shown.rates.mean(axis=1)])
    attention = plots.attention(
        {k: shown.attention[x].mean(0) for k, x in here.items()}
    )
    spikes = plots.rates({k: rates[x].mean(0) for k, x in here.items()})
    of = f"by class, of {len(label_index)} clips"
    return [
        "<h3>Attention and spikes</h3>",
        _figure(attention, f"Attention of the three scales, {of}"),
        _figure(spikes, f"Neurons that fire in a time step, percent, {of}"),
        _note(NEURONS_IN_WORDS),
    ]


def _windows(s: Summary, shown: Examples) -> list[str]:
    """Returns windows with their scores: examples, then mistakes."""
    clips = _clips(s, shown.clips)
    classes, scores = s.results.label_index[clips], s.results.scores[0, clips]

    def figures(chosen):
        return [
            _window(s.results.labels, shown, i, classes[i], scores[i]) for i in chosen
        ]

    wrong = examples.mistakes(classes, scores)
    parts = [
        "<h3>Examples</h3>",
        _note(
            "The first clip of each class: scores (green for the true class, red for "
            "another prediction), intensity frames, event frames."
        ),
        *figures(examples.first_of_each(classes)),
    ]
    if len(wrong):
        parts += ["<h3>Most confident mistakes</h3>", _note("Highest score first.")]
    return parts + figures(wrong)


def _window(
    labels: Sequence[str], shown: Examples, i: int, true_class: int, scores: np.ndarray
) -> str:
    best = int(scores.argmax())
    words = f"True {labels[true_class]}, predicted {labels[best]}, score "
    words += f"{scores[best]:.2f}: {shown.clips[i]}"
    frames = {"intensity": shown.intensity_frames[i], "events": shown.event_frames[i]}
    images = "".join(
        f'<div class="{kind}">{kind}<br>'
        + "".join(_image(Image.fromarray(x).save, kind) for x in images)
        + "</div>"
        for kind, images in frames.items()
    )
    bars = _image(plots.scores(scores, true_class, labels).savefig, "scores")
    caption = f"<figcaption>{escape(words)}</figcaption>"
    return f'<figure class="window">{caption}{bars}{images}</figure>'


def _figure(figure: Figure, caption: str) -> str:
    image = _image(figure.savefig, caption, dpi=120)
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _image(save, words: str, **options) -> str:
    file = io.BytesIO()
    with warnings.catch_warnings():  # names in scripts that the font lacks
        warnings.filterwarnings("ignore", "Glyph .* missing")
        save(file, format="png", **options)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{data}">'


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
