"""The page: what is in it, and what its windows are chosen by."""

import re

import numpy as np
import pytest

from seen_jax import see
from seen_jax.evaluation import __main__ as command
from seen_jax.evaluation import page, report, shown
from seen_jax.evaluation.results import Results, write_results
from tests.samples import clip_names

NAMES = clip_names(num_volunteers=2)


def test_examples_and_mistakes():
    labels = np.array([0, 1, 1, 0, 1])
    scores = [[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]
    # Wrong: clips 1 (0.6), 2 (0.8) and 3 (0.7). First of their emotions: 0 and 1.
    assert shown.mistakes(labels, np.array(scores)).tolist() == [2, 3, 1]
    assert shown.choose(labels, np.array(scores)).tolist() == [0, 1, 2, 3]


def some(num_windows=9):
    rng = np.random.default_rng(0)
    return shown.Shown(
        np.array([*map(str, NAMES)]),
        np.full((14, 3), 1 / 3),
        rng.random((14, 4, 5)),
        np.arange(num_windows),
        rng.integers(0, 256, (num_windows, 4, 90, 90), np.uint8),
        rng.integers(0, 256, (num_windows, 2, 90, 90), np.uint8),
    )


def test_saved_and_loaded(tmp_path):
    assert shown.load(tmp_path) is None
    shown.save(tmp_path, some())
    found = shown.load(tmp_path)
    np.testing.assert_array_equal(found.names, some().names)
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
    assert "<h1>Emotion recognition on simulated data</h1>" in text
    assert "&lt;run&gt;" in text and "<run>" not in text and "runs/&lt;a&gt;" in text
    assert "epoch 2 (step 6), the last epoch" in text
    # Lighting, confusions, calibration, curves, attention, rates, examples, mistakes.
    assert text.count('src="data:image/png;base64,') == 8
    assert not re.search(r'(src|href)="(?!data:)', text)  # nothing from elsewhere


def test_windows_of_other_clips():
    scores = np.full((1, 7, 7), 1 / 7)
    results = Results(None, tuple(NAMES[:7]), scores.argmax(-1), scores)
    words = r"shown\.npz: expected clips of the result files beside it, got 10_002"
    with pytest.raises(ValueError, match=words):
        page.to_html([report.summarise("run", results)], [some()])


def test_result_files_alone_side_by_side(tmp_path, capsys):
    right = [see.EMOTIONS.index(name.emotion) for name in NAMES]
    for number, name in enumerate(("one", "two")):
        predictions = np.array(right)
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
    assert "they do not say where they come from" in text
    # A file that cannot be written is an error in words.
    assert command.main(["report", *folders, "--html", str(tmp_path)]) == 1
    assert "Is a directory" in capsys.readouterr().err
