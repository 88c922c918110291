"""Result files are read as they were written; what cannot be trusted is refused."""

import json

import numpy as np
import pytest

from seen_jax import see
from seen_jax.evaluation.results import file_name, read_results, write_results
from tests.samples import clip_names

NAMES = [str(name) for name in clip_names(num_volunteers=1)]
ORDER = see.EMOTIONS[::-1]  # of the class indices; a split file may have any


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


@pytest.mark.parametrize("epoch", [None, 0, 5])
def test_written_and_read_again(tmp_path, epoch):
    written = probabilities()
    files = write_results(tmp_path / "new" / "run", NAMES, ORDER, written, epoch)
    assert [f.name for f in files] == [file_name(i, epoch) for i in (1, 2, 3)]
    assert sorted(files[0].parent.iterdir()) == files  # nothing half-written
    (found,) = read_results(files[0].parent)
    assert found.epoch == epoch
    place = [NAMES.index(str(name)) for name in found.names]
    assert sorted(place) == list(range(len(NAMES)))
    np.testing.assert_array_equal(found.scores[..., ::-1], written[:, place])
    np.testing.assert_array_equal(
        6 - found.predictions, written[:, place].argmax(axis=-1)
    )


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
    (found,) = read_results(tmp_path)
    assert (found.predictions == see.EMOTIONS.index("fear")).all()
    assert np.nansum(found.scores) == 0.5 * len(NAMES)
    assert np.isnan(found.scores).sum() == 6 * len(NAMES)


def test_epochs_are_kept_apart_and_other_files_left_alone(tmp_path):
    for epoch in (10, None, 9):
        write_results(tmp_path, NAMES, ORDER, probabilities(2, epoch or 0), epoch)
    (tmp_path / "provenance.json").write_text("{")
    assert [found.epoch for found in read_results(tmp_path)] == [None, 9, 10]


def test_passes_are_replaced_but_never_mixed(tmp_path):
    write_results(tmp_path, NAMES, ORDER, probabilities(2, seed=1))
    write_results(tmp_path, NAMES, ORDER, probabilities(3, seed=2), epoch=4)
    write_results(tmp_path, NAMES, ORDER, probabilities(2, seed=3))
    (found, _) = read_results(tmp_path)
    expected = probabilities(2, seed=3).max(axis=-1)
    np.testing.assert_array_equal(np.sort(found.scores.max(-1)), np.sort(expected))
    with pytest.raises(ValueError, match=r"no pass after 1, found test_2.json"):
        write_results(tmp_path, NAMES, ORDER, probabilities(1))


def test_probabilities_of_another_shape(tmp_path):
    with pytest.raises(ValueError, match=r"expected \(P, 7, 7\), got \(3, 6, 7\)"):
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
    with pytest.raises(ValueError, match=words):
        read_results(tmp_path / name)


def test_a_result_file_that_is_a_directory(tmp_path):
    (tmp_path / "test_1.json").mkdir()
    words = r"test_1.json: expected a file that can be read, got Is a directory"
    with pytest.raises(ValueError, match=words):
        read_results(tmp_path)


def test_a_file_of_another_name(tmp_path):
    (tmp_path / "test_01.json").write_text(BEST_ONLY)
    with pytest.raises(ValueError, match=r"such as test_1.json .* got test_01.json"):
        read_results(tmp_path)


def test_a_missing_pass(tmp_path):
    write_results(tmp_path, NAMES, ORDER, probabilities(4))
    (tmp_path / "test_2.json").unlink()
    with pytest.raises(ValueError, match=r"passes 1 to 4, found no test_2.json"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    "text, message",
    [
        (BEST_ONLY[:50], "expected JSON, got "),
        ("\x00", "expected JSON, got "),
        ('{"results": {"a": [], "a": []}}', "got named more than once: a"),
        ("[]", r'expected \{"results": .* got \[\]'),
        ('{"results": {}}', r'expected \{"results": .* got \{"results": \{\}\}'),
        ('{"database": {}}', r'got \{"database": \{\}\}'),
        ('{"results": {"clip_1": []}}', "clip name 'clip_1': expected 9 fields"),
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
    with pytest.raises(ValueError, match=message) as caught:
        read_results(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "test_1.json") + ": ")


@pytest.mark.parametrize("odd, where", [(1, "test_1.json"), (2, "test_2.json")])
def test_passes_with_different_clips(tmp_path, odd, where):
    for number in (1, 2):
        names = NAMES if number == odd else NAMES[:-1]
        write_results(
            tmp_path / str(number), names, ORDER, probabilities()[:1, : len(names)]
        )
        (tmp_path / str(number) / "test_1.json").rename(tmp_path / file_name(number))
    message = rf"test_2.json: expected .* {NAMES[-1]} being in {where} alone"
    with pytest.raises(ValueError, match=message):
        read_results(tmp_path)
