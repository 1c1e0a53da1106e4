"""A study's own test function: called once in a fresh process, its result checked and kept."""

import math
import os

import pytest
from sklearn.dummy import DummyClassifier

from studies.confirmation import testing
from studies.confirmation.intervals import proportion_of
from studies.objective.models import saved
from tracking.confirmation import text
from tracking.records.confirmation import Confirmation, Estimate

PROGRAM = """
import os

def pair(model):
    kind = type(model).__name__ == "DummyClassifier"
    return {"accuracy": (9, 10), "process": os.getpid(), "kind": 1.0 * kind}
def fails(model): raise ValueError("no such column")
def ends(model): os._exit(3)
"""


@pytest.fixture
def called(tmp_path, monkeypatch):
    """Call a function of PROGRAM as a test, with a model of scikit-learn."""
    pytest.importorskip("skops", reason="pip install 'retrial-studies[sklearn]'")
    (tmp_path / "final_tests.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    model = saved(DummyClassifier().fit([[0], [1]], [0, 0]), None)

    def call(name):
        return testing.run(f"final_tests:{name}", model, "accuracy")

    return call


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nan",
            "the test final_tests:nan returned nan for accuracy, expected a finite number or a "
            "pair (right, total)",
        ),
        (
            "text",
            "the test final_tests:text returned 'good' for accuracy, expected a finite number or "
            "a pair (right, total)",
        ),
        ("nothing", "the test final_tests:nothing returned {}, expected at least one result"),
        (
            "too_many",
            "the test final_tests:too_many returned (11, 10) for accuracy, expected a finite "
            "number or a pair (right, total)",
        ),
    ],
)
def test_what_is_no_result_is_refused(name, message):
    with pytest.raises(testing.TestFailed) as error:
        testing.results_of(f"final_tests:{name}", RETURNED[name], "accuracy")
    assert str(error.value) == message


RETURNED = {
    "nan": {"accuracy": math.nan},
    "text": "good",
    "nothing": {},
    "too_many": {"accuracy": (11, 10)},
}


def test_results_have_intervals_where_they_are_proportions():
    found = testing.results_of("t:f", {"accuracy": (9, 10), "loss": 0.5}, "accuracy")
    assert found == {"accuracy": proportion_of(9, 10), "loss": Estimate(0.5)}
    assert testing.results_of("t:f", 0.25, "rmse") == {"rmse": Estimate(0.25)}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails", r"^the test final_tests:fails failed at .*final_tests\.py:7: ValueError: no "),
        ("ends", r"^the test final_tests:ends failed: its process ended$"),
    ],
)
def test_a_failure_of_the_function_is_named(called, name, message):
    with pytest.raises(testing.TestFailed, match=message):
        called(name)


def test_the_function_is_called_in_another_process(called):
    found = called("pair")
    assert found["accuracy"] == proportion_of(9, 10)
    assert found["process"].value != os.getpid()
    assert found["kind"] == Estimate(1.0)


def test_the_result_is_said_and_tagged():
    confirmation = Confirmation(
        study="s", metric="accuracy", direction="maximize", top=1, seeds=1, finished=1, at=0.0,
        candidates=(), winner=None, lead=None,
        results={"accuracy": Estimate(0.9, 0.6, 0.98), "loss": Estimate(0.5)},
    )  # fmt: skip
    assert confirmation.is_tested
    assert text.tested(confirmation) == "accuracy 0.9000 (0.6000 to 0.9800), loss 0.5000"
    assert Confirmation.from_json(confirmation.to_json()) == confirmation
