"""Mutated packs do no harm: no traceback, no write outside the store, no excessive memory."""

import pytest

from benchmarks import fuzz


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the libraries, to what the commands run
def test_two_thousand_mutated_packs_do_no_harm(tmp_path):
    pytest.importorskip("skops")  # one of the studies keeps a model of scikit-learn
    folder = tmp_path / "fuzzed"
    folder.mkdir()
    report = fuzz.fuzz(folder, fuzz.packed(tmp_path), seed=1, first=0, count=2000)
    assert report.harm == []
    # Most are refused, and some change nothing that matters.
    assert report.ends["refused"] > 800
    assert report.ends["accepted"] > 100
    assert report.ends["accepted, and a damaged record refused"] > 10
