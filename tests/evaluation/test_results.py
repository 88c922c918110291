"""Result files are read as they were written; what cannot be trusted is refused."""

import json

import numpy as np
import pytest

from seen_jax import metrics, see
from seen_jax.errors import UserError
from seen_jax.evaluation import analysis, report, summaries
from seen_jax.evaluation.results import file_name, read_results, write_results
from tests.samples import clip_names

NAMES = [str(name) for name in clip_names(num_volunteers=1)]
ORDER = see.EMOTIONS[::-1]  # of the class indices; a split file may have any
ROTATED = see.EMOTIONS[3:] + see.EMOTIONS[:3]


def probabilities(num_passes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(7), (num_passes, len(NAMES)))


def content(entries):
    """A file's text: every clip is said to be what `entries` says."""
    return json.dumps({"results": dict.fromkeys(NAMES, entries)})


BEST_ONLY = content([{"label": "fear", "score": 0.5}])


def test_names_are_the_published_ones():
    assert file_name(20) == "test_20.json"
    assert file_name(1, epoch=163) == "test_epoch_163_1.json"


def with_epoch(files, epoch):
    """Gives result files the names of an evaluation while training."""
    for number, file in enumerate(files, 1):
        file.rename(file.with_name(file_name(number, epoch)))


@pytest.mark.parametrize("epoch", [None, 0, 5])
def test_written_and_read_again(tmp_path, epoch):
    written = probabilities()
    files = write_results(tmp_path / "new" / "run", NAMES, ORDER, written)
    assert [f.name for f in files] == [f"test_{i}.json" for i in (1, 2, 3)]
    assert sorted(files[0].parent.iterdir()) == files  # nothing half-written
    with_epoch(files, epoch)
    for labels in (see.EMOTIONS, ORDER, ROTATED):
        (results,) = read_results(files[0].parent, labels)
        assert (results.epoch, results.labels) == (epoch, labels)
        clips = [NAMES.index(name) for name in results.names]
        assert sorted(clips) == list(range(len(NAMES)))
        classes = [ORDER.index(label) for label in labels]
        expected = written[:, clips][..., classes]
        np.testing.assert_array_equal(results.scores, expected)
        np.testing.assert_array_equal(results.predictions, expected.argmax(-1))
        true = [labels[k] for k in results.label_index]
        assert true == [see.ClipName.parse(name).emotion for name in results.names]


def test_rotated_labels_change_no_number_by_name(tmp_path):
    """Confusions, recalls and groups are those of the same scores in SEE's order."""
    straight, names = probabilities(), [*map(str, clip_names(3))]
    straight = np.concatenate([straight, probabilities(seed=1)[:, ::-1], straight], 1)
    turned = straight[..., [see.EMOTIONS.index(label) for label in ROTATED]]
    write_results(tmp_path / "a", names, see.EMOTIONS, straight)
    write_results(tmp_path / "b", names, ROTATED, turned)
    (a,), (b,) = (
        read_results(tmp_path / "a", see.EMOTIONS),
        read_results(tmp_path / "b", ROTATED),
    )
    rows = [see.EMOTIONS.index(label) for label in ROTATED]
    assert not np.array_equal(a.predictions, b.predictions)
    turned_back = analysis.confusion(a)[np.ix_(rows, rows)]
    np.testing.assert_array_equal(analysis.confusion(b), turned_back)
    one, other = summaries.summarise("a", a), summaries.summarise("b", b)
    for column, value in one.mean.items():
        assert other.mean[column] == pytest.approx(value, nan_ok=True), column
    assert report.columns([one]) == report.columns([other])
    text, expected = (report.to_text([x]).splitlines()[4:18] for x in (other, one))
    assert [line.replace("b ", "a ") for line in text] == expected


def test_classes_that_are_not_all_of_see(tmp_path):
    """The report has the columns of the data, in the order of the data."""
    labels = ("sadness", "angry", "fear")
    names = [str(name) for name in clip_names(2) if name.emotion in labels]
    # Clips in order: angry, fear, sadness, twice; the last of them is wrong.
    scores = np.eye(3)[[[1, 2, 0, 1, 2, 1]]]
    write_results(tmp_path, names, labels, scores)
    (results,) = read_results(tmp_path, labels)
    summary = summaries.summarise("run", results)
    columns = report.columns([summary])
    assert metrics.titles(columns) == [*labels, *see.LIGHTINGS, "WAR", "UAR"]
    values = [summary.mean[column] for column in columns]
    expected = [1 / 2, 1, 1, np.nan, 1, 2 / 3, np.nan, 5 / 6, 2.5 / 3]
    np.testing.assert_allclose(values, expected)
    assert analysis.confusion(results).tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 2]]
    with pytest.raises(UserError, match="expected label one of angry, fear, each once"):
        read_results(tmp_path, ("angry", "fear"))


def test_a_true_label_that_is_no_class(tmp_path):
    labels = ("sadness", "angry")
    write_results(tmp_path, NAMES, labels, np.full((1, len(NAMES), 2), 0.5))
    with pytest.raises(UserError, match="a clip of one of sadness, angry, got disgust"):
        read_results(tmp_path, labels)


def test_the_form_is_the_published_one(tmp_path):
    row = [0.1, 0.3, 0.0, 0.3, 0.2, 0.05, 0.05]
    (file,) = write_results(tmp_path, NAMES[:1], see.EMOTIONS, np.array([[row]]))
    ranking = [
        *(("disgust", 0.3), ("happiness", 0.3), ("neutral", 0.2), ("angry", 0.1)),
        *(("sadness", 0.05), ("surprise", 0.05), ("fear", 0.0)),
    ]
    assert json.loads(file.read_text()) == {
        "results": {NAMES[0]: [{"label": k, "score": s} for k, s in ranking]}
    }


def test_the_best_class_alone_will_do(tmp_path):
    (tmp_path / "test_1.json").write_text(BEST_ONLY)
    (results,) = read_results(tmp_path, see.EMOTIONS)
    assert (results.predictions == see.EMOTIONS.index("fear")).all()
    assert np.nansum(results.scores) == 0.5 * len(NAMES)
    assert np.isnan(results.scores).sum() == 6 * len(NAMES)


def test_epochs_are_kept_apart_and_other_files_left_alone(tmp_path):
    for epoch in (10, 9, None):
        with_epoch(write_results(tmp_path, NAMES, ORDER, probabilities(2)), epoch)
    (tmp_path / "provenance.json").write_text("{")
    assert [results.epoch for results in read_results(tmp_path, see.EMOTIONS)] == [
        None,
        9,
        10,
    ]


def test_passes_are_replaced_but_never_mixed(tmp_path):
    with_epoch(write_results(tmp_path, NAMES, ORDER, probabilities(3, seed=2)), 4)
    write_results(tmp_path, NAMES, ORDER, probabilities(2, seed=1))
    write_results(tmp_path, NAMES, ORDER, probabilities(2, seed=3))
    (results, _) = read_results(tmp_path, see.EMOTIONS)
    expected = probabilities(2, seed=3).max(axis=-1)
    np.testing.assert_array_equal(np.sort(results.scores.max(-1)), np.sort(expected))
    with pytest.raises(UserError, match=r"no pass after 1, got test_2.json"):
        write_results(tmp_path, NAMES, ORDER, probabilities(1))


def test_probabilities_of_another_shape(tmp_path):
    with pytest.raises(UserError, match=r"expected \(P, 7, 7\), got \(3, 6, 7\)"):
        write_results(tmp_path, NAMES, ORDER, probabilities()[:, 1:])


@pytest.mark.parametrize(
    "name, got",
    [
        ("", "a directory with none"),
        ("missing", "no such directory"),
        ("results.json", "a file"),
    ],
)
def test_no_directory_of_result_files(tmp_path, name, got):
    (tmp_path / "results.json").write_text("{}")
    words = rf"expected a directory of result files \(test_1.json or .*, got {got};"
    with pytest.raises(UserError, match=words):
        read_results(tmp_path / name, see.EMOTIONS)


def test_a_file_of_another_name(tmp_path):
    (tmp_path / "test_01.json").write_text(BEST_ONLY)
    with pytest.raises(UserError, match=r"such as test_1.json .* got test_01.json"):
        read_results(tmp_path, see.EMOTIONS)


@pytest.mark.parametrize("last", [4, 99_999_999_999])
def test_a_missing_pass(tmp_path, last):
    write_results(tmp_path, NAMES, ORDER, probabilities(3))
    (tmp_path / "test_2.json").rename(tmp_path / file_name(last))
    with pytest.raises(UserError, match=rf"passes 1 to {last}, got no test_2.json"):
        read_results(tmp_path, see.EMOTIONS)


@pytest.mark.parametrize(
    "text, message",
    [
        (BEST_ONLY[:50], "expected JSON, got "),
        ("[]", r'expected \{"results": .* got \[\]'),
        ('{"results": {}}', r'expected \{"results": .* got \{"results": \{\}\}'),
        ('{"database": {}}', r'got \{"database": \{\}\}'),
        (
            '{"results": {"clip_1": [{"label": "fear", "score": 1}]}}',
            "clip name 'clip_1': expected a clip name of 9",
        ),
        (content([]), r"take000: expected a list .* got \[\]"),
        (content({"fear": 1}), r'expected a list .* got \{"fear": 1\}'),
        (content(["fear"]), r'expected a list .* got \["fear"\]'),
        (content([{"label": "fear"}]), "expected a list .* best first"),
        (content([{"label": 3, "score": 1}]), "expected a list .* best first"),
        (content([{"label": "fear", "score": True}]), "expected a list .* best first"),
        (content([{"label": "fear", "score": 1.5}]), "expected a list .* best first"),
        (content([{"label": "fear", "score": np.nan}]), "expected a list .* best firs"),
        (
            content([{"label": x, "score": s} for x, s in (("fear", 0), ("angry", 1))]),
            "expected a list .* best first",
        ),
        (content([{"label": "joy", "score": 1}]), "expected label .* got 'joy'"),
        (content([{"label": "fear", "score": 0.5}] * 2), "each once .* got 'fear'"),
    ],
)
def test_a_file_of_another_format(tmp_path, text, message):
    (tmp_path / "test_1.json").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_results(tmp_path, see.EMOTIONS)
    assert str(caught.value).startswith(str(tmp_path / "test_1.json") + ": ")


@pytest.mark.parametrize("odd, where", [(1, "test_1.json"), (2, "test_2.json")])
def test_passes_with_different_clips(tmp_path, odd, where):
    for number in (1, 2):
        names = NAMES if number == odd else NAMES[:-1]
        shares = probabilities()[:1, : len(names)]
        write_results(tmp_path / str(number), names, ORDER, shares)
        (tmp_path / str(number) / "test_1.json").rename(tmp_path / file_name(number))
    message = rf"test_2.json: expected .* {NAMES[-1]} being in {where} alone"
    with pytest.raises(UserError, match=message):
        read_results(tmp_path, see.EMOTIONS)
