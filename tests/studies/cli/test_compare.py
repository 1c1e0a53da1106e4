"""`retrial compare`: studies side by side."""

import json

import pytest
from stored_studies import SEARCHED, START, a_definition, a_search

from studies.analysis.stored_study import StoredStudy
from studies.cli.main import main
from studies.confirmation.intervals import mean_of, proportion_of
from studies.figures.comparison import best_values
from tracking.records.confirmation import Candidate, Confirmation

NARROW = {**SEARCHED, "dropout": {"low": 0.0, "high": 0.3}}


@pytest.fixture
def two(ledger):
    first = a_search(ledger, a_definition(), ["complete", "pruned", "complete"])
    second = a_search(ledger, a_definition(NARROW, name="narrow"), ["complete", "failed"])
    return first, second


@pytest.fixture
def compare(tmp_path, capsys):
    def run(*arguments, code=0):
        assert main(["compare", *arguments, "--store", str(tmp_path)]) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


def test_the_best_values_have_the_interval_of_their_validation_images(ledger, two, compare):
    for stored in two:
        for trial in stored.trials:
            with ledger.transaction() as connection:
                connection.execute(
                    "UPDATE trial SET settings = ? WHERE study = ?",
                    (json.dumps({"validation": 360}), stored.study.name),
                )
                assert trial.settings != {"validation": 360}
    found = json.loads(compare("digits", "narrow", "--json"))
    assert (found["metric"], found["direction"]) == ("val_accuracy", "maximize")
    one = found["studies"][0]
    wilson = proportion_of(round(one["value"] * 360), 360)
    assert one["estimate"] == {"value": one["value"], "low": wilson.low, "high": wilson.high}
    assert one["by"] == "validation images"
    assert (one["trials"], one["epochs"]) == (3, 22)
    assert one["seconds"] == pytest.approx(2.2)
    assert found["differences"] == {
        "space.dropout": {"digits": SEARCHED["dropout"], "narrow": NARROW["dropout"]}
    }
    lines = compare("digits", "narrow").splitlines()
    assert lines[0].split() == [
        "study", "best", "val_accuracy", "interval", "trial", "trials", "epochs", "time",
    ]  # fmt: skip
    assert lines[3].startswith("digits, narrow: one training")
    assert lines[-1] == "space.dropout: 0 to 0.6 | 0 to 0.3"


def test_a_confirmed_study_has_the_mean_under_fresh_seeds(ledger, two, compare):
    mean = mean_of([0.7, 0.72, 0.74])
    best = two[0].best
    found = Confirmation(
        "digits", "val_accuracy", "maximize", 1, 3, 3, START,
        (Candidate(best.number, best.value, (), mean, None),), best.number, None,
    )  # fmt: skip
    ledger.update_notes("digits", confirmation=found)
    assert "0.72  0.6703 to 0.7697" in compare("digits", "narrow")
    assert "digits: the mean under fresh seeds" in compare("digits", "narrow")


def test_values_of_three_studies_say_whose_they_are(ledger, two, compare):
    a_search(ledger, a_definition(NARROW, name="third"), ["complete"])
    last = compare("digits", "narrow", "third").splitlines()[-1]
    assert last == "space.dropout: 0 to 0.6 (digits) | 0 to 0.3 (narrow, third)"


@pytest.mark.parametrize(
    ("section", "what"),
    [
        ({"metric": "val_loss"}, "minimizes val_loss"),
    ],
)
def test_studies_of_another_metric_are_refused(section, what, ledger, two, compare):
    a_search(ledger, a_definition(name="other", **section), ["complete"])
    assert compare("digits", "other", code=2) == (
        f"retrial: compare: digits maximizes val_accuracy, other {what}, "
        "expected studies with the same metric and direction\n"
    )


def test_what_is_no_comparison_is_refused(two, compare, tmp_path):
    assert "got digits alone, expected two studies" in compare("digits", "digits", code=2)
    assert "no study 'narow'" in compare("digits", "narow", code=2)
    (tmp_path / "a.png").write_text("mine")
    figure = ["--figure", str(tmp_path / "a.png")]
    assert "a.png exists, expected a new file" in compare("digits", "narrow", *figure, code=2)
    assert (tmp_path / "a.png").read_text() == "mine"


def test_the_figure_has_a_line_for_each_study_over_its_epochs(two, compare, tmp_path):
    compare("digits", "narrow", "--figure", str(tmp_path / "both.png"))
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")
    (axes,) = best_values(two).axes
    assert axes.get_xlabel() == "epochs of all trials together"
    assert [line.get_xdata()[-1] for line in axes.lines] == [22, 11]
    assert [line.get_xdata()[0] for line in axes.lines] == [10, 10]


def test_the_figure_is_an_svg_file_where_its_name_says_so_and_always_the_same(
    two, compare, tmp_path
):
    for name in ("a.svg", "b.SVG"):
        compare("digits", "narrow", "--figure", str(tmp_path / name))
    drawn = (tmp_path / "a.svg").read_text()
    assert "<svg" in drawn
    assert "<dc:date>" not in drawn
    assert (tmp_path / "b.SVG").read_text() == drawn


def test_nothing_is_drawn_without_a_complete_trial(ledger):
    studies = [
        a_search(ledger, a_definition(name=name), states)
        for name, states in (("none", []), ("failed", ["failed"]))
    ]
    assert all(isinstance(stored, StoredStudy) for stored in studies)
    assert best_values(studies) is None
