"""Standard errors, intervals and tests against closed forms, scipy, and known truth."""

import numpy as np
import pytest
from scipy import stats

from seen_jax import metrics
from seen_jax.evaluation import statistics
from seen_jax.evaluation.statistics import Estimate

ALL = ("overall", "WAR")


def test_leaving_out_single_clips_is_the_error_of_a_mean():
    # The jackknife of a mean of n is its standard error, s / sqrt(n), exactly.
    values = np.random.default_rng(0).random(9)
    estimate = statistics.leave_one_out(values, range(9), {ALL: values >= 0})[ALL]
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.error == pytest.approx(stats.sem(values))
    assert (estimate.freedom, estimate.num_units) == (8, 9)
    expected = stats.t.interval(0.95, 8, values.mean(), stats.sem(values))
    interval = estimate.interval()
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert estimate.p() == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_people_with_clips_of_two_classes_by_hand():
    # Ann's a is right, her b wrong; Bob's a is wrong; Cid's a and b are right.
    # Recall of a: 2/3; without Ann 1/2, Bob 1, Cid 1/2: mean 2/3, squares
    # 1/36 + 1/9 + 1/36 = 1/6, times 2/3. Of b: 1/2; without Ann 1, without Cid 0:
    # squares 1/4 + 1/4, times 1/2. UAR: 7/12; without Ann 3/4, Bob 3/4, Cid 1/4.
    who = ["ann", "ann", "bob", "cid", "cid"]
    of_a = np.array([True, False, True, True, False])
    members = {("recalls", "a"): of_a, ("recalls", "b"): ~of_a, ALL: of_a | ~of_a}
    values = np.array([1.0, 0, 0, 1, 1])
    a, b, _, uar = statistics.leave_one_out(values, who, members).values()
    assert (a.value, a.error, a.num_units) == pytest.approx((2 / 3, (1 / 9) ** 0.5, 3))
    assert (b.value, b.error, b.num_units) == pytest.approx((1 / 2, 1 / 2, 2))
    # Mean 7/12: squares 1/36 + 1/36 + 1/9 = 1/6, times 2/3.
    assert (uar.value, uar.error) == pytest.approx((7 / 12, (1 / 9) ** 0.5))


def test_what_nobody_or_one_person_is_in():
    places = np.arange(6)
    members = {("lightings", "a"): places < 0, ("lightings", "b"): places == 2}
    estimates = statistics.leave_one_out(np.arange(6) / 6, range(6), members)
    assert np.isnan(estimates["lightings", "a"].value)
    assert estimates["lightings", "b"].value == pytest.approx(2 / 6)
    for name in "ab":
        estimate = estimates["lightings", name]
        assert np.isnan(estimate.error) and np.isnan(estimate.p())
        assert estimate.interval() is None and estimate.share_interval(6) is None
    assert np.isnan(estimates[metrics.UAR].value)  # no recall is known


def test_wilson_with_the_error_of_independent_clips():
    # Wilson's interval of 45 of 50, but with t of 49 in place of z: by its equation,
    # its ends are where |0.9 - x| = t sqrt(x (1 - x) / n).
    error = (0.9 * 0.1 / 50) ** 0.5
    interval = Estimate(0.9, error, 49, 50).share_interval(50)
    t = stats.t.ppf(0.975, 49)
    for x in (interval.low, interval.high):
        assert abs(0.9 - x) == pytest.approx(t * (x * (1 - x) / 50) ** 0.5)
    assert interval.low < 0.9 < interval.high
    # By chance people may be alike; they are no more than their clips.
    assert Estimate(0.9, error / 9, 49, 50).share_interval(50) == interval
    wide = Estimate(0.9, 2 * error, 49, 50).share_interval(50)
    assert wide.high - wide.low > 1.5 * (interval.high - interval.low)


def test_where_all_is_right_others_need_not_be():
    # n / (n + t^2), Wilson's lower end; of people, not of their clips.
    t = stats.t.ppf(0.975, 9)
    for value, low, high in ((1, 10 / (10 + t**2), 1), (0, 0, t**2 / (10 + t**2))):
        interval = Estimate(value, 0, 9, 10).share_interval(200)
        assert (interval.low, interval.high) == pytest.approx((low, high))
    assert Estimate(0, 0, 9, 10).p() == 1 and Estimate(-1, 0, 9, 10).p() == 0
    assert Estimate(-1, 0, 9, 10).interval() is None


def test_welch_as_scipy_has_it():
    rng = np.random.default_rng(1)
    first, other = rng.normal(0.8, 0.01, 5), rng.normal(0.83, 0.04, 3)
    estimate = statistics.welch(first, other)
    test = stats.ttest_ind(other, first, equal_var=False)
    assert (estimate.p(), estimate.freedom) == pytest.approx((test.pvalue, test.df))
    interval = estimate.interval()
    assert (interval.low, interval.high) == pytest.approx(test.confidence_interval())
    assert statistics.welch([0.5, 0.5], [0.5, 0.5]).p() == 1
    assert statistics.welch([0.5, 0.5], [0.75, 0.75]).p() == 0


def test_holm_by_hand():
    # Sorted: 0.01 times 4; 0.02 times 3; 0.02 times 2, but not less; 0.9 times 1.
    p = dict(zip("abcde", (0.02, 0.9, np.nan, 0.01, 0.02), strict=True))
    expected = dict(zip("abcde", (0.06, 0.9, np.nan, 0.04, 0.06), strict=True))
    assert statistics.holm(p) == pytest.approx(expected, nan_ok=True)
    assert statistics.holm({"a": 0.6, "b": 0.9}) == {"a": 1, "b": 1}


def people(rng, num_people, mean, concentration, passes):
    """Clips of people who differ, 3 to 27 of each: who, and shares of right passes."""
    rate = rng.beta(mean * concentration, (1 - mean) * concentration, num_people)
    who = np.repeat(np.arange(num_people), rng.integers(3, 28, num_people))
    of_clip = rng.beta(3 * rate[who] + 1e-9, 3 * (1 - rate[who]) + 1e-9)
    return who, rng.binomial(passes, of_clip) / passes


@pytest.mark.parametrize("num_people", [5, 10, 16, 30])
@pytest.mark.parametrize("mean, concentration", [(0.85, 8), (0.5, 8), (0.95, 20)])
def test_intervals_hold_the_truth_of_other_people(num_people, mean, concentration):
    """In 93 % of draws or more; percentiles of a bootstrap do so in 79 to 93 %."""
    rng, hits, widths = np.random.default_rng(num_people), 0, 0
    for _ in range(1000):
        who, values = people(rng, num_people, mean, concentration, passes=20)
        members = {ALL: np.ones(len(who), bool)}
        estimate = statistics.leave_one_out(values, who, members)[ALL]
        interval = estimate.share_interval(len(values))
        hits += interval.low <= mean <= interval.high
        widths += (interval.high - interval.low) / 1000
    assert hits >= 930
    # Not by being wide: t times the true error, if clips were no matter of chance.
    variance = mean * (1 - mean) / (concentration + 1)
    least = 2 * stats.t.ppf(0.975, num_people - 1) * (variance / num_people) ** 0.5
    assert widths < 1.6 * least


@pytest.mark.parametrize(
    "ends, sign, text",
    [
        ((0.5211, 0.8709), "", "52.1 to 87.1"),
        (statistics.Interval(-0.3, 0.1), "+", "-30.0 to +10.0"),
        ([0.0, 1.0], "", "0.0 to 100.0"),
        (None, "+", "-"),
    ],
)
def test_an_interval_in_words(ends, sign, text):
    assert statistics.interval_text(ends, sign) == text
