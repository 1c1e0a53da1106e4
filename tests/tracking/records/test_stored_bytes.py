"""The JSON of every kind of record has the bytes that the first stores have.

Each text was written by the code before there were records, for the same facts.
"""

import json
import math
from dataclasses import replace

import pytest

from nets.state import pack
from tracking.ledger import Ledger
from tracking.records import (
    Blas,
    Direction,
    EarlierTrial,
    Environment,
    EpochRecord,
    Failure,
    Git,
    PruneReason,
    QueuedTrial,
    RetriedFailure,
    SamplerAttributes,
    StudyNotes,
    TrialOutcome,
    TrialRecord,
)
from tracking.records.confirmation import (
    Candidate,
    Champion,
    Confirmation,
    Estimate,
    Evidence,
    RecordedConfirmation,
    Repetition,
    TestResult,
)

BLAS = '{"library": "openblas", "version": "0.3.31", "kernel": "SkylakeX", "threads": 1}'
DRIVER = (
    '{"captured": "2026-11-27T00:52:41Z", "command": "retrial search tiny.toml", "user": "ada", '
    '"host": "vm", "os": "Linux-6.18", "machine": "x86_64", "cpu": "EPYC", "cores": 2, '
    '"python": "3.11.7", "versions": {"numpy": "2.4.6", "optuna": "5.0.0"}, "blas": ' + BLAS + ", "
    '"simd": ["X86_V2", "X86_V3"], "code": {"nets": "d2bb"}, "git": {"commit": "2258", '
    '"dirty": true, "diff": "-a\\n+b\\n", "diff_left_out_bytes": 7}, "data": {"digits": "21f5"}}'
)
TRIAL = (
    '{"python": "3.11.7", "versions": {"numpy": "2.4.6", "optuna": "5.0.0"}, "blas": ' + BLAS + ", "
    '"simd": ["X86_V2", "X86_V3"], "code": {"nets": "d2bb"}, '
    '"git": {"commit": "2258", "dirty": true}}'
)
DECISIVE = (
    '{"python": "3.11.7", "versions": {"numpy": "2.4.6"}, "blas": ' + BLAS + ", "
    '"simd": ["X86_V2", "X86_V3"], "code": {"nets": "d2bb"}}'
)
PORTABLE = (
    '{"captured": "2026-11-27T00:52:41Z", "command": "retrial search tiny.toml", "user": "ada", '
    '"host": "vm", "os": "Linux-6.18", "machine": "x86_64", "cpu": "EPYC", "cores": 2, '
    '"python": "3.11.7", "versions": {"numpy": "2.4.6", "optuna": "5.0.0"}, "blas": {"library": '
    '"openblas", "version": "0.3.31", "kernel": "Haswell", "threads": 1}, '
    '"simd": ["X86_V2", "X86_V3"], "code": {"nets": "d2bb"}, '
    '"pinned": {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "X86_V4"}}'
)
MIXED = (
    '{"captured": "2026-11-27T00:52:41Z", "command": "retrial search tiny.toml", "user": "ada", '
    '"host": "vm", "os": "Linux-6.18", "machine": "x86_64", "cpu": "EPYC", "cores": 2, '
    '"python": "3.11.7", "versions": {"numpy": "2.4.6", "optuna": "5.0.0"}, "blas": {"library": '
    '"openblas", "version": "0.3.31", "kernel": "Zen", "threads": 1}, "simd": ["X86_V2"], '
    '"code": {"nets": "d2bb"}, "mixed": ["kernel: BLAS kernel was SkylakeX, is Zen", '
    '"kernel: NumPy\'s SIMD lost X86_V3"]}'
)

driver = Environment(
    captured="2026-11-27T00:52:41Z",
    command="retrial search tiny.toml",
    user="ada",
    host="vm",
    os="Linux-6.18",
    machine="x86_64",
    cpu="EPYC",
    cores=2,
    python="3.11.7",
    versions={"numpy": "2.4.6", "optuna": "5.0.0"},
    blas=Blas("openblas", "0.3.31", "SkylakeX", 1),
    simd=("X86_V2", "X86_V3"),
    code={"nets": "d2bb"},
    git=Git("2258", True, "-a\n+b\n", 7),
    data={"digits": "21f5"},
)
worker = replace(driver, git=None, data=None)
differences = ("kernel: BLAS kernel was SkylakeX, is Zen", "kernel: NumPy's SIMD lost X86_V3")
here = driver.of_trial()


def check(record, text):
    """Compare the bytes, and those of what is read from them."""
    assert json.dumps(record.to_json()) == text
    again = type(record).from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    if "NaN" not in text:
        assert again == record


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        (driver, DRIVER),
        (driver.of_trial(), TRIAL),
        (driver.decisive(), DECISIVE),
        (
            replace(
                worker,
                blas=replace(worker.blas, kernel="Haswell"),
                pinned={"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "X86_V4"},
            ),
            PORTABLE,
        ),
        (
            replace(
                worker,
                blas=replace(worker.blas, kernel="Zen"),
                simd=("X86_V2",),
                mixed=differences,
            ),
            MIXED,
        ),
        (Environment(), "{}"),
        (
            replace(here, git=Git("2258", False, of="valley"), imported={"helper.py": "c0de"}),
            TRIAL[: TRIAL.index('"git"')]
            + '"git": {"commit": "2258", "dirty": false, "of": "valley"}, '
            '"imported": {"helper.py": "c0de"}}',
        ),
        (
            Environment(cores="unknown", blas="unknown", simd="unknown", git="unknown", data={}),
            '{"cores": "unknown", "blas": "unknown", "simd": "unknown", "git": "unknown", '
            '"data": {}}',
        ),
    ],
    ids=["driver", "trial", "first worker", "portable", "mixed", "none", "imported", "unknown"],
)
def test_environment(environment, text):
    check(environment, text)


OUTCOMES = {
    "complete": (
        TrialOutcome(here, 0.125, 2, "finished", {}),
        f'{{"environment": {TRIAL}, "value": 0.125, "epoch": 2, "reason": "finished", '
        '"attributes": {}}',
    ),
    "pruned": (
        TrialOutcome(here, 0.25, 1, "pruned", {}, PruneReason("median", 1, 0.25, 0.5)),
        f'{{"environment": {TRIAL}, "value": 0.25, "epoch": 1, "reason": "pruned", '
        '"attributes": {}, "pruned": {"rule": "median", "epoch": 1, "value": 0.25, '
        '"survives_from": 0.5}}',
    ),
    "pruned whatever its value": (
        TrialOutcome(here, 0.25, 1, "pruned", {"a": 1}, PruneReason("wilcoxon", 1, 0.25)),
        f'{{"environment": {TRIAL}, "value": 0.25, "epoch": 1, "reason": "pruned", '
        '"attributes": {"a": 1}, "pruned": {"rule": "wilcoxon", "epoch": 1, "value": 0.25}}',
    ),
    "diverged": (
        TrialOutcome(here, math.nan, 2, "diverged", {}),
        f'{{"environment": {TRIAL}, "value": NaN, "epoch": 2, "reason": "diverged", '
        '"attributes": {}}',
    ),
    "failed": (
        TrialOutcome(here, error=Failure("ValueError", "no", "waves.py:24", "Trace\nback")),
        f'{{"environment": {TRIAL}, "error": {{"type": "ValueError", "message": "no", '
        '"place": "waves.py:24", "traceback": "Trace\\nback"}}',
    ),
    "crashed": (
        TrialOutcome(here, error=Failure("WorkerDied", "its worker died", "worker")),
        f'{{"environment": {TRIAL}, "error": {{"type": "WorkerDied", "message": '
        '"its worker died", "place": "worker", "traceback": ""}}',
    ),
    "open": (TrialOutcome(), "{}"),
}


@pytest.mark.parametrize(("outcome", "text"), OUTCOMES.values(), ids=OUTCOMES)
def test_outcome(outcome, text):
    check(outcome, text)


def test_sampler_attributes():
    attributes = SamplerAttributes({"tpe:x": "1"}, {})
    check(attributes, '{"trial": {"tpe:x": "1"}, "study": {}}')
    check(SamplerAttributes(), "{}")


def test_epochs():
    epochs = [
        EpochRecord(1, {"value": 0.5, "loss": math.nan}, {"weights": "ab"}, 0.25, 7.0),
        EpochRecord(2, {"value": math.inf}, {}, 0.5, 8.0),
    ]
    texts = [
        '{"epoch": 1, "metrics": {"value": 0.5, "loss": NaN}, "digests": {"weights": "ab"}, '
        '"seconds": 0.25}',
        '{"epoch": 2, "metrics": {"value": Infinity}, "digests": {}, "seconds": 0.5}',
    ]
    for epoch, text in zip(epochs, texts, strict=True):
        check(replace(epoch, at=0.0), text)
        assert json.dumps(epoch.to_json()) == text


WARM_START = (
    '{"warm_start": [{"parameters": {"rate": 0.25}, "state": "complete", "value": 0.125, '
    '"intermediate": [[1, 0.25], [2, 0.125]]}, {"parameters": {"rate": 0.5}, "state": "pruned", '
    '"value": null, "intermediate": []}], "pinned": {}}'
)
SINGLE_TRAINING = '{"trainings_of": "s", "later key": {"x": null}}'
ONE = (
    '{"trial": 3, "number": 1, "seed": 17, "value": 0.5, "epoch": 2, "reason": "finished", '
    '"seconds": 0.25, "weights": "ab", "error": null}'
)
OTHER = (
    '{"trial": 3, "number": 2, "seed": 18, "value": null, "epoch": null, "reason": "failed", '
    '"seconds": 0.5, "weights": null, "error": "ValueError: no"}'
)
UNTESTED = (
    '{"study": "s", "metric": "value", "direction": "maximize", "top": 1, "seeds": 2, '
    '"finished": 3, "at": 1000000000.0, "candidates": [{"trial": 3, "value": 0.75, '
    f'"repetitions": [{ONE}, {OTHER}], "mean": null, "luck": null}}], "winner": null, '
    '"lead": null, "champion": null, "test": null, '
    '"untested": "no trial has a value under every seed"}'
)
TESTED = (
    '{"study": "s", "metric": "val_accuracy", "direction": "minimize", "top": 1, "seeds": 1, '
    '"finished": 3, "at": 1000000000.0, "candidates": [{"trial": 3, "value": 0.75, '
    f'"repetitions": [{ONE}], "mean": {{"value": 0.5, "low": null, "high": null}}, '
    '"luck": {"value": 0.25, "low": 0.125, "high": 0.375}}], "winner": 3, '
    '"lead": {"value": 0.0625, "low": -1.0, "high": 1.0}, '
    '"champion": {"settings": {"hidden": [16], "seed": 5}, "trained_on": 1437, '
    '"weights": "cd", "seconds": 1.5}, '
    '"test": {"accuracy": {"value": 0.575, "low": 0.5, "high": 0.625}, "correct": 207, '
    '"count": 360, "loss": 1.5, "calibration_error": 0.28, "sha256": "21f5"}, "untested": null}'
)

one = Repetition(3, 1, 17, 0.5, 2, "finished", 0.25, "ab")
other = Repetition(3, 2, 18, None, None, "failed", 0.5, None, "ValueError: no")
untested = Confirmation(
    "s", "value", Direction.MAXIMIZE, 1, 2, 3, 1e9,
    (Candidate(3, 0.75, (one, other), None, None),),
    None, None, untested="no trial has a value under every seed",
)  # fmt: skip
tested = Confirmation(
    "s", "val_accuracy", Direction.MINIMIZE, 1, 1, 3, 1e9,
    (Candidate(3, 0.75, (one,), Estimate(0.5), Estimate(0.25, 0.125, 0.375)),),
    3,
    Estimate(0.0625, -1.0, 1.0),
    Champion({"hidden": [16], "seed": 5}, 1437, "cd", 1.5),
    TestResult(Estimate(0.575, 0.5, 0.625), 207, 360, 1.5, 0.28, "21f5"),
)  # fmt: skip


def test_warm_start():
    known = (
        EarlierTrial({"rate": 0.25}, "complete", 0.125, ((1, 0.25), (2, 0.125))),
        EarlierTrial({"rate": 0.5}, "pruned", None, ()),
    )
    check(StudyNotes(warm_start=known, pinned={}), WARM_START)


def test_trials_that_are_added_and_trials_that_are_trained_again():
    queued = StudyNotes(queued=(QueuedTrial({"rate": 0.25}, 1e9),))
    check(queued, '{"queued": [{"parameters": {"rate": 0.25}, "added": 1000000000.0}]}')
    check(SamplerAttributes({}, {}, 1.5), '{"trial": {}, "study": {}, "added": 1.5}')
    error = Failure("ValueError", "no", "o.py:3", "Traceback")
    check(
        TrialOutcome(earlier=(RetriedFailure(error, 3, 2.5, 1.5, {"nets": "d2bb"}),)),
        '{"earlier": [{"error": {"type": "ValueError", "message": "no", "place": "o.py:3", '
        '"traceback": "Traceback"}, "asked": 3, "retried": 2.5, "finished": 1.5, '
        '"code": {"nets": "d2bb"}}]}',
    )


def test_notes_of_single_trainings_and_of_a_later_version():
    notes = StudyNotes(trainings_of="s", extra={"later key": {"x": None}})
    check(notes, SINGLE_TRAINING)


@pytest.mark.parametrize(("confirmation", "text"), [(untested, UNTESTED), (tested, TESTED)])
def test_confirmation(confirmation, text):
    check(confirmation, text)


# Each command sets the notes it has to set: these are the calls of a search and a confirmation, and
# the text after them. The order of the keys is that in which they were set first.
STEPS = [
    ({"warm_start": (), "pinned": {}}, '"warm_start": [], "pinned": {}'),
    ({"recorded": False}, '"recorded": false'),
    ({"first_worker": driver.decisive()}, f'"first_worker": {DECISIVE}'),
    ({"mixed": differences}, f'"mixed": {json.dumps(differences)}'),
    ({"confirmation_environment": here}, f'"confirmation.environment": {TRIAL}'),
    ({"repetitions": {(3, 1): one}}, f'"confirmation.3.1": {ONE}'),
    ({"repetitions": {(3, 2): other}}, f'"confirmation.3.2": {OTHER}'),
    ({"champion_environment": here}, f'"confirmation.champion.environment": {TRIAL}'),
    ({"confirmation": untested}, f'"confirmation": {UNTESTED}'),
    (
        {"recorded_confirmation": RecordedConfirmation("db0d", None)},
        '"confirmation.recorded": {"run_id": "db0d", "version": null}',
    ),
]


@pytest.fixture
def ledger(tmp_path):
    """A ledger with a study without trials."""
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.add_study("digits", {}, driver)
        yield ledger


def stored_notes(ledger):
    with ledger.transaction() as connection:
        return connection.execute("SELECT notes FROM study").fetchone()[0]


def test_the_notes_of_a_study_are_written_as_the_first_stores_have_them(ledger):
    for number, (fields, _) in enumerate(STEPS, start=1):
        ledger.update_notes("digits", **fields)
        assert stored_notes(ledger) == f"{{{', '.join(text for _, text in STEPS[:number])}}}"
    ledger.update_notes("digits", recorded=True)
    written = stored_notes(ledger)
    assert written.startswith('{"warm_start": [], "pinned": {}, "recorded": true, ')
    notes = ledger.notes("digits")
    assert notes.repetitions == {(3, 1): one, (3, 2): other}
    assert (notes.recorded, notes.mixed, notes.extra) == (True, differences, {})
    assert notes.confirmation == untested
    assert notes.recorded_confirmation == RecordedConfirmation("db0d", None)
    assert notes.first_worker == driver.decisive()
    assert notes.confirmation_environment == notes.champion_environment == here
    # A record has an order of its own; what it writes is the same object.
    assert json.loads(json.dumps(notes.to_json())) == json.loads(written)


def test_unknown_notes_survive_an_update(ledger):
    with ledger.transaction() as connection:
        connection.execute("""UPDATE study SET notes = '{"later": [1], "recorded": false}'""")
    ledger.update_notes("digits", recorded=True)
    assert stored_notes(ledger) == '{"later": [1], "recorded": true}'


def test_the_columns_of_the_ledger_are_the_json_of_its_records(ledger):
    outcome, text = OUTCOMES["pruned"]
    attributes = SamplerAttributes({"tpe:x": "1"}, {})
    ledger.add_trial(TrialRecord("digits", 0, "running", {}, {}, attributes, 1.0))
    ledger.finish_trial("digits", 0, "pruned", outcome, None)
    with ledger.transaction() as connection:
        stored = connection.execute("SELECT memory, outcome FROM trial").fetchone()
        (environment,) = connection.execute("SELECT environment FROM study").fetchone()
    assert stored == ('{"trial": {"tpe:x": "1"}, "study": {}}', text)
    assert environment == DRIVER
    assert ledger.trial("digits", 0).outcome == outcome
    assert ledger.study("digits").environment == driver


def test_the_evidence_of_a_confirmation_is_packed_as_the_first_stores_have_it():
    outcome, text = OUTCOMES["complete"]
    epoch = EpochRecord(1, {"value": 0.5}, {"weights": "ab"}, 0.25, 7.0)
    evidence = Evidence({"seed": 5}, "value", (epoch,), outcome, None, confirmation=tested)
    state = {
        "settings": {"seed": 5},
        "metric": "value",
        "epochs": [
            {
                "number": 1,
                "metrics": {"value": 0.5},
                "digests": {"weights": "ab"},
                "seconds": 0.25,
                "at": 7.0,
            }
        ],
        "outcome": json.loads(text),
        "model": None,
        "answers": None,
        "confirmation": json.loads(TESTED),
    }
    assert evidence.packed() == pack(state)
    assert Evidence.unpacked(pack(state)) == evidence
