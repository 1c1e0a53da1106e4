"""What few repetitions can say, worked by hand and by trying it ten thousand times."""

import pytest
from scipy import stats

from studies.confirmation.intervals import difference_of, mean_of, proportion_of
from tracking.records.confirmation import Estimate


def test_mean_has_students_interval():
    # s² = 2.5, s / sqrt(5) = 0.70711, t(4) = 2.77645: 3 ± 1.96324
    assert mean_of([1.0, 2.0, 3.0, 4.0, 5.0]).rounded(4) == (3.0, 1.0368, 4.9632)


def test_one_value_has_no_interval():
    assert mean_of([0.5]) == Estimate(0.5, None, None)


def test_equal_values_say_nothing_about_their_spread():
    assert mean_of([0.1, 0.1, 0.1]) == Estimate(0.1, None, None)


def test_no_interval_goes_beyond_what_a_mean_can_be():
    wide = mean_of([0.9, 1.0])
    assert wide.high > 1.0
    assert mean_of([0.9, 1.0], 0.0, 1.0) == Estimate(0.95, wide.low, 1.0)


def test_mean_is_covered_in_95_of_100_cases(generator):
    covered = 0
    for values in generator.normal(0.7, 0.02, size=(2000, 5)):
        estimate = mean_of(values.tolist())
        covered += estimate.low <= 0.7 <= estimate.high
    assert covered / 2000 == pytest.approx(0.95, abs=0.02)  # four standard errors


def test_difference_has_welchs_interval():
    one, other = [4.0, 5.0, 6.0], [0.0, 2.0, 4.0, 1.0]
    expected = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    found = difference_of(one, other)
    assert found.value == 3.25
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("one", "other"), [([0.5], [0.1, 0.2]), ([0.5, 0.5], [0.4, 0.4])])
def test_difference_without_spread_has_no_interval(one, other):
    found = difference_of(one, other)
    assert (found.low, found.high) == (None, None)


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_proportion_has_wilsons_interval(hits, count, low, high):
    assert proportion_of(hits, count).rounded(4)[1:] == (low, high)


def test_proportion_of_everything_reaches_one_and_no_further():
    assert 1 - 1e-12 < proportion_of(360, 360).high <= 1
