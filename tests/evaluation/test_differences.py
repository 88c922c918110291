"""Marks beside differences: rare where the truth is equal, there where it is not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from seen_jax import metrics, see
from seen_jax.evaluation import differences
from seen_jax.evaluation.results import Results, joined

COLUMNS = 13  # seven recalls, four lightings, WAR, UAR


class Clips:
    """Clips of people of unequal numbers, and runs of networks that read them.

    A clip is right with a probability whose logit adds up what is easy about the person
    and the clip, what the run learned about them, and how good its seed and recipe are.
    """

    def __init__(self, seed, num_people):
        self.rng = rng = np.random.default_rng(seed)
        self.who = np.repeat(np.arange(num_people), rng.integers(4, 25, num_people))
        self.label_index = rng.integers(0, 7, len(self.who))
        self.easy = 2 + rng.normal(size=num_people)[self.who]
        self.easy += rng.normal(size=len(self.who))

    def run(self, passes=20, gain=0.0, of_person=0.4, of_clip=0.5, of_seed=0.0):
        rng, count = self.rng, len(self.who)
        logit = self.easy + gain + of_seed * rng.normal()
        logit = logit + of_person * rng.normal(size=self.who.max() + 1)[self.who]
        logit = logit + of_clip * rng.normal(size=count)
        right = rng.random((passes, count)) < 1 / (1 + np.exp(-logit))
        predictions = np.where(right, self.label_index, (self.label_index + 1) % 7)
        lighting = np.array(see.LIGHTINGS)[self.who % 4]
        metadata = {"volunteer": self.who, "lighting": lighting}
        clips = see.EMOTIONS, tuple(map(str, range(count))), self.label_index
        scores = np.full((*predictions.shape, 7), np.nan)
        return Results(None, *clips, predictions, scores, metadata)


def marks(first, other):
    by_column = differences.compare(first, other)
    assert len(by_column) == COLUMNS
    return {name for name, x in by_column.items() if x.is_marked}


@pytest.mark.parametrize(
    "num_people, kind",
    [
        (10, {"passes": 5, "of_person": 0, "of_clip": 0}),  # windows alone
        (10, {"passes": 20}),
        (10, {"passes": 5, "of_person": 1, "of_clip": 1}),
        (10, {"passes": 20, "gain": 3}),  # nearly all is right
        (30, {"passes": 5}),
    ],
)
def test_equal_runs_get_a_mark_in_at_most_5_of_100_tables(num_people, kind):
    tests = [Clips(seed, num_people) for seed in range(400)]
    assert sum(marks(x.run(**kind), x.run(**kind)) != set() for x in tests) <= 20


def test_equal_recipes_get_a_mark_in_at_most_5_of_100_tables():
    """Where seeds differ, two single runs are apart in truth, and often marked."""
    tests, alone, together = [Clips(seed, 16) for seed in range(60)], 0, 0
    for test in tests:
        a, b = ([test.run(5, of_seed=1) for _ in range(4)] for _ in "ab")
        alone += marks(a[0], b[0]) != set()
        together += marks(joined(a), joined(b)) != set()
    assert alone > 30 and together <= 3


@pytest.mark.parametrize("num_people, gain, least", [(10, 1, 65), (40, 0.5, 75)])
def test_a_difference_is_found(num_people, gain, least):
    """Of 9 and 5 points of WAR; in about 74 and 82 of 100 tables."""
    tests = [Clips(seed, num_people) for seed in range(100)]
    assert sum(metrics.WAR in marks(x.run(), x.run(gain=gain)) for x in tests) >= least


def test_a_difference_of_recipes_is_found():
    """Of 9 points, by five runs of each; by three it is in a quarter of the tables."""
    tests, num_marked = [Clips(seed, 16) for seed in range(50)], 0
    for test in tests:
        a, b = ([test.run(5, y, of_seed=0.2) for _ in range(5)] for y in (0, 1))
        num_marked += metrics.WAR in marks(joined(a), joined(b))
    assert num_marked >= 40


def test_numbers_by_scipy():
    """Over clips a paired t-test, over runs Welch's, p the largest times thirteen."""
    clips = Clips(0, 12)
    a, b = ([clips.run(5, gain) for _ in range(3)] for gain in (0, 1.5))
    change = differences.compare(joined(a), joined(b))[metrics.WAR]
    values = [
        np.array([np.mean(x.predictions == x.label_index, axis=0) for x in runs])
        for runs in (a, b)
    ]
    paired = stats.ttest_1samp(values[1].mean(axis=0) - values[0].mean(axis=0), 0)
    assert change.over_clips.p() == pytest.approx(paired.pvalue)
    over_runs = stats.ttest_ind(*(x.mean(axis=1) for x in values), equal_var=False)
    assert change.over_runs.p() == pytest.approx(over_runs.pvalue)
    assert (change.over_runs.num_units, change.over_volunteers.num_units) == (6, 12)
    largest = max(x.p() for x in (change.over_clips, change.over_volunteers))
    largest = max(largest, change.over_runs.p())
    assert largest <= change.p <= 13 * largest


def marked(first, other, **metadata):
    """Whether the people and passes are enough for a difference that is there."""
    changed = [replace(x, metadata=x.metadata | metadata) for x in (first, other)]
    return differences.compare(*changed)[metrics.WAR].is_marked


def test_too_few_passes_or_people_are_not_tested():
    clips, few = Clips(0, 10), Clips(0, 9)
    for x, passes, expected in ((clips, 5, True), (clips, 4, None), (few, 5, None)):
        runs = x.run(5, of_person=0), x.run(passes, gain=4, of_person=0)
        assert marked(*runs) is expected
        assert marked(*runs[::-1]) is expected
    runs = clips.run(), clips.run(gain=4)
    assert marked(*runs, volunteer=np.array([""] * len(clips.who))) is None
    # Of 16 people each lighting has 4, the emotions all.
    clips = Clips(0, 16)
    by_column = differences.compare(clips.run(), clips.run())
    tested = {name for name, x in by_column.items() if x.is_marked is not None}
    assert {kind for kind, _ in tested} == {"recalls", "overall"} and len(tested) == 9
    assert by_column["lightings", "HDR"].over_volunteers.num_units == 4


def test_clips_are_paired_by_their_names():
    clips = Clips(0, 12)
    first, other = clips.run(), clips.run(gain=1)
    order = clips.rng.permutation(len(clips.who))
    for name, x in differences.compare(first, other.take(order)).items():
        assert x == differences.compare(first, other)[name]
    assert differences.compare(first, other.take(order[1:])) == {}
    wrong = replace(other, label_index=np.roll(other.label_index, 1))
    assert differences.compare(first, wrong) == {}


def test_a_run_and_itself_do_not_differ():
    run = Clips(0, 12).run()
    compared = differences.compare(run, run)
    assert compared[metrics.WAR].p == compared[metrics.UAR].p == 1
    for x in compared.values():
        assert (x.over_clips.value == 0 and x.p == 1) or np.isnan(x.p)


def test_runs_are_joined_where_they_fit():
    clips = Clips(0, 3)
    a, b = clips.run(2), clips.run(2)
    order = clips.rng.permutation(len(clips.who))
    both = joined([a, b.take(order)])
    assert (both.num_runs, both.num_passes) == (2, 2)
    np.testing.assert_array_equal(both.predictions, [*a.predictions, *b.predictions])
    np.testing.assert_array_equal(both.right, [a.right[0], b.right[0]])
    assert joined([a, clips.run(3)]) is None
    assert joined([a, b.take(order[1:])]) is None
    assert joined([a, replace(b, labels=b.labels[::-1])]) is None
