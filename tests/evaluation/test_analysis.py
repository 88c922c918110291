"""The analysis against numbers done by hand."""

import dataclasses

import numpy as np
import pytest

from seen_jax import metrics, see
from seen_jax.evaluation import analysis, analysis_text
from tests.samples import clip_names, results_of

NAMES = clip_names(num_volunteers=2)  # seven clips each; aged 19 and 20
RIGHT = np.array([see.EMOTIONS.index(name.emotion) for name in NAMES])


def results(predictions, scores=None, names=NAMES):
    return results_of(names, predictions, scores)


def with_best(predictions, best):
    """Scores whose largest is `best`, at the prediction; the rest is shared out."""
    predictions, best = np.asarray(predictions), np.asarray(best)[..., None]
    chosen = np.eye(7)[predictions] == 1
    return results(predictions, np.where(chosen, best, (1 - best) / 6))


def volunteers_wrong():
    """All clips of the first volunteer are taken for the class after the true one."""
    return np.where(np.arange(14) < 7, (RIGHT + 1) % 7, RIGHT)


def test_confusion_is_the_mean_of_the_passes():
    matrix = analysis.confusion(results([RIGHT, volunteers_wrong()]))
    # Each emotion has two clips: four predictions in two passes, one of them wrong.
    expected = 1.5 * np.eye(7) + 0.5 * np.roll(np.eye(7), 1, axis=1)
    np.testing.assert_array_equal(matrix, expected)


SIX = clip_names(num_volunteers=6)


def six(num_wrong):
    """Six volunteers of seven clips each; the first ones are never right."""
    right = np.array([see.EMOTIONS.index(name.emotion) for name in SIX])
    wrong = np.array([name.volunteer <= num_wrong for name in SIX])
    return results([np.where(wrong, (right + 1) % 7, right)], names=SIX)


def test_intervals_over_volunteers_are_wider_where_people_differ():
    # Of six volunteers three are always right and three never: variance 1/4 * 6/5 / 6,
    # that of 5 independent clips. With t = 2.5706 of 5: t^2 / 5 = 1.3216, and Wilson's
    # half width sqrt(1.3216 (1/4 + 1.3216/4)) / 2.3216 = 0.3773.
    intervals = analysis.over_volunteers(six(3))
    for interval in (intervals[metrics.WAR], intervals[metrics.UAR]):
        ends = interval.low, interval.high
        assert ends == pytest.approx((0.1227, 0.8773), abs=1e-4)


def test_intervals_over_clips():
    # Of 14 clips, 7 are right: variance 1/4 / 13. With t = 2.1604 of 13:
    # t^2 / 13 = 0.3590, half width sqrt(0.3590 (1/4 + 0.3590/4)) / 1.3590 = 0.2570.
    interval = analysis.over_clips(results([volunteers_wrong()]))[metrics.WAR]
    ends = interval.low, interval.high
    assert ends == pytest.approx((0.2430, 0.7570), abs=1e-4)


def test_columns_have_intervals_over_people_or_else_over_clips():
    intervals = analysis.column_intervals(six(3))
    # As above: a class has a clip of each of the six, and so has the whole.
    for column in (metrics.WAR, metrics.UAR, ("recalls", "fear")):
        interval, units = intervals[column]
        assert units == "people"
        ends = interval.low, interval.high
        assert ends == pytest.approx((0.1227, 0.8773), abs=1e-4)
    # A lighting has two of the six at most, with seven clips each; that of the second
    # and the sixth is right in seven of fourteen: the interval over clips, as below.
    interval, units = intervals["lightings", see.LIGHTINGS[2]]
    over_clips = analysis.over_clips(results(volunteers_wrong()))[metrics.WAR]
    assert (units, interval) == ("clips", over_clips)
    # Nobody is known: all are over clips, and five are needed.
    unknown = dataclasses.replace(six(3).take(range(4)), metadata={})
    assert analysis.column_intervals(unknown) == {}


@pytest.mark.parametrize("num_units", [1, 2, 4])
def test_too_few_units_have_no_interval(num_units):
    units = np.arange(14) % num_units
    assert analysis.intervals(results([RIGHT]), units) == {}
    enough = analysis.intervals(results([RIGHT]), np.arange(14) % 5)
    assert {metrics.WAR, metrics.UAR} <= enough.keys()


def test_further_passes_are_no_further_clips():
    one, many = results([volunteers_wrong()]), results([volunteers_wrong()] * 20)
    assert analysis.over_clips(one) == analysis.over_clips(many)


def test_groups():
    groups = analysis.by_group(results([RIGHT, volunteers_wrong()]))
    shares = {(g.kind, g.name): (g.war, g.uar, g.num_clips) for g in groups}
    # The first is right in one pass of two, the second always.
    first, second = NAMES[0], NAMES[7]
    half, always = (0.5, 0.5, 7), (1, 1, 7)
    expected = {("age", "under 20"): half, ("age", "20-21"): always}
    for kind in ("sex", "degree", "lighting"):
        expected |= {(kind, getattr(first, kind)): half}
        expected |= {(kind, getattr(second, kind)): always}
    assert shares == expected
    assert {g.num_volunteers for g in groups} == {1}


@pytest.mark.parametrize(
    "age, name",
    [
        *((0, "under 20"), (19, "under 20"), (20, "20-21"), (21, "20-21")),
        *((25, "24-25"), (26, "26 and over"), (1000, "26 and over")),
    ],
)
def test_age_groups(age, name):
    other = 22 if age != 22 else 24
    names = [dataclasses.replace(NAMES[0], age=x) for x in (age, age, other)]
    groups = analysis.by_group(results([[0, 0, 0]], names=names))
    counts = {g.name: g.num_clips for g in groups if g.kind == "age"}
    assert counts[name] == 2 and len(counts) == 2


def test_a_group_that_lacks_emotions():
    names = [dataclasses.replace(NAMES[i], age=30) for i in (0, 1)] + [NAMES[0]]
    groups = analysis.by_group(results([[0, 2, 0]], names=names))
    (old,) = [g for g in groups if g.name == "26 and over"]
    assert (old.war, old.uar, old.num_clips) == (0.5, 0.5, 2)  # angry 1, disgust 0


def test_calibration():
    best = np.full((1, 14), 0.75)
    best[0, :4] = 0.35
    calibration = analysis.calibration(with_best([volunteers_wrong()], best))
    # Scores of 0.35: four, all wrong. Of 0.75: ten, seven of them right.
    # Expected error: (4 * 0.35 + 10 * 0.05) / 14.
    np.testing.assert_array_equal(calibration.counts, [0, 0, 0, 4, 0, 0, 0, 10, 0, 0])
    np.testing.assert_allclose(calibration.confidence[[3, 7]], [0.35, 0.75])
    np.testing.assert_allclose(calibration.accuracy[[3, 7]], [0, 0.7])
    assert np.isnan(np.delete(calibration.accuracy, [3, 7])).all()
    assert calibration.error == pytest.approx((4 * 0.35 + 10 * 0.05) / 14)


def test_calibration_at_the_edges_of_bins():
    best = np.full((1, 14), 1.0)
    best[0, 0] = 0.5  # (0.4, 0.5]
    best[0, 1] = 1 + 1e-7  # as a float32 softmax may round
    calibration = analysis.calibration(with_best([RIGHT], best))
    assert calibration.counts.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 13]


def test_calibration_needs_all_classes():
    assert analysis.calibration(results([RIGHT])) is None
    assert "not known" in analysis_text.to_text(results([RIGHT]))
    assert analysis_text.to_json(results([RIGHT]))["calibration"] is None


def test_as_text():
    best = np.full((1, 14), 0.75)
    text = analysis_text.to_text(with_best([volunteers_wrong()], best))
    assert "angry         1.0    1.0    0.0" in text
    assert "of the 2 volunteers     too few volunteers, fewer than 5" in text
    assert "of the 14 clips         WAR   24.3 to 75.7   UAR " in text
    assert "WAR %  UAR %  clips" in text
    assert "age 20-21               100.0  100.0      7           1" in text
    assert "Expected calibration error 25.0 percentage points" in text
    assert " 70 to  80             14          75.0     50.0" in text


def test_as_text_of_more_people():
    text = analysis_text.to_text(six(3))
    assert "of the 42 clips         WAR" in text
    words = "WAR   12.3 to 87.7   UAR   12.3 to 87.7"
    assert "of the 6 volunteers     " + words in text


def test_as_json():
    facts = analysis_text.to_json(results([volunteers_wrong()]))
    assert facts["interval_over_volunteers"] is None
    assert len(facts["interval_over_clips"]["WAR"]) == 2
