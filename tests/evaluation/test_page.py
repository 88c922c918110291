"""The page: what is in it, and what its windows are chosen by."""

import itertools
import re

import numpy as np
import pytest

from seen_jax import see
from seen_jax.evaluation import __main__ as command
from seen_jax.evaluation import page, plots, report, shown
from seen_jax.evaluation.results import Results, write_results
from tests.samples import clip_names

NAMES = clip_names(num_volunteers=2)
RIGHT = np.array([see.EMOTIONS.index(name.emotion) for name in NAMES])


def test_examples_and_mistakes():
    labels = np.array([0, 1, 1, 0, 1])
    scores = [[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]
    # Wrong: clips 1 (0.6), 2 (0.8) and 3 (0.7). First of their emotions: 0 and 1.
    assert shown.mistakes(labels, np.array(scores)).tolist() == [2, 3, 1]
    assert shown.choose(labels, np.array(scores)).tolist() == [0, 1, 2, 3]


NUM_WINDOWS = 9


def some():
    rng = np.random.default_rng(0)
    names = np.array([*map(str, NAMES)])
    return shown.Shown(
        names,
        np.full((14, 3), 1 / 3),
        rng.random(14),
        rng.random((14, 4, 5)),
        names[:NUM_WINDOWS],
        rng.integers(0, 256, (NUM_WINDOWS, 4, 90, 90), np.uint8),
        rng.integers(0, 256, (NUM_WINDOWS, 2, 90, 90), np.uint8),
    )


def test_saved_and_loaded(tmp_path):
    assert shown.load(tmp_path) is None
    shown.save(tmp_path, some())
    found = shown.load(tmp_path)
    np.testing.assert_array_equal(found.observed, some().observed)
    np.testing.assert_array_equal(found.event_frames, some().event_frames)


@pytest.mark.parametrize("data", [b"", b"no archive"])
def test_a_broken_file(tmp_path, data):
    (tmp_path / shown.FILE).write_bytes(data)
    with pytest.raises(ValueError, match=r"shown\.npz: expected what eval\.py writes"):
        shown.load(tmp_path)


def test_all_that_can_be_shown():
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(7), (3, 14))
    results = Results(None, tuple(NAMES), scores.argmax(-1), scores)
    facts = {
        "source": "simulated", "dataset": "by_volunteer", "split": "test",
        "setting": "E4_S3", "epoch": 2, "step": 6, "choice": "the last epoch",
        "seed": 0, "passes": 3, "trained_at": "abc", "evaluated_at": "def",
        "workdir": "runs/<a>", "command": "eval.py",
        "curves": [
            {"epoch": 1, "loss": 2.0, "accuracy": 0.1},
            {"epoch": 2, "loss": 1.5, "accuracy": 0.2, "split": "test", "war": 0.1,
             "uar": 0.1},
        ],
    }  # fmt: skip
    summary = report.summarise("<run>", results, facts)
    text = page.to_html([summary], [some()])
    assert "&lt;run&gt;: the last epoch." in text  # beside the table too
    assert report.latex_row(summary).endswith(r"\\ % the last epoch")
    assert "<h1>Emotion recognition on simulated data</h1>" in text
    assert "&lt;run&gt;" in text and "<run>" not in text and "runs/&lt;a&gt;" in text
    assert "epoch 2 (step 6), the last epoch" in text
    # Of the windows the first of each of the seven emotions, and six mistakes.
    windows = re.findall('<figure class="window">.*?</figure>', text)
    wrong = np.flatnonzero(results.predictions[0, :NUM_WINDOWS] != RIGHT[:NUM_WINDOWS])
    assert len(windows) == 7 + min(6, len(wrong)) == 13
    for window in windows:  # scores, two intensity frames, four event frames
        assert window.count("<img") == 7
        assert window.index('alt="scores"') < window.index('alt="intensity"')
    worst = max(wrong, key=lambda i: scores[0, i].max())
    caption = (
        f"True {NAMES[worst].emotion}, predicted "
        f"{see.EMOTIONS[results.predictions[0, worst]]}, score "
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
    results = Results(None, tuple(NAMES[:7]), scores.argmax(-1), scores)
    words = r"shown\.npz: expected clips of the result files beside it, got 10_002"
    with pytest.raises(ValueError, match=words):
        page.to_html([report.summarise("run", results)], [some()])


def test_result_files_alone_side_by_side(tmp_path, capsys):
    for number, name in enumerate(("one", "two")):
        predictions = RIGHT.copy()
        predictions[:number] = (predictions[:number] + 1) % 7
        probabilities = np.eye(7)[predictions][None]
        write_results(tmp_path / name, [*map(str, NAMES)], see.EMOTIONS, probabilities)
    file = tmp_path / "page.html"
    folders = [str(tmp_path / name) for name in ("one", "two")]
    assert command.main(["report", *folders, "--html", str(file)]) == 0
    assert capsys.readouterr().out.strip().endswith(str(file))
    text = file.read_text()
    assert "<h1>Emotion recognition on unstated data</h1>" in text
    assert "100.0" in text and "92.9 (-7.1)" in text
    assert "they do not say it" in text
    # What the text says of the table, and the rows that it has.
    words = " ".join(text.split())
    assert "In brackets the difference from the first column" in words
    assert "<th>clips</th><td>14</td><td>14</td>" in text
    assert "<th>passes</th><td>1</td><td>1</td>" in text
    assert "Not of the same clips" not in text


def test_other_clips_and_epochs_are_said_as_in_the_text():
    scores = np.full((2, 14, 7), np.nan)
    both = [
        report.summarise("a", Results(1, tuple(NAMES), np.array([RIGHT] * 2), scores)),
        report.summarise("b", Results(2, tuple(NAMES[1:]), np.array([RIGHT[1:]] * 2),
                                      scores[:, 1:])),
    ]  # fmt: skip
    text = page.to_html(both, [None, None])
    assert "Not of the same clips" in text
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
    monkeypatch.setattr(report, "summarise_directories", None)  # must not be called
    assert command.main(["report", "somewhere", "--html", name]) == 1
    assert re.search(words, capsys.readouterr().err)


def test_a_class_without_clips_has_no_share():
    figure = plots.confusion(np.diag([2.0, 0, 2, 2, 2, 2, 2]))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:7] == ["100", *["0"] * 6] and texts[7:14] == ["-"] * 7
