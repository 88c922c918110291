"""Evaluations -> one HTML file that opens from disk: tables, and plots by matplotlib.

What a reader would get wrong: the pictures show the first pass, the numbers are means
over all of them. Images are embedded; the page loads nothing.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from seen_jax import see
from seen_jax.evaluation import analysis, details, efficiency, provenance, shown
from seen_jax.evaluation.activity import NEURONS
from seen_jax.evaluation.report import COLUMNS, LEGEND, Summary, exceeds_spread

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem;
       margin: 0 auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption, .note { color: #555; font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .7rem; white-space: nowrap; }
th:first-child { text-align: left; } tr { border-top: 1px solid #ddd; }
pre { overflow-x: auto; background: #f5f5f5; padding: .7rem; font-size: .8rem; }
.facts { white-space: pre-wrap; overflow-wrap: anywhere; }
.strip { overflow-x: auto; } .strip img { min-width: 40rem; }
"""
SCALES = ("3 x 3", "5 x 5", "7 x 7")


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
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for s in summaries:
        parts += [f"<h3>{html.escape(s.name)}</h3>", _provenance(s)]
    parts += ["<h2>Results</h2>", _table(summaries), _note(LEGEND)]
    parts.append(_figure(_columns(summaries, see.LIGHTINGS), "Right, by lighting"))
    for s, seen in zip(summaries, pictures, strict=True):
        parts += _section(s, seen)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style></head>\n"
        "<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _provenance(s: Summary) -> str:
    if s.facts is None:
        return _note("Result files alone: they do not say where they come from.")
    return f'<pre class="facts">{html.escape(provenance.to_text(s.facts))}</pre>'


def _table(summaries: Sequence[Summary]) -> str:
    head = "".join(f"<th>{html.escape(s.name)}</th>" for s in summaries)
    rows = [f"<tr><th></th>{head}</tr>"]
    for column in COLUMNS:
        cells = "".join(f"<td>{_cell(summaries[0], s, column)}</td>" for s in summaries)
        rows.append(f"<tr><th>{column}</th>{cells}</tr>")
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def _cell(first: Summary, s: Summary, column: str) -> str:
    mean, spread = 100 * s.mean[column], 100 * s.spread[column]
    if np.isnan(mean):
        return "-"
    text = f"{mean:.1f}" + ("" if np.isnan(spread) else f" ± {spread:.1f}")
    difference = mean - 100 * first.mean[column]
    if s is first or np.isnan(difference):
        return text
    return (
        f"{text} ({difference:+.1f}){'*' if exceeds_spread(first, s, column) else ''}"
    )


def _section(s: Summary, seen: shown.Shown | None) -> list[str]:
    """What is known of one evaluation."""
    facts = s.facts or {}
    parts = [f"<h2>{html.escape(s.name)}</h2>"]
    parts.append(_figure(_confusion(s), "Clips by true and predicted emotion, percent"))
    if (found := analysis.calibration(s.results)) is not None:
        parts.append(
            _figure(
                _reliability(found),
                f"Calibration; expected error {100 * found.error:.1f} %",
            )
        )
    if facts.get("curves"):
        words = f"Training; the epoch evaluated here: {facts['choice']}"
        parts.append(_figure(_curves(facts["curves"], facts["epoch"]), words))
    if seen is not None:
        parts += [
            _figure(_attention(seen), "Attention of the three scales, by emotion"),
            _figure(_rates(seen), "Share of neurons that fire, by emotion"),
            *_windows(s, seen),
        ]
    parts.append(f"<pre>{html.escape(details.to_text(s.results))}</pre>")
    if "efficiency" in facts:
        text = efficiency.to_text(facts["efficiency"])
        parts.append(f"<pre>{html.escape(text)}</pre>")
    return parts


def _columns(summaries: Sequence[Summary], columns: Sequence[str]) -> Figure:
    figure, axes = _axes(6, 2.8)
    columns = [c for c in columns if not all(np.isnan(s.mean[c]) for s in summaries)]
    width = 0.8 / len(summaries)
    for i, s in enumerate(summaries):
        x = np.arange(len(columns)) + width * (i - (len(summaries) - 1) / 2)
        heights = [np.nan_to_num(100 * s.mean[c]) for c in columns]
        spread = [np.nan_to_num(100 * s.spread[c]) for c in columns]
        axes.bar(x, heights, 0.9 * width, yerr=spread, label=s.name)
    axes.set_xticks(range(len(columns)), columns)
    axes.set(ylabel="percent", ylim=(0, 100))
    _legend_above(axes, len(summaries))
    return figure


def _confusion(s: Summary) -> Figure:
    matrix = analysis.confusion(s.results)
    share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1e-9)
    figure, axes = _axes(5.5, 5)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(share):
        colour = "white" if value > 60 else "black"
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(share)), see.EMOTIONS, rotation=45, ha="right")
    axes.set_yticks(range(len(share)), see.EMOTIONS)
    axes.set(xlabel="predicted", ylabel="true")
    return figure


def _reliability(found: analysis.Calibration) -> Figure:
    figure, axes = _axes(4.5, 4)
    axes.plot([0, 1], [0, 1], color="grey", lw=0.8, ls=":")
    known = found.counts > 0
    axes.plot(found.confidence[known], found.accuracy[known], "o-")
    axes.set(xlabel="best score", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
    return figure


def _curves(rows: Sequence[dict], epoch: int) -> Figure:
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    left.plot(epochs, [row["loss"] for row in rows], marker=".")
    left.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    right.plot(epochs, [row["accuracy"] for row in rows], label="training accuracy")
    evaluated = [row for row in rows if "war" in row]
    for name in ("war", "uar") if evaluated else ():
        label = f"{evaluated[0]['split']} {name.upper()}"
        x = [row["epoch"] for row in evaluated]
        right.plot(x, [row[name] for row in evaluated], ".-", label=label)
    right.axvline(epoch, color="grey", lw=0.8, label="evaluated here")
    right.set(xlabel="epoch", ylim=(0, 1))
    right.legend(fontsize="small")
    return figure


def _by_emotion(seen: shown.Shown, values: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the mean over the clips of each emotion that there is."""
    emotions = np.array([see.ClipName.parse(str(x)).emotion for x in seen.names])
    present = [emotion for emotion in see.EMOTIONS if emotion in emotions]
    return {emotion: values[emotions == emotion].mean(axis=0) for emotion in present}


def _attention(seen: shown.Shown) -> Figure:
    return _grouped(_by_emotion(seen, seen.attention), SCALES, "weight")


def _rates(seen: shown.Shown) -> Figure:
    rates = _by_emotion(seen, seen.rates.mean(axis=1))
    return _grouped(rates, NEURONS[1:], "spikes per step")


def _grouped(means: dict[str, np.ndarray], names: Sequence[str], what: str) -> Figure:
    figure, axes = _axes(7, 2.8)
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        x = np.arange(len(means)) + width * (i - (len(names) - 1) / 2)
        axes.bar(x, [row[i] for row in means.values()], 0.9 * width, label=name)
    axes.set_xticks(range(len(means)), [*means])
    axes.set(ylabel=what)
    _legend_above(axes, len(names))
    return figure


def _legend_above(axes, columns: int) -> None:
    axes.legend(
        fontsize="small",
        ncols=min(columns, 5),
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        frameon=False,
    )


def _windows(s: Summary, seen: shown.Shown) -> list[str]:
    """Strips of windows with the scores they got: examples, then mistakes."""
    place = {str(name): i for i, name in enumerate(s.results.names)}
    other = sorted({*map(str, seen.names)} - place.keys())
    if other:
        raise ValueError(
            f"{shown.FILE}: expected clips of the result files beside it, got "
            f"{other[0]}; evaluate again"
        )
    rows = np.array([place[str(name)] for name in seen.names[seen.clips]])
    labels, scores = analysis.labels_of(s.results)[rows], s.results.scores[0, rows]
    first = np.unique(labels, return_index=True)[1]
    wrong = shown.mistakes(labels, scores)
    parts = [
        "<h3>Examples</h3>",
        _note(
            "Intensity frames, event frames, scores. Green: the true emotion; red: "
            "another one that was answered."
        ),
        _figure(
            _strip(seen, first, labels, scores),
            "The first clip of each emotion",
            "strip",
        ),
    ]
    if len(wrong):
        parts += [
            "<h3>Most confident mistakes</h3>",
            _figure(
                _strip(seen, wrong, labels, scores), "Highest score first", "strip"
            ),
        ]
    return parts


def _strip(seen: shown.Shown, clips, labels, scores) -> Figure:
    """A row for each window: intensity frames, event frames, bars of the scores."""
    images = [np.concatenate([seen.intensity_frames[i], seen.event_frames[i]])
              for i in clips]  # fmt: skip
    num_images = len(images[0])
    figure = Figure(figsize=(num_images + 2.2, 1.3 * len(clips)), layout="constrained")
    grid = figure.subplots(
        len(clips),
        num_images + 1,
        squeeze=False,
        width_ratios=[1] * num_images + [1.4],
    )
    for i, row, axes in zip(clips, images, grid, strict=True):
        for image, place in zip(row, axes[:-1], strict=True):
            place.imshow(image, cmap="gray", vmin=0, vmax=255)
            place.set(xticks=[], yticks=[])
        axes[0].set_ylabel(see.EMOTIONS[labels[i]], fontsize="small")
        colours = ["tab:grey"] * len(scores[i])
        colours[int(scores[i].argmax())] = "tab:red"
        colours[labels[i]] = "tab:green"
        axes[-1].barh(range(len(scores[i])), scores[i], color=colours)
        short = [emotion[:4] for emotion in see.EMOTIONS]
        axes[-1].set_yticks(range(len(short)), short, fontsize=6)
        axes[-1].set(xlim=(0, 1), xticks=[])
        axes[-1].invert_yaxis()
    return figure


def _axes(width: float, height: float):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _figure(figure: Figure, caption: str, kind: str = "plot") -> str:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    data = base64.b64encode(image.getvalue()).decode()
    text = html.escape(caption)
    return (
        f'<figure class="{kind}"><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>'
