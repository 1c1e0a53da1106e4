"""Calibration: confidence against accuracy, bin by bin."""

import numpy as np
import pytest

from nets.calibration import reliability


def test_calibrated_scores_have_almost_no_error(generator):
    sure = generator.uniform(0.5, 1.0, 200_000)
    labels = (generator.random(sure.size) > sure).astype(int)
    found = reliability(np.column_stack([sure, 1 - sure]), labels)
    assert found.error < 0.005
    assert found.counts.sum() == sure.size


def test_error_of_an_overconfident_network_is_the_difference():
    answers = np.tile([0.97, 0.03], (100, 1))
    labels = np.arange(100) % 5 == 0  # one in five is wrong
    assert reliability(answers, labels).error == pytest.approx(0.97 - 0.8)


@pytest.mark.parametrize(("score", "place"), [(0.5, 4), (0.500001, 5), (0.95, 9), (1.0, 9)])
def test_each_bin_includes_its_upper_edge(score, place):
    counts = reliability(np.array([[score, 1 - score]]), np.array([0])).counts
    assert np.flatnonzero(counts).tolist() == [place]


def test_error_equals_that_of_a_loop_over_bins(generator):
    answers = generator.dirichlet(np.ones(4), size=500)
    labels = generator.integers(4, size=500)
    scores, right = answers.max(axis=1), answers.argmax(axis=1) == labels
    expected = 0.0
    for low in np.arange(7) / 7:
        inside = (scores > low) & (scores <= low + 1 / 7)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - scores[inside].mean())
    assert reliability(answers, labels, bins=7).error == pytest.approx(expected)
