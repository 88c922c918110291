"""Metrics against cases done by hand, and against scikit-learn."""

import numpy as np
import pytest

from seen_jax import metrics, see
from seen_jax.errors import UserError

# True class 0 four times, 1 once, 2 three times.
LABELS = np.array([0, 0, 0, 0, 1, 2, 2, 2])
PREDICTIONS = np.array([0, 0, 0, 2, 1, 1, 0, 2])
MATRIX = [[3, 0, 1], [0, 1, 0], [1, 1, 1]]


def test_confusion_has_true_classes_in_rows():
    matrix = metrics.confusion(LABELS, PREDICTIONS, 3)
    assert matrix.tolist() == MATRIX
    assert matrix.dtype == np.int64


def test_by_hand():
    matrix = np.array(MATRIX)
    np.testing.assert_allclose(metrics.recalls(matrix), [3 / 4, 1, 1 / 3])
    assert metrics.uar(matrix) == pytest.approx((3 / 4 + 1 + 1 / 3) / 3)
    assert metrics.war(matrix) == pytest.approx(5 / 8)
    assert metrics.blend(uar=0.5, war=0.8) == pytest.approx(0.33 * 0.5 + 0.67 * 0.8)


def test_a_class_without_examples_is_left_out_of_uar():
    # Class 1 is predicted once and never true; class 3 is neither.
    matrix = metrics.confusion(np.array([0, 0, 2]), np.array([0, 1, 2]), 4)
    np.testing.assert_array_equal(metrics.recalls(matrix), [0.5, np.nan, 1, np.nan])
    assert metrics.uar(matrix) == 0.75
    assert metrics.war(matrix) == pytest.approx(2 / 3)


def test_no_examples_at_all():
    matrix = metrics.confusion(np.array([], int), np.array([], int), 2)
    assert matrix.tolist() == [[0, 0], [0, 0]]
    assert np.isnan([*metrics.recalls(matrix), metrics.uar(matrix)]).all()
    assert np.isnan(metrics.war(matrix))


def test_measure_follows_the_order_of_the_labels():
    labels = ("sad", "glad", "cross")
    lightings = ["Low"] * 4 + ["HDR"] * 4
    shares = metrics.measure(labels, LABELS, PREDICTIONS, lightings)
    lit = [("lightings", x) for x in see.LIGHTINGS]
    both = [metrics.WAR, metrics.UAR]
    assert list(shares) == [*(("recalls", x) for x in labels), *lit, *both]
    # Recalls, then normal, Overexposed, Low (3 of 4), HDR (2 of 4), WAR, UAR.
    expected = [3 / 4, 1, 1 / 3, np.nan, np.nan, 3 / 4, 2 / 4, 5 / 8]
    expected.append((7 / 4 + 1 / 3) / 3)
    np.testing.assert_allclose([*shares.values()], expected)


def test_measure_without_known_lightings():
    shares = metrics.measure(("a", "b", "c"), LABELS, PREDICTIONS, None)
    assert shares[metrics.WAR] == 5 / 8
    assert [kind for kind, _ in shares] == ["recalls"] * 3 + ["overall"] * 2


@pytest.mark.parametrize("other", ["low", "", "daylight"])
def test_lightings_that_are_not_those_of_see_are_no_columns(other):
    lightings = ["Low"] * 7 + [other]
    shares = metrics.measure(("a", "b", "c"), LABELS, PREDICTIONS, lightings)
    assert not [name for kind, name in shares if kind == "lightings"]


def test_classes_that_are_called_like_other_shares():
    labels, lightings = ("normal", "WAR", "HDR"), ["normal"] * 4 + ["Low"] * 4
    shares = metrics.measure(labels, LABELS, PREDICTIONS, lightings)
    # Recalls 3/4, 1, 1/3; of the normal clips 3 of 4 are right, of the others 2.
    expected = [3 / 4, 1, 1 / 3, 3 / 4, np.nan, 2 / 4, np.nan, 5 / 8]
    np.testing.assert_allclose([*shares.values()][:-1], expected)
    nested = metrics.nest(shares)
    assert nested["recalls"]["HDR"] == 1 / 3 and nested["lightings"]["HDR"] is None
    assert nested["overall"]["WAR"] == 5 / 8 and nested["recalls"]["WAR"] == 1
    assert [*metrics.flatten(nested)] == [*shares]
    titles = metrics.titles([*shares])
    assert titles[:3] == ["normal (class)", "WAR (class)", "HDR (class)"]
    assert titles[3] == "normal (lighting)"
    assert titles[-2:] == ["WAR", "UAR"] and len({*titles}) == len(titles)


def test_rows_of_older_runs_are_flat():
    old = {"angry": 0.5, "normal": 0.25, "HDR": None, "WAR": 0.75, "UAR": 0.5}
    assert metrics.flatten(old) == {
        ("recalls", "angry"): 0.5,
        ("lightings", "normal"): 0.25,
        ("lightings", "HDR"): None,
        metrics.WAR: 0.75,
        metrics.UAR: 0.5,
    }


def test_labels_that_are_not_told_apart():
    with pytest.raises(UserError, match="labels: expected names that differ"):
        metrics.measure(("a", "b", "a"), LABELS, PREDICTIONS, None)


@pytest.mark.parametrize("seed", range(5))
def test_as_scikit_learn(seed):
    sklearn = pytest.importorskip("sklearn.metrics", reason="no scikit-learn here")
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.concatenate([np.arange(7), rng.integers(0, 7, 200)]))
    predictions = np.where(rng.random(207) < 0.5, labels, rng.integers(0, 7, 207))
    matrix = metrics.confusion(labels, predictions, 7)
    np.testing.assert_array_equal(matrix, sklearn.confusion_matrix(labels, predictions))
    each = sklearn.recall_score(labels, predictions, average=None)
    np.testing.assert_allclose(metrics.recalls(matrix), each, rtol=1e-12)
    balanced = sklearn.balanced_accuracy_score(labels, predictions)
    assert metrics.uar(matrix) == pytest.approx(balanced, rel=1e-12)
    share = sklearn.accuracy_score(labels, predictions)
    assert metrics.war(matrix) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize(
    "labels, predictions, message",
    [
        ([0, 3], [0, 0], "labels: expected classes 0 to 2, got 3"),
        ([0, 0], [0, -1], "predictions: expected classes 0 to 2, got -1"),
        ([0, 0], [0], r"predictions: expected \(2,\), as labels, got \(1,\)"),
        ([0.0], [0], r"labels: expected integers \(N,\), got float64 \(1,\)"),
    ],
)
def test_bad_input(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        metrics.confusion(np.array(labels), np.array(predictions), 3)
