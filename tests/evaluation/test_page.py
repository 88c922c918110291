"""The page: what is in it, and what its windows are chosen by."""

import base64
import dataclasses
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from seen_jax import see
from seen_jax.errors import UserError
from seen_jax.evaluation import __main__ as command
from seen_jax.evaluation import examples, provenance, robustness_report, summaries
from seen_jax.evaluation.page import document as page
from seen_jax.evaluation.page import pictures
from seen_jax.evaluation.page.markup import Html
from seen_jax.evaluation.page.sections import Shown
from seen_jax.evaluation.results import joined, write_results
from seen_jax.simulator import difficulty
from tests.evaluation.pages import NAMES, RIGHT, ROBUST, film, shown_of, some
from tests.helpers import make_row
from tests.samples import results_of


def test_examples_are_of_other_people_and_lightings_where_they_can_be():
    labels = np.array([0, 0, 1, 1, 0, 1, 1, 1])
    # Wrong: clips 4 (0.9), 5 (0.8), 6 (0.7) and 7 (0.6), the others right.
    best = [0.9, 0.6, 0.8, 0.7, 0.1, 0.8, 0.7, 0.6]
    scores = np.column_stack([best, 1 - np.array(best)])
    scores[[2, 3]] = scores[[2, 3], ::-1]
    who = np.array([1, 2, 1, 2, 3, 3, 1, 2])
    light = np.array(["Low", "Low", "Low", "HDR", "Low", "Low", "HDR", "HDR"])
    # Of class 0 the first; of class 1 another person in another light. Of the wrong
    # ones first the only person that was not yet shown, then the others.
    chosen = examples.choose(labels, scores, [who, light])
    assert chosen.tolist()[:3] == [0, 3, 4] and sorted(chosen[3:]) == [5, 6, 7]
    assert examples.choose(labels, scores, []).tolist() == [0, 2, 4, 5, 6, 7]
    # No more mistakes than are shown.
    labels, scores = np.zeros(10, int), np.tile([0.2, 0.8], (10, 1))
    chosen = examples.choose(labels, scores, [])
    assert chosen.tolist() == [*range(examples.NUM_MISTAKES)]


@pytest.mark.parametrize("changes", [{}, film()])
def test_saved_and_loaded(tmp_path, changes):
    assert examples.load(tmp_path) is None
    examples.save(tmp_path, examples.Examples(**some(**changes)))
    assert [path.name for path in tmp_path.iterdir()] == [examples.FILE]
    loaded = examples.load(tmp_path)
    assert (loaded.film_reads is None) == (not changes)
    for name, array in some(**changes).items():
        np.testing.assert_array_equal(getattr(loaded, name), array)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"event_frames": some()["event_frames"][1:]}, "event_frames: expected uint8 "),
        ({"event_frames": some()["event_frames"][:, 1:]}, r"\(M, T, H, W\), got uint8"),
        ({"intensity_frames": np.zeros((9, 0, 9, 9), np.uint8)}, "intensity_frames: "),
        ({"intensity_frames": np.zeros((9, 2, 9, 9))}, "expected uint8 .* got float64"),
        ({"clips": np.arange(9)}, r"clips: expected str_ \(M\), got int64 \(9,\)"),
        ({"clips": np.array([None] * 9)}, "Object arrays cannot be loaded"),
        ({"rates": np.full((14, 4, 5), np.nan)}, "rates: expected finite numbers"),
        ({"attention": np.zeros((14, 4))}, r"attention: expected floating \(N, 3\)"),
        (film() | {"film_reads": np.ones((2, 6), bool)}, r"film_reads: .* \(2, S\)"),
    ],
)
def test_a_file_of_other_arrays(tmp_path, changes, words):
    np.savez(tmp_path / examples.FILE, **some(**changes))
    with pytest.raises(UserError, match=words) as error:
        examples.load(tmp_path)
    assert re.match(r"[^\n]*examples\.npz: [^\n]*; evaluate again", str(error.value))


def test_a_broken_file_and_arrays_that_are_missing(tmp_path):
    (tmp_path / examples.FILE).write_bytes(b"no archive")
    words = r"examples\.npz: expected the arrays that eval\.py writes"
    with pytest.raises(UserError, match=words):
        examples.load(tmp_path)
    np.savez(tmp_path / examples.FILE, clips=some()["clips"])
    with pytest.raises(UserError, match=r"got .*event_frames.*; evaluate again"):
        examples.load(tmp_path)


def headings(text):
    return re.findall("<h2>(.*?)</h2>", text)


def test_all_that_can_be_shown():
    """Of classes in another order than SEE's."""
    labels = see.EMOTIONS[3:] + see.EMOTIONS[:3]
    one = shown_of(labels)
    results = one.summary.results
    text = page.to_html([one])
    assert headings(text) == [
        "By class and lighting", "Confusions", "People", "Calibration", "Training",
        "Attention and spikes", "Robustness", "Examples", "Where this comes from",
    ]  # fmt: skip
    places = re.findall('<section id="(.*?)">', text)
    contents = text[text.index("<nav") : text.index("</nav>")]
    assert re.findall('<a href="#(.*?)">', contents) == places and len({*places}) == 9
    # The first screen: the result, the interval, chance, the data and the epoch.
    war = 100 * np.mean(results.predictions == results.label_index)
    head = text[: text.index("<nav")]
    words = f"reads seven emotions of people it has never seen right {war:.1f} % of the"
    assert words in head and "Chance is 14.3 %." in head
    assert "95 % interval over clips" in head  # there are two people alone
    assert "<dd>simulated (hard), no real people; split by volunteer, test</dd>" in head
    assert "</i>. Framed: what the network reads. " in head.replace("</span>", "")
    assert "<dd>2, the last epoch</dd>" in head
    assert head.count("<img") == 14 and head.count('class="read"') == 4 + 2
    # The windows: those that are right, then the mistakes, the most confident first.
    windows = re.findall('<figure class="window">.*?</figure>', text)[1:]
    here = slice(9)
    wrong = results.predictions[0, here] != results.label_index[here]
    best = results.scores[0, here].max(axis=1)
    assert len(windows) == 9 and wrong.any()
    titles = [re.search('title="(.*?)"', x)[1] for x in windows]
    order = [i for i in np.argsort(-best) if wrong[i]]
    assert titles == [results.names[i] for i in [*np.flatnonzero(~wrong), *order]]
    for window in windows:  # four moments of both kinds; two intensity frames are read
        assert window.count("<img") == 8 and window.count('class="read"') == 4 + 2
    assert not re.search(r'(src|href)="(?!data:|#)', text)  # nothing from elsewhere
    assert "<script" not in text and "<run>" not in text and "runs/<a>" not in text
    commands = text[text.index("<pre>") : text.index("</pre>")].splitlines()
    assert commands == [
        "<pre>python 3", "python -m robustness &lt;a&gt;",
        "python -m seen_jax.evaluation report &#x27;a b&#x27; --html report.html",
    ]  # fmt: skip
    # What fires is explained before the first table that names it.
    how = text[text.index('<section id="attention-and-spikes">') :].split("<table")[0]
    assert "LIF1 to LIF5 are the five layers" in how and "J_s are the spikes" in how


def test_the_first_screen_says_that_people_are_real():
    text = page.to_html([shown_of(source="real")])
    assert "<dt>data</dt><dd>real; split by" in text


def test_what_is_taken_for_what_and_how_surely():
    """Of 7 clips 4 are right, or 57.1 %, with scores of 0.9 or of 0.4."""
    predictions = RIGHT[:7].copy()
    predictions[:3] = (RIGHT[:3] + 1) % 7
    for sure, words in ((0.9, "overconfident"), (0.4, "underconfident")):
        scores = np.where(np.eye(7)[predictions], sure, (1 - sure) / 6)[None]
        results = results_of(NAMES[:7], predictions[None], scores)
        text = page.to_html([Shown(summaries.summarise("a", results))])
        shown, taken = (see.EMOTIONS[x[0]] for x in (RIGHT, predictions))
        assert f">{shown} taken for {taken}</th>" in text
        assert f"right 57.1 % of the time: it is {words}." in text


def test_numbers_of_the_robustness():
    text = page.to_html([shown_of()])
    assert "<b>Shifted &lt;crop&gt;</b>. It slips." in text
    title = "Shifted &lt;crop&gt; (pixels)</th></tr>"
    assert f'<tr class="group"><th scope="row" colspan="5" class="long">{title}' in text
    assert row(8, "30.0", "20.0", "-20.0", "-30.0 to -10.0") in text
    # The shares by lighting are in the page's first table, and not here again.
    section = text[text.index('<section id="robustness">') :]
    assert 'href="#by-class-and-lighting"' in section and "75.0" not in section
    assert "Published of E4_S3, on the real set: Low 80.8 %, of an epoch" in section
    # The interval of the change, about what is right without it: 0.2 to 0.4.
    start = text.index("Shifted &lt;crop&gt;</b>")
    (picture,) = re.findall("<svg .*?</svg>", text[start:])[:1]
    upright = ' x1="([0-9.]+)" y1="([0-9.]+)" x2="\\1" y2="([0-9.]+)" stroke="#4477aa"'
    low, high = map(float, re.search(upright, picture).groups()[1:])
    zero, one = (
        float(re.search(f'y="([0-9.]+)" text-anchor="end" [^>]*>{x} %', picture)[1])
        for x in (0, 100)
    )
    assert (zero - 4 - low) / (zero - one) == pytest.approx(0.2, abs=0.01)
    assert (zero - 4 - high) / (zero - one) == pytest.approx(0.4, abs=0.01)


def write_evaluation(folder, **of_robustness):
    """Writes an evaluation with all that lies beside it."""
    one = shown_of()
    results, facts = one.summary.results, one.facts
    passes = results.scores[:1]
    facts = {name: facts[name] for name in provenance.FACTS} | {"passes": 1}
    write_results(folder, results.names, results.labels, passes)
    provenance.write(folder, facts)
    examples.save(folder, one.examples)
    content = facts | ROBUST | {"num_clips": 14, "num_volunteers": 2} | of_robustness
    (folder / robustness_report.FILE).write_text(json.dumps(content))


def test_the_command_shows_what_lies_beside_the_results(tmp_path):
    write_evaluation(tmp_path)
    file = tmp_path / "page.html"
    command.main(["report", str(tmp_path), "--html", str(file)])
    shown = headings(file.read_text())
    assert {"Robustness", "Attention and spikes", "Examples"} <= {*shown}


def test_a_column_of_several_runs_shows_what_each_has_and_the_first_ones_windows(
    tmp_path,
):
    for name in "ab":
        (tmp_path / name).mkdir()
        write_evaluation(tmp_path / name)
    (tmp_path / "b" / examples.FILE).unlink()
    file = tmp_path / "page.html"
    command.main(["report", f"both={tmp_path}/?", "--html", str(file)])
    text = file.read_text()
    assert {"Robustness", "Attention and spikes", "Examples"} <= {*headings(text)}
    assert text.count("Of several runs in a column, the first is shown.") == 2
    section = text[text.index('<section id="robustness">') :]
    assert "Measured: both a, both b." in section
    (picture,) = re.findall("<svg .*?</svg>", section)[:1]
    lines = re.findall('<polyline .*?stroke="(.*?)" stroke-width="(.*?)"', picture)
    assert lines == [("#4477aa", "1")] * 2  # thin, and of one colour


@pytest.mark.parametrize(
    "other, words",
    [
        ({"step": 3}, "step 6, as in the evaluation.json beside it, got step 3;"),
        ({"source": "simulated (easy)", "split": "train"},
         "source simulated (hard), split test, as in the evaluation.json beside it, "
         "got source simulated (easy), split train;"),
        ({"trained_at": "abc"}, "got trained_at abc"),
        ({"setting": "E7_S0"}, "got setting E7_S0"),
        ({"dataset": "published"}, "got dataset published"),
    ],
)  # fmt: skip
def test_robustness_of_another_checkpoint_or_data_is_not_shown(tmp_path, other, words):
    write_evaluation(tmp_path, **other)
    with pytest.raises(UserError) as error:
        command.main(["report", str(tmp_path), "--html", str(tmp_path / "page.html")])
    line = str(error.value)
    assert line.startswith(f"{tmp_path / 'robustness.json'}: expected ")
    assert words in line and "\n" not in line and not (tmp_path / "page.html").exists()
    assert line.endswith(
        "; remove it and run python -m seen_jax.evaluation robustness "
        f"'--workdir=runs/<a>' --split=test --step=6 --out={tmp_path}"
    )


def test_what_is_not_known_is_left_out():
    one = shown_of()
    plain = {"observed": None, "attention": None, "spatial_rate": None, "rates": None}
    without = dataclasses.replace(one.examples, **plain)
    text = page.to_html([Shown(one.summary, without)])
    assert not {"Attention and spikes", "Robustness"} & {*headings(text)}
    bare = dataclasses.replace(one.summary, facts=None)
    text = page.to_html([Shown(bare)])
    assert headings(text) == [
        "By class and lighting", "Confusions", "People", "Calibration",
        "Where this comes from",
    ]  # fmt: skip
    assert "Result files alone" in text and "<img" not in text


def test_windows_of_other_clips():
    scores = np.full((1, 7, 7), 1 / 7)
    results = results_of(NAMES[:7], scores.argmax(-1), scores)
    words = r"examples\.npz: expected clips of the result files beside it, got 10_002"
    summary = summaries.summarise("run", results)
    with pytest.raises(ValueError, match=words):
        page.to_html([Shown(summary, examples.Examples(**some()))])


def test_result_files_alone_side_by_side(tmp_path, capsys):
    for number, name in enumerate(("one", "two")):
        predictions = RIGHT.copy()
        predictions[:number] = (predictions[:number] + 1) % 7
        probabilities = np.eye(7)[predictions][None]
        write_results(tmp_path / name, [*map(str, NAMES)], see.EMOTIONS, probabilities)
    file = tmp_path / "page.html"
    folders = [str(tmp_path / name) for name in ("one", "two")]
    command.main(["report", *folders, "--html", str(file)])
    assert capsys.readouterr().out.strip().endswith(str(file))
    text = file.read_text()
    words = " ".join(text.split())
    title = "Two evaluations side by side: they read seven emotions right 92.9 to 100.0"
    assert f"<h1>{title} % of the time</h1>" in text and "Result files alone" in text
    assert "Examples" not in headings(text) and "Training" not in headings(text)
    # The first screen: what both are of is said once.
    head = text[: text.index("<nav")]
    assert "<dt>WAR</dt><dd>weighted average recall: the share of all clips" in head
    assert "<dd>14 clips of 2 people, one window of each</dd>" in head
    assert "<div>two: -7.1 points of WAR from one; 95 %: " in head
    # How they differ, with a picture and the number of people that this is about.
    assert "<h2>Differences</h2>" in text and "paired over the same clips" in words
    place = text.index("two - one")
    assert re.search("WAR</th><td class=.picture.><svg .*?</svg></td><td>-7.1</td>"
                     "<td>.*?</td><td>-</td><td>2</td>", text[place:])  # fmt: skip


def row(name, *numbers):
    cells = "".join(f"<td>{x}</td>" for x in numbers)
    return f'<tr><th scope="row">{name}</th>{cells}</tr>'


def test_other_clips_and_epochs_are_said_of_each():
    one = results_of(NAMES, [RIGHT] * 2, epoch=1)
    other = dataclasses.replace(one.take(np.arange(14) > 0), epoch=2)
    both = [summaries.summarise("a", one), summaries.summarise("b", other)]
    text = page.to_html([*map(Shown, both)])
    each = "<div>{}, how it was chosen is not stated</div>".format
    assert f"<dt>epoch</dt><dd>{each('a: 1')}{each('b: 2')}</dd>" in text
    assert "<div>b: 13 clips of 2 people, 2 passes" in text
    assert "<div>b: not compared with a, since these are other clips</div>" in text
    assert "<h1>Two evaluations side by side, not of the same clips</h1>" in text
    third = dataclasses.replace(both[0], name="c")
    text = page.to_html([*map(Shown, [*both, third])])
    assert "<h1>Three evaluations side by side, not all of the same clips</h1>" in text


def test_data_that_several_evaluations_share_are_said_once():
    one, other = (shown_of(source=f"simulated ({x})") for x in difficulty.DIFFICULTIES)
    words = "no real people; split by volunteer, test"
    text = page.to_html([one, one])
    assert f"<dt>data</dt><dd>simulated (hard), {words}</dd>" in text
    text = page.to_html([one, other])
    each = "<div>&lt;run&gt;: simulated (%s), " + f"{words}</div>"
    lines = [each % x for x in ("hard", "easy")]
    assert f"<dt>data</dt><dd>{''.join(lines)}</dd>" in text
    assert "not compared with &lt;run&gt;" in text


def named(one, name):
    summary = dataclasses.replace(one.summary, name=name)
    robustness = dict.fromkeys([name], ROBUST)
    return dataclasses.replace(one, summary=summary, robustness=robustness)


def test_curves_of_several_runs_are_in_one_plot():
    curves = [make_row(1, loss=3.0), make_row(2, "test")]
    one, other = shown_of(), named(shown_of(curves=curves), "other")
    text = page.to_html([one, other])
    assert text.count('aria-label="training loss by epoch"') == 1
    (picture,) = re.findall('aria-label="shares that are right by.*?</svg>', text)
    assert picture.count(">&lt;run&gt;<") == picture.count(">other<") == 1
    assert "(solid: test WAR, dashed: training accuracy)" in text


def test_two_evaluations_of_a_run_have_one_curve():
    """Also where the first was made before the second epoch was trained."""
    early = named(shown_of(epoch=1, curves=[make_row(1)]), "early")
    text = page.to_html([early, named(shown_of(split="train"), "train"), shown_of()])
    losses, shares = re.findall(
        '<svg [^>]*aria-label="[^"]* by epoch".*?</svg>', text, re.S
    )
    assert losses.count("<polyline") == 1
    for words in ("training accuracy", "test WAR", "test UAR", "epoch 1", "epoch 2"):
        assert shares.count(f">{words}<") == 1
    assert "train and" not in shares  # no names where there is one run


def test_what_the_first_screen_says_is_not_said_again():
    text = page.to_html([shown_of()])
    assert text.count("the last epoch") == 2  # there and in the provenance
    assert text.count("WAR, weighted average recall") == 1
    assert not re.search('<th scope="row">(WAR|UAR)</th>', text)
    assert "Standard deviation over passes: " in text[: text.index("<nav")]


def test_a_class_without_clips_has_no_share():
    results = results_of(NAMES[:6], [RIGHT[:6]])  # none is surprised
    text = page.to_html([Shown(summaries.summarise("a", results))])
    confusions = text[text.index('id="confusions"') :]
    assert "surprise</th>" + "<td>-</td>" * 7 in confusions


@pytest.mark.parametrize("num_classes", [2, 12, 150])
def test_as_many_classes_as_there_are(num_classes):
    labels = tuple(f"<{i}> " + "long " * 50 for i in range(num_classes))
    index = np.arange(num_classes)
    results = dataclasses.replace(
        results_of(NAMES[:1], [[0]]), labels=labels, names=tuple(map(str, index)),
        label_index=index, predictions=index[None], metadata={},
        scores=np.eye(num_classes)[None],
    )  # fmt: skip
    text = page.to_html([Shown(summaries.summarise("a", results))])
    words = {2: "two", 12: "twelve"}.get(num_classes, num_classes)
    assert f"a reads {words} classes right 100.0 % of the time" in text
    assert text.count("<td style=") == num_classes**2
    assert "Nothing is taken for anything else." in text and "<0>" not in text


@pytest.mark.parametrize(
    "level, factor", [(17, 8.0), (34, 5.0), (160, 1.0), (255, 1.0), (0, 8.0)]
)
def test_dark_frames_are_brightened_as_much_as_is_said(level, factor):
    frames = np.full((2, 9, 9), level, np.uint8)
    assert pictures.gain(frames) == factor
    film = pictures.Film(frames, frames, *[np.ones(2, bool)] * 2)
    figure = pictures.window(["a", "b"], np.array([0.2, 0.8]), film, 0.4, Html("it"))
    assert (f"it; intensity shown {factor:g} times brighter" in figure) == (factor > 1)
    assert re.search("<div><i .*?>a<.*<div class=.best.><i .*?>b 80 %<", figure)
    data = re.search('base64,(.*?)"', figure)
    image = Image.open(io.BytesIO(base64.b64decode(data[1])))
    assert np.asarray(image).tolist() == [[min(level * factor, 255)] * 9] * 9


def test_several_runs_as_one_column():
    both = [shown_of(seed=x).summary for x in (1, 2)]
    joint = joined([x.results for x in both])
    summary = summaries.summarise("A", joint, runs=tuple(both))
    text = page.to_html([Shown(summary)])
    head = text[: text.index("<nav")]
    assert "SEEN, E4_S3, reads seven emotions of people it has never seen" in head
    assert "3 passes with other windows of them, 2 runs" in head
    assert "2, the last epoch" in head and headings(text)[-1] == "Where this comes from"
    assert [text.count(f"windows drawn with seed {x}") for x in (1, 2)] == [1, 1]
