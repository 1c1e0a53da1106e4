"""Replaying recorded curves under another pruner, proven by searches that really had it."""

import json
import math

import pytest
from searches import MIXED, SPACE, ShuffledEngine, a_study, search

from nets.errors import InputError
from studies.analysis.pruner_replay import read_pruner, replay
from studies.analysis.stored_study import StoredStudy
from studies.cli.main import main
from studies.definition import pruners
from tracking.records import Environment

PRUNERS = {
    "none": {"name": "none"},
    "median": {"name": "median", "startup_trials": 2},
    "percentile": {"name": "percentile", "percentile": 40.0, "startup_trials": 2},
    "halving": {"name": "successive_halving", "reduction_factor": 2},
    "hyperband": {"name": "hyperband"},
    "threshold": {"name": "threshold", "lower": 0.2},
    "patient": {"name": "patient", "patience": 1},
}


def text_of(pruner):
    """A pruner as the command line takes it."""
    options = ",".join(f"{key}={value}" for key, value in pruner.items() if key != "name")
    return ":".join(filter(None, [pruner["name"], options]))


def stored(ledger, generator, pruner, name="curves", space=SPACE, **section):
    """A study searched with a pruner; by random draws, which results do not change."""
    section = {"sampler": {"name": "random"}, "trials": 24, **section}
    study = a_study(space, pruner=pruner, name=name, **section)
    search(study, ledger, ShuffledEngine(3, generator))
    return StoredStudy(ledger, ledger.study(name))


@pytest.mark.parametrize("name", PRUNERS)
def test_the_study_s_own_pruner_decides_as_it_did(name, ledger, generator):
    study = stored(ledger, generator, PRUNERS[name], space=MIXED, sampler={"name": "tpe"})
    found = replay(study, text_of(PRUNERS[name]))
    for trial in found.trials:
        recorded = trial.record.outcome.pruned and trial.record.outcome.pruned.epoch
        assert trial.pruned_at == recorded
    assert (found.epochs, found.seconds_saved) == (found.recorded_epochs, 0.0)
    assert found.too_short == []
    assert found.winner.pruned_at is None


# Brackets of Hyperband follow from the study's name, which is another one here.
@pytest.mark.parametrize("name", [name for name in PRUNERS if name not in ("none", "hyperband")])
def test_replay_foretells_the_search_with_another_pruner(name, ledger, generator):
    """Complete curves, drawn at random, say exactly what another pruner would do."""
    whole = stored(ledger, generator, PRUNERS["none"], name="whole")
    searched = stored(ledger, generator, PRUNERS[name], name="searched")
    found = replay(whole, text_of(PRUNERS[name]))
    assert [trial.epochs for trial in found.trials] == [
        len(searched.epochs(record.number)) for record in searched.trials
    ]
    assert [trial.pruned_at is not None for trial in found.trials] == [
        record.state == "pruned" for record in searched.trials
    ]
    assert found.pruned > 0
    assert found.successor.record.number == searched.best.number
    assert (found.winner.pruned_at is not None) == (whole.best.number != searched.best.number)
    assert found.most_epochs == found.epochs < found.recorded_epochs
    saved = (found.recorded_epochs - found.epochs) * 0.001  # what a curve says an epoch took
    assert found.seconds_saved == pytest.approx(saved)


def test_curves_that_end_too_soon_are_counted_and_named(ledger, generator):
    study = stored(ledger, generator, PRUNERS["median"])
    found = replay(study, "none")
    pruned = [record.number for record in study.trials if record.state == "pruned"]
    assert [trial.record.number for trial in found.too_short] == pruned != []
    missing = sum(6 - len(study.epochs(number)) for number in pruned)
    assert found.most_epochs == found.epochs + missing
    assert found.most_seconds_more == pytest.approx(missing * 0.001)


def test_diverged_and_failed_trials_ended_by_themselves(ledger, generator):
    study = a_study(settings={"fault": "nan"}, trials=16)
    search(study, ledger, ShuffledEngine(2, generator))
    found = replay(StoredStudy(ledger, ledger.study(study.name)), "none")
    reasons = {trial.record.outcome.reason for trial in found.trials}
    assert "diverged" in reasons
    assert found.too_short == []


def test_replay_ends_before_the_first_open_trial(ledger, generator):
    study = stored(ledger, generator, PRUNERS["none"])
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET state = 'running' WHERE number = 9")
    again = StoredStudy(ledger, ledger.study("curves"))
    assert len(replay(study, "median").trials) == 24
    assert len(replay(again, "median").trials) == 9


def test_study_without_a_finished_trial_is_refused(ledger):
    study = a_study()
    ledger.add_study(study.name, study.definition, Environment())
    with pytest.raises(InputError, match=r"^study: curves has no finished trial$"):
        replay(StoredStudy(ledger, ledger.study(study.name)), "median")


@pytest.mark.parametrize(
    ("text", "pruner"),
    [
        ("median", pruners.Median()),
        ("hyperband:min_resource=2", pruners.Hyperband(min_resource=2)),
        ("threshold: lower = 0.5, interval = 2", pruners.Threshold(lower=0.5, interval=2)),
        (
            'patient:patience=3,wrapped={name="median"}',
            pruners.Patient(patience=3, wrapped=pruners.Median()),
        ),
    ],
)
def test_pruner_is_named_as_in_a_study_file(text, pruner):
    assert read_pruner(text) == pruner


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("middle", "pruner.name: got 'middle', expected none, median, percentile, "),
        ("median:x=1", "pruner.x: unknown key, expected name, startup_trials, warmup_epochs "),
        ("median:interval=0", "pruner.interval: got 0, expected an integer of at least 1"),
        ("median:", "pruner: got 'median:', expected NAME or NAME:key=value"),
        ("median:interval", "pruner: got 'median:interval', expected NAME or NAME:key=value"),
        ("threshold", "pruner: no bounds, expected lower, upper or both"),
    ],
)
def test_pruner_that_cannot_be_is_refused(text, message):
    with pytest.raises(InputError) as caught:
        read_pruner(text)
    assert str(caught.value).startswith(message)


def test_command_compares_pruners(ledger, generator, capsys):
    stored(ledger, generator, PRUNERS["percentile"])
    arguments = ["replay", "curves", "--store", str(ledger.path.parent)]
    assert main([*arguments, "--pruner", "none", "--pruner", "threshold:lower=0.99"]) == 0
    said = capsys.readouterr().out
    assert "curves: 24 trials, of which " in said
    assert "LOST: trial " in said
    assert "pruned after epoch 1, none is left" in " ".join(said.split())
    assert "none: unknown for " in said
    assert main([*arguments, "--pruner", "none", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["trials"] == 24
    assert answer["winner"] == answer["best"]
    assert answer["most_epochs"] > answer["epochs"] == answer["recorded_epochs"]
    assert not math.isnan(answer["seconds_saved"])
