"""The page: what is in it, and what its windows are chosen by."""

import dataclasses
import itertools
import re

import numpy as np
import pytest

from seen_jax import see
from seen_jax.errors import UserError, run_command
from seen_jax.evaluation import __main__ as command
from seen_jax.evaluation import examples, page, plots, report, summaries
from seen_jax.evaluation.results import write_results
from tests.helpers import make_row
from tests.samples import clip_names, facts_of, results_of

NAMES = clip_names(num_volunteers=2)
RIGHT = np.array([see.EMOTIONS.index(name.emotion) for name in NAMES])


def test_examples_and_mistakes():
    labels = np.array([0, 1, 1, 0, 1])
    scores = [[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]
    # Wrong: clips 1 (0.6), 2 (0.8) and 3 (0.7). First of their class: 0 and 1.
    assert examples.mistakes(labels, np.array(scores)).tolist() == [2, 3, 1]
    assert examples.choose(labels, np.array(scores)).tolist() == [0, 1, 2, 3]


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


def test_saved_and_loaded(tmp_path):
    assert examples.load(tmp_path) is None
    examples.save(tmp_path, examples.Examples(**some()))
    assert [path.name for path in tmp_path.iterdir()] == [examples.FILE]
    loaded = examples.load(tmp_path)
    for name, array in some().items():
        np.testing.assert_array_equal(getattr(loaded, name), array)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"event_frames": some()["event_frames"][1:]}, "event_frames: expected uint8 "),
        ({"event_frames": some()["event_frames"][:, 1:]}, r"\(M, T, H, W\), got uint8"),
        (
            {"intensity_frames": np.zeros((9, 0, 90, 90), np.uint8)},
            "intensity_frames: ",
        ),
        (
            {"intensity_frames": np.zeros((9, 2, 90, 90))},
            "expected uint8 .* got float64",
        ),
        ({"clips": np.arange(9)}, r"clips: expected str_ \(M\), got int64 \(9,\)"),
        ({"clips": np.array([None] * 9)}, "Object arrays cannot be loaded"),
        ({"rates": np.full((14, 4, 5), np.nan)}, "rates: expected finite numbers"),
        ({"attention": np.zeros((14, 4))}, r"attention: expected floating \(N, 3\)"),
    ],
)
def test_a_file_of_other_arrays(tmp_path, changes, words):
    np.savez(tmp_path / examples.FILE, **some(**changes))
    with pytest.raises(UserError, match=words) as error:
        examples.load(tmp_path)
    assert re.match(r"[^\n]*examples\.npz: [^\n]*; evaluate again", str(error.value))


@pytest.mark.parametrize("data", [b"", b"no archive"])
def test_a_broken_file(tmp_path, data):
    (tmp_path / examples.FILE).write_bytes(data)
    words = r"examples\.npz: expected the arrays that eval\.py writes"
    with pytest.raises(UserError, match=words):
        examples.load(tmp_path)


def test_arrays_that_are_missing(tmp_path):
    np.savez(tmp_path / examples.FILE, clips=some()["clips"])
    with pytest.raises(UserError, match=r"got .*event_frames.*; evaluate again"):
        examples.load(tmp_path)


def test_all_that_can_be_shown():
    """Of classes in another order than SEE's."""
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(7), (3, 14))
    labels = see.EMOTIONS[3:] + see.EMOTIONS[:3]
    scores = scores[..., [see.EMOTIONS.index(label) for label in labels]]
    results = results_of(NAMES, scores.argmax(-1), scores, labels)
    curves = [make_row(1), make_row(2, "test")]
    facts = facts_of(labels, source="simulated", choice="the last epoch")
    facts |= {"epoch": 2, "step": 6, "workdir": "runs/<a>", "curves": curves}
    summary = summaries.summarise("<run>", results, facts)
    text = page.to_html([summary], [examples.Examples(**some())])
    assert "&lt;run&gt; was evaluated at epoch 2, the last epoch." in text
    row = report.latex_row(summary, report.columns([summary]))
    assert row.endswith(r"\\ % the last epoch")
    assert "<h1>Emotion recognition on simulated data</h1>" in text
    assert "&lt;run&gt;" in text and "<run>" not in text and "runs/&lt;a&gt;" in text
    assert "epoch 2 (step 6), the last epoch" in text
    # The windows: the first of each of the seven classes, and six mistakes.
    windows = re.findall('<figure class="window">.*?</figure>', text)
    predicted = [labels[k] for k in results.predictions[0]]
    wrong = [i for i in range(NUM_WINDOWS) if predicted[i] != NAMES[i].emotion]
    assert len(windows) == 7 + min(6, len(wrong)) == 13
    for window in windows:  # scores, two intensity frames, four event frames
        assert window.count("<img") == 7
        assert window.index('alt="scores"') < window.index('alt="intensity"')
    worst = max(wrong, key=lambda i: scores[0, i].max())
    caption = (
        f"True {NAMES[worst].emotion}, predicted {predicted[worst]}, score "
        f"{scores[0, worst].max():.2f}: {NAMES[worst]}"
    )
    assert caption in windows[7]  # the first of the mistakes
    # Lighting, confusions, calibration, curves, attention, rates.
    assert text.count('src="data:image/png;base64,') == 6 + 7 * len(windows)
    headings = re.findall("<h([1-6])>(.*?)</h", text)
    levels = [int(level) for level, _ in headings]
    assert all(b <= a + 1 for a, b in itertools.pairwise([0, *levels]))
    assert len({*headings}) == len({words for _, words in headings}) == len(headings)
    assert not re.search(r'(src|href)="(?!data:)', text)  # nothing from elsewhere


def test_windows_of_other_clips():
    scores = np.full((1, 7, 7), 1 / 7)
    results = results_of(NAMES[:7], scores.argmax(-1), scores)
    words = r"examples\.npz: expected clips of the result files beside it, got 10_002"
    with pytest.raises(ValueError, match=words):
        page.to_html(
            [summaries.summarise("run", results)], [examples.Examples(**some())]
        )


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
    assert "<h1>Emotion recognition on unstated data</h1>" in text
    assert "100.0" in text and "92.9 (-7.1)" in text
    assert "there are result files alone" in text
    # What the text says of the table, and the rows that it has.
    words = " ".join(text.split())
    assert "In brackets the difference from the first column" in words
    assert "<th>clips</th><td>14</td><td>14</td>" in text
    assert "<th>passes</th><td>1</td><td>1</td>" in text
    assert "not the same clips" not in text
    # How they differ, with the number of people that this is about.
    assert "<h2>Differences</h2>" in text and "paired over the same clips" in words
    assert "<th>two - one</th><th>points</th><th>over clips</th>" in text
    assert re.search("<th>WAR</th><td>-7.1</td><td>.*?</td><td>-</td><td>2</td>", text)


def test_other_clips_and_epochs_are_said_as_in_the_text():
    one = results_of(NAMES, [RIGHT] * 2, epoch=1)
    other = dataclasses.replace(one.take(np.arange(14) > 0), epoch=2)
    both = [summaries.summarise("a", one), summaries.summarise("b", other)]
    text = page.to_html(both, [None, None])
    assert "These are not the same clips" in text
    assert "<th>epoch</th><td>1</td><td>2</td>" in text
    assert "100.0 ± 0.0" in text and "+-" not in text


@pytest.mark.parametrize(
    "name, words",
    [
        ("", "--html: expected a file to write a page to, got '';"),
        (".", "expected a file to write a page to, got a directory;"),
        ("missing/page.html", "got one in .*missing, which is no directory; name"),
    ],
)
def test_a_page_that_cannot_be_written_is_said_before_any_work(
    tmp_path, monkeypatch, capsys, name, words
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(summaries, "summarise_directories", None)  # must not be called
    assert run_command(lambda: command.main(["report", "x", "--html", name])) == 1
    assert re.search(words, capsys.readouterr().err)


def test_a_class_without_clips_has_no_share():
    figure = plots.confusion(np.diag([2.0, 0, 2, 2, 2, 2, 2]), see.EMOTIONS)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:7] == ["100", *["0"] * 6] and texts[7:14] == ["-"] * 7


@pytest.mark.parametrize("num_classes", [2, 150])
def test_as_many_classes_as_there_are(monkeypatch, num_classes):
    if num_classes > 2:  # 22,500 numbers in cells would take half a minute
        monkeypatch.setattr(plots, "_write", lambda *cell: None)
    labels = [f"_{i} $x$ " + "long " * 50 for i in range(num_classes)]
    figure = plots.confusion(np.eye(num_classes), labels)
    figure.draw_without_rendering()
    names = [x.get_text() for x in figure.axes[0].get_yticklabels()]
    assert len(names) == num_classes and names[0].startswith(r" _0 \$x\$ long")
    width, height = figure.get_size_inches() * figure.dpi
    assert max(width, height) < 2**16 and max(map(len, names)) < 30
