"""The honest winner: the top trials again, in any order and after any kill, and one look."""

import contextlib
import dataclasses
import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from searches import ShuffledEngine, a_study, admit
from terminal import Terminal

from nets import data, objective
from nets.model_source import probabilities, restore
from nets.randomness import derived_seed
from nets.settings import Settings
from studies.analysis.stored_study import open_study
from studies.cli.main import main
from studies.confirmation import champion, procedure
from studies.confirmation.batch import Trained, champion_seed, repetition_seed
from studies.confirmation.candidates import Repetitions, candidate, elect
from studies.confirmation.champion import champion_settings
from studies.definition import study_file
from studies.search.driver import Plan, Search
from studies.search.session import Session
from studies.workers.messages import EpochDone, TrialDone
from tracking.confirmation import run
from tracking.confirmation.text import sentences, table
from tracking.ledger import Ledger, lock
from tracking.provenance import source_code
from tracking.records import Direction, Environment, SamplerAttributes, TrialOutcome, TrialRecord
from tracking.records.confirmation import (
    Confirmation,
    Estimate,
    RecordedConfirmation,
    Repetition,
)  # fmt: skip
from tracking.store import names

DIGITS = {
    "study": {"name": "digits", "trials": 4, "window": 4, "seed": 3},
    "data": {"name": "digits", "validation": 360},
    "network": {"hidden": [12]},
    "training": {"epochs": 3, "batch_size": 64},
    "space": {
        "learning_rate": {"low": 3e-3, "high": 3e-2, "log": True},
        "dropout": {"low": 0.0, "high": 0.3},
    },
}


def searched(study, store, dataset=None):
    """Search a study in this process, into the ledger of a store."""
    folders = {} if dataset is None else {dataset.name: str(dataset.path)}
    with contextlib.closing(Ledger(store / names.LEDGER)) as ledger:
        admit(study, ledger)
        plan = Plan(study=study, total=study.section.trials, folders=folders)
        Search(plan, ledger, ShuffledEngine(1, np.random.default_rng(0))).run()


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", data.default_folder())


@pytest.fixture(scope="module")
def searched_store(tmp_path_factory, digits):
    """A store in which the digits study has been searched."""
    store = tmp_path_factory.mktemp("searched")
    searched(study_file.build(DIGITS), store, digits)
    return store


@pytest.fixture
def store(searched_store, tmp_path):
    """A store of the test's own with the digits study searched."""
    return shutil.copytree(searched_store, tmp_path / "mlruns")


def confirm(store, *options, study="digits"):
    """Run the command in this process, without MLflow."""
    return main(["confirm", study, "--store", str(store), "--no-record", "--jobs", "1", *options])


def found_in(store, study="digits"):
    """The confirmation that the ledger of a store has."""
    with open_study(store, study) as stored:
        return stored.confirmation


def without_times(confirmation):
    """A confirmation without what is another each time."""
    plain = dataclasses.replace(confirmation, at=0.0).to_json()
    repetitions = [again for c in plain["candidates"] for again in c["repetitions"]]
    for timed in [*repetitions, plain["champion"] or {}]:
        timed["seconds"] = None
    return plain


class Killed(Exception):
    """Stands for a SIGKILL: what was only in memory is lost."""


@contextlib.contextmanager
def counted_looks(monkeypatch):
    """Count how often the test images are asked."""
    looks = []

    def looking(network, full_scale, images):
        looks.append(len(images))
        return probabilities(network, full_scale, images)

    with monkeypatch.context() as patch:
        patch.setattr(champion, "probabilities", looking)
        yield looks


# What comes out


def test_confirm_compares_the_top_trials_and_tests_the_winner_once(store, digits, capsys):
    assert confirm(store, "--top", "2", "--seeds", "3", "--json") == 0

    shown = json.loads(capsys.readouterr().out)
    with open_study(store, "digits") as stored:
        best = [trial.number for trial in stored.ranked()[:2]]
    assert [c["trial"] for c in shown["candidates"]] == best
    assert [len(c["repetitions"]) for c in shown["candidates"]] == [3, 3]
    means = {c["trial"]: c["mean"]["value"] for c in shown["candidates"]}
    assert shown["winner"] == max(means, key=lambda trial: (means[trial], -trial))
    for each in shown["candidates"]:
        values = [again["value"] for again in each["repetitions"]]
        assert each["mean"]["value"] == pytest.approx(np.mean(values))
        assert each["luck"]["value"] == pytest.approx(each["value"] - each["mean"]["value"])
    assert shown["test"]["count"] == len(digits.test_labels)
    assert shown["test"]["accuracy"]["value"] == shown["test"]["correct"] / 360
    assert shown["test"]["sha256"] == digits.sha256
    assert shown["champion"]["trained_on"] == len(digits.images)
    assert (shown["run_id"], shown["model"]) == (None, None)


def test_confirm_tells_a_person_who_won_and_what_was_luck(store, capsys, monkeypatch):
    assert confirm(store, "--top", "2", "--seeds", "2") == 0

    said = capsys.readouterr().out
    assert said.startswith("digits: the top 2 trials under 2 fresh seeds each, 4 trainings")
    for beginning in ("trial ", "winner: trial ", "luck: trial ", "test: accuracy "):
        assert f"\n{beginning}" in said
    assert "looked at once, after training on 1437 images" in said
    assert "\nnote: other people wrote most of the test digits" in said
    # A narrow terminal has the same words, none of them broken.
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    assert confirm(store, "--top", "2", "--seeds", "2") == 0
    assert max(map(len, terminal.lines)) <= 80
    result = said[said.index("winner: ") :].split()
    assert " ".join(terminal.lines).split()[-len(result) :] == result


def test_a_champion_keeps_the_environment_that_it_was_trained_in(store, capsys):
    with open_study(store, "digits") as stored:  # the confirmation began with other code
        stored.ledger.update_notes(
            "digits", confirmation_environment=Environment(code={"nets": "0" * 64})
        )
    assert confirm(store, "--top", "1", "--seeds", "1") == 0
    here = source_code.digest("nets")
    warning = f"since this confirmation began: code: nets was 000000000000, is {here[:12]}\n"
    assert warning in capsys.readouterr().err
    with open_study(store, "digits") as stored:
        assert stored.notes.champion_environment.code["nets"] == here


def test_result_is_the_same_with_any_number_of_processes(store, tmp_path):
    other = shutil.copytree(store, tmp_path / "other")
    assert confirm(store, "--top", "2", "--seeds", "2") == 0
    assert confirm(other, "--top", "2", "--seeds", "2", "--jobs", "2") == 0
    assert without_times(found_in(store)) == without_times(found_in(other))


def test_repetition_is_the_trial_again_under_its_fresh_seed(store, digits):
    confirm(store, "--top", "1", "--seeds", "1")
    (each,) = found_in(store).candidates
    (again,) = each.repetitions
    with open_study(store, "digits") as stored:
        settings = {**stored.ranked()[0].settings, "seed": again.seed}
    epochs = []
    objective(Settings(**settings), digits, epochs.append)
    assert again.value == epochs[-1].metrics["val_accuracy"]
    assert again.weights == epochs[-1].digests["weights"]


def test_champion_is_trained_on_all_images_and_answers_as_its_model_does(store, digits):
    confirm(store, "--top", "1", "--seeds", "1")
    found = found_in(store)
    epochs = []
    outcome = objective(Settings(**found.champion.settings), digits, epochs.append)
    assert found.champion.weights == epochs[-1].digests["weights"]
    with open_study(store, "digits") as stored:
        evidence = stored.evidence
    np.testing.assert_array_equal(
        evidence.model.arrays["parameters"], outcome.model.arrays["parameters"]
    )
    right = evidence.answers.argmax(axis=1) == digits.test_labels
    assert found.test.correct == right.sum()
    assert found.test.loss == pytest.approx(
        -np.log(evidence.answers[np.arange(360), digits.test_labels]).mean(), rel=1e-5
    )


def test_several_champions_are_each_tested_once_and_vote(store, digits, monkeypatch, capsys):
    with counted_looks(monkeypatch) as looks:
        confirm(store, "--top", "1", "--seeds", "1", "--champions", "3", "--jobs", "2")
    found = found_in(store)
    assert looks == [360] * 3
    answers = []
    for known in (1, 2, 3):
        seed = champion_seed(3, found.winner, known)
        epochs = []
        settings = Settings(**{**found.champion.settings, "seed": seed})
        outcome = objective(settings, digits, epochs.append)
        network, full_scale, _ = restore(outcome.model.arrays)
        answers.append(probabilities(network, full_scale, digits.test_images))
        weights = epochs[-1].digests["weights"]
        assert weights == [found.champion, *found.others][known - 1].weights
    right = [(each.argmax(axis=1) == digits.test_labels).sum() for each in answers]
    assert [found.test.correct, *(other.test.correct for other in found.others)] == right
    assert found.mean_test.value == pytest.approx(np.mean(right) / 360)
    assert (
        found.vote.correct == (np.mean(answers, axis=0).argmax(axis=1) == digits.test_labels).sum()
    )
    assert found.seconds > found.champion.seconds + sum(other.seconds for other in found.others)
    said = " ".join(capsys.readouterr().out.split())
    assert sentences(found)[3] in said
    assert f"all 3 champions: test accuracy {found.mean_test.value:.4f} on average" in said
    assert Confirmation.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert confirm(store, "--top", "1", "--seeds", "1") == 0
    assert "--seeds 1 --champions 3, not --top 1 --seeds 1;" in capsys.readouterr().out
    assert main(["show", "digits", "--store", str(store)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "confirmed with --top 1 --seeds 1 --champions 3" in shown


def test_of_several_champions_only_the_missing_ones_are_trained_after_a_kill(store, monkeypatch):
    attach, trained = Ledger.attach, champion.train_all

    def killing(ledger, study, name, content):
        attach(ledger, study, name, content)
        if name == "champion 2":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "attach", killing)
        with pytest.raises(Killed):
            confirm(store, "--top", "1", "--seeds", "1", "--champions", "2")
    again = []

    def counting(jobs, processes, *, models):
        again.extend(jobs)
        return trained(jobs, processes, models=models)

    monkeypatch.setattr(champion, "train_all", counting)
    assert confirm(store, "--top", "1", "--seeds", "1", "--champions", "3") == 0
    assert len(found_in(store).others) == 2
    assert 1 <= len(again) <= 2  # champion 1 may have been committed, or not


def test_several_champions_need_test_images(tmp_path, capsys):
    searched(a_study(trials=4), tmp_path)
    assert confirm(tmp_path, "--champions", "2", study="curves") == 2
    assert capsys.readouterr().err == (
        "retrial: champions: got 2, expected 1 for curves; several champions need a "
        "dataset with test images, and no study.test\n"
    )


def test_fresh_seeds_are_nobody_elses():
    search_seeds = {derived_seed(0, trial) for trial in range(300)}
    fresh = {repetition_seed(0, trial, number) for trial in range(300) for number in range(1, 30)}
    last = {champion_seed(0, trial) for trial in range(300)}
    assert len(search_seeds | fresh | last) == 300 * (1 + 29 + 1)


def test_repetition_zero_would_be_the_search_itself():
    with pytest.raises(ValueError, match="repetition: got 0, expected an integer of at least 1"):
        repetition_seed(0, 7, 0)


def test_champion_trains_for_the_epochs_that_were_kept():
    study = study_file.build({**DIGITS, "training": {"epochs": 30, "patience": 4}})
    settings = study.settings(2, {"learning_rate": 0.01, "dropout": 0.1})
    record = TrialRecord("digits", 2, "complete", dataclasses.asdict(settings), {}, {}, 0.0)

    found = champion_settings(study, record, [12, 7, 9, 30])

    assert {key: found[key] for key in ("validation", "patience", "epochs", "seed")} == {
        "validation": 0, "patience": 0, "epochs": 12, "seed": champion_seed(3, 2),
    }  # fmt: skip
    assert found["learning_rate"] == 0.01
    assert found["split_seed"] == settings.split_seed


# Who wins


def a_candidate(trial, *values, search=0.9, metric="val_accuracy", direction="maximize"):
    again = [Repetition(trial, n, n, value) for n, value in enumerate(values, start=1)]
    outcome = TrialOutcome(value=search)
    record = TrialRecord("s", trial, "complete", {}, {}, SamplerAttributes(), 0.0, outcome=outcome)
    return candidate(record, again, metric, Direction(direction))


@pytest.mark.parametrize(("direction", "winner"), [("maximize", 4), ("minimize", 7)])
def test_best_mean_wins_in_the_studys_direction(direction, winner):
    candidates = [a_candidate(7, 0.2, 0.4), a_candidate(4, 0.8, 0.9), a_candidate(1, 0.5, 0.6)]
    found, lead = elect(candidates, Direction(direction))
    assert found == winner
    assert lead.value == pytest.approx(0.3 if direction == "maximize" else 0.25)
    assert lead.low < lead.value < lead.high


def test_of_equal_means_the_lower_number_wins():
    candidates = [a_candidate(7, 0.4, 0.6), a_candidate(4, 0.5, 0.5), a_candidate(5, 0.6, 0.4)]
    assert elect(candidates, Direction.MAXIMIZE)[0] == 4


def test_settings_that_failed_under_one_seed_cannot_win():
    candidates = [a_candidate(0, 0.99, None), a_candidate(1, 0.5, 0.6)]
    assert candidates[0].mean is None
    assert elect(candidates, Direction.MAXIMIZE) == (1, None)


def test_without_a_value_for_every_seed_nobody_wins():
    assert elect([a_candidate(0, None)], Direction.MAXIMIZE) == (None, None)


def test_luck_is_positive_where_the_search_was_better():
    assert a_candidate(0, 0.85, search=0.9).luck == Estimate(pytest.approx(0.05))
    minimized = a_candidate(0, 0.84, 0.86, search=0.8, direction="minimize")
    assert minimized.luck.value == pytest.approx(0.05)


def confirmed(candidate, seeds):
    winner, lead = elect([candidate], Direction.MAXIMIZE)
    return Confirmation(
        "s", "val_accuracy", Direction.MAXIMIZE, 1, seeds, 1, 0.0, (candidate,), winner, lead,
        untested="it is a test",
    )  # fmt: skip


def test_one_seed_does_not_measure_luck():
    assert sentences(confirmed(a_candidate(3, 0.87, search=0.85), seeds=1))[:2] == [
        "winner: trial 3, val_accuracy 0.8700 on average over 1 fresh seed",
        "luck: cannot be measured with one seed: trial 3, the best of the search with 0.8500, has "
        "0.8700 under the fresh one",
    ]


def test_equal_values_under_different_seeds_do_not_measure_luck():
    same = a_candidate(3, 0.85, 0.85, search=0.85)
    assert (same.mean, same.luck) == (Estimate(0.85), None)
    found = confirmed(same, seeds=2)
    said = sentences(found)
    assert said[1] == (
        "luck: cannot be measured: trial 3 has the same value under all 2 fresh seeds, 0.8500"
    )
    assert table(found)[1] == ("3", "0.8500", "0.8500", "unknown", "not measured", "")


def test_an_accuracy_is_never_reported_above_one():
    assert a_candidate(0, 0.9, 1.0).mean.high == 1.0
    assert a_candidate(0, 0.9, 1.0, metric="val_loss").mean.high > 1.0


# Killed, and asked again


def test_killed_confirm_continues_with_what_is_missing(store, tmp_path, digits):
    undisturbed = shutil.copytree(store, tmp_path / "undisturbed")
    confirm(undisturbed, "--top", "2", "--seeds", "3")
    heard = []

    def killing(repetition):
        heard.append((repetition.trial, repetition.number))
        if len(heard) == 2:
            raise Killed

    with open_study(store, "digits") as stored:
        session = Session.prepare(stored.study, {"digits": digits}, None)
        with pytest.raises(Killed):
            Repetitions(stored, top=2, seeds=3).train(session, 1, killing)
    with open_study(store, "digits") as stored:
        rest = Repetitions(stored, top=2, seeds=3)
        assert len(rest.missing) == 4
        assert not {(trial.number, number) for trial, number in rest.missing} & set(heard)
    confirm(store, "--top", "2", "--seeds", "3")
    assert without_times(found_in(store)) == without_times(found_in(undisturbed))


def test_confirm_killed_before_the_test_does_not_train_the_champion_again(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(champion, "_answers", raising(Killed))
        with pytest.raises(Killed):
            confirm(store, "--top", "1", "--seeds", "2")
    assert found_in(store) is None
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(champion, "train_all", lambda jobs, *_, **__: asked.append(jobs) or ())
        assert confirm(store, "--top", "1", "--seeds", "2") == 0
    assert asked == [[]]
    assert found_in(store).test.count == 360


def test_confirm_killed_after_the_test_does_not_look_again(store, monkeypatch, capsys):
    with counted_looks(monkeypatch) as looks:
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "update_notes", killed_at("confirmation"))
            with pytest.raises(Killed):
                confirm(store, "--top", "1", "--seeds", "2")
        assert confirm(store, "--top", "2", "--seeds", "5") == 0
    assert looks == [360]
    assert "confirmed before with --top 1 --seeds 2" in capsys.readouterr().out


def raising(error):
    def raise_it(*arguments, **options):
        raise error

    return raise_it


def killed_at(fatal):
    update_notes = Ledger.update_notes

    def updating(ledger, name, **values):
        if fatal in values:
            raise Killed
        update_notes(ledger, name, **values)

    return updating


def test_confirming_again_shows_the_record_and_asks_nothing(store, monkeypatch, capsys):
    with counted_looks(monkeypatch) as looks:
        confirm(store, "--top", "2", "--seeds", "2", "--json")
        first = json.loads(capsys.readouterr().out)
        assert confirm(store, "--top", "2", "--seeds", "2", "--json") == 0
        assert json.loads(capsys.readouterr().out) == first
        confirm(store, "--top", "2", "--seeds", "2")
    assert looks == [360]
    said = capsys.readouterr().out.splitlines()[0]
    assert said == (
        "digits: confirmed before with --top 2 --seeds 2; the test images are used once, so this "
        "result stays"
    )


def test_asking_for_other_seeds_shows_the_record_and_says_so(store, capsys):
    confirm(store, "--top", "1", "--seeds", "2", "--json")
    capsys.readouterr()
    assert confirm(store, "--top", "3", "--seeds", "4") == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert "confirmed before with --top 1 --seeds 2, not --top 3 --seeds 4;" in said


def test_record_says_how_many_trials_came_after_it(store, capsys, digits):
    confirm(store, "--top", "1", "--seeds", "1")
    more = study_file.build({**DIGITS, "study": {**DIGITS["study"], "trials": 6}})
    searched(more, store, digits)
    capsys.readouterr()
    confirm(store, "--top", "1", "--seeds", "1")
    assert ", 2 trials ago; the test images are used once" in capsys.readouterr().out


def test_show_tells_what_was_confirmed(store, capsys):
    def show(*options):
        capsys.readouterr()
        assert main(["show", "digits", "--store", str(store), *options]) == 0
        return capsys.readouterr().out

    assert "confirmed" not in show()
    confirm(store, "--top", "2", "--seeds", "2")
    said = capsys.readouterr().out.splitlines()
    shown = show().splitlines()
    begin = shown.index("confirmed with --top 2 --seeds 2")
    assert shown[begin + 1 : begin + 5] == said[-4:]
    assert [line.split()[0] for line in said[-4:]] == ["winner:", "luck:", "test:", "note:"]
    confirm(store, "--json")
    known = json.loads(capsys.readouterr().out)
    assert json.loads(show("--json"))["confirmation"] == known
    with open_study(store, "digits") as stored:  # as MLflow would have it
        recorded = RecordedConfirmation("1f", "3")
        stored.ledger.update_notes("digits", recorded_confirmation=recorded)
    shown = show().splitlines()
    assert shown[begin + 5] == "model: digits/3, digits@champion"
    assert shown[begin + 6].startswith("use it: retrial predict digits FILE...")


def test_a_confirmation_survives_json(store):
    confirm(store, "--top", "2", "--seeds", "1")
    found = found_in(store)
    assert Confirmation.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_result_that_cannot_be_recorded_is_kept_and_recorded_later(store, monkeypatch, capsys):
    store_of = contextlib.nullcontext(SimpleNamespace())
    monkeypatch.setattr(procedure, "open_store", lambda _: store_of)
    monkeypatch.setattr(procedure, "study_run", lambda *_: None)
    monkeypatch.setattr(run, "read", lambda *_: None)
    monkeypatch.setattr(run, "record", raising(OSError("no route to MLflow")))
    options = ["confirm", "digits", "--store", str(store), "--jobs", "1", "--seeds", "1"]
    with counted_looks(monkeypatch) as looks:
        assert main(options) == 1
        said = capsys.readouterr()
        assert "test: accuracy " in said.out
        assert said.err.endswith(
            "retrial: not recorded: no route to MLflow\nthe same command records it\n"
        )
        recorded = []
        monkeypatch.setattr(
            run,
            "record",
            lambda store, found, *_, **what: (
                recorded.append((found, what)) or RecordedConfirmation("run", "1")
            ),
        )
        with Ledger(store / names.LEDGER) as ledger:  # of an earlier command with --champions 3
            ledger.attach("digits", "champion 3", b"")
        assert main(options) == 0
    assert looks == [360]
    ((found, what),) = recorded
    assert found == found_in(store)
    assert what["evidence"].answers.shape == (360, 10)
    assert what["data"].name == "digits"
    assert "model: digits/1, digits@champion" in capsys.readouterr().out
    with open_study(store, "digits") as stored:
        attached = [stored.ledger.attachment("digits", name) for name in ("champion", "champion 3")]
    assert attached == [None, None]  # MLflow has it now
    assert main(options) == 0
    assert len(recorded) == 1


# What cannot be confirmed, and what can of it


def test_an_unfinished_search_is_reported_before_the_test(store, capsys):
    ledger = Ledger(store / names.LEDGER)
    ledger.add_trial(TrialRecord("digits", 4, "running", {}, {}, SamplerAttributes(), 0.0))
    ledger.close()
    confirm(store, "--top", "1", "--seeds", "1")
    assert "retrial: 1 trials of the search are still open;" in capsys.readouterr().err


def test_study_without_a_complete_trial_is_refused(tmp_path, capsys):
    study = a_study(settings={"fault": "always"}, trials=2, window=2)
    searched(study, tmp_path)
    assert confirm(tmp_path, study="curves") == 2
    assert capsys.readouterr().err == ("retrial: study: curves has no complete trial yet\n")


def test_unknown_study_is_refused_with_those_there_are(store, capsys):
    assert confirm(store, study="digit") == 2
    said = capsys.readouterr().err
    assert said.startswith("retrial: study: no study 'digit' in ")
    assert said.endswith("; did you mean 'digits'?\n")


def test_study_that_is_being_searched_is_refused(store, capsys):
    with lock.hold(store / names.LEDGER, "digits", "searched"):
        assert confirm(store) == 2
    assert "digits is being" in capsys.readouterr().err


def test_an_objective_that_loads_its_data_is_compared_and_not_tested(tmp_path, capsys):
    searched(a_study(trials=4), tmp_path)
    assert confirm(tmp_path, "--top", "2", "--seeds", "3", study="curves") == 0
    said = capsys.readouterr().out
    assert "winner: trial " in said
    assert "test: not possible: the objective has data of its own, without test images" in said
    # Nothing was looked at, so it can be compared again, under more seeds.
    assert confirm(tmp_path, "--top", "2", "--seeds", "4", study="curves") == 0
    assert "4 fresh seeds each, 2 trainings to go" in capsys.readouterr().out


def test_objective_without_a_model_is_trained_and_not_tested(tmp_path, digits, capsys):
    study = study_file.build(
        {**DIGITS, "study": {**DIGITS["study"], "objective": "without_model:objective"}}
    )
    searched(study, tmp_path, digits)
    assert confirm(tmp_path, "--top", "1", "--seeds", "1") == 0
    assert "test: not possible: the objective returns no model" in capsys.readouterr().out
    assert found_in(tmp_path).champion.trained_on == 1437


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("raise", "ZeroDivisionError: a mistake in the objective"),
        ("die", "WorkerDied: its worker crashed 3 times; the last time: SIGKILL(-9)"),
    ],
)
def test_a_trial_that_fails_under_a_fresh_seed_is_reported_and_loses(fault, what, tmp_path, capsys):
    searched(a_study(trials=8, window=8), tmp_path)
    ledger = Ledger(tmp_path / names.LEDGER)
    with ledger.transaction() as connection:  # the search went well, what comes now does not
        change = "UPDATE trial SET settings = json_set(settings, '$.fault', ?)"
        connection.execute(change, (fault,))
    ledger.close()
    confirm(tmp_path, "--top", "4", "--seeds", "4", study="curves")
    said = capsys.readouterr().out
    assert what in said
    assert "without a value" in said
    found = found_in(tmp_path, "curves")
    for each in found.candidates:
        values = [again.value for again in each.repetitions]
        assert (each.mean is None) == (None in values)
    if found.winner is not None:
        assert found.candidate(found.winner).mean is not None


@pytest.mark.parametrize("option", ["--top", "--seeds", "--jobs"])
def test_zero_is_refused(option, store, capsys):
    with pytest.raises(SystemExit) as stopped:
        confirm(store, option, "0")
    assert stopped.value.code == 2
    assert "got '0', expected an integer of at least 1" in capsys.readouterr().err


def test_values_that_are_no_numbers_are_none(tmp_path):
    searched(a_study(settings={"fault": "nan"}, trials=8, window=8), tmp_path)
    confirm(tmp_path, "--top", "3", "--seeds", "6", study="curves")
    again = [r for c in found_in(tmp_path, "curves").candidates for r in c.repetitions]
    assert {r.reason for r in again} == {"finished", "diverged"}
    assert all((r.value is None) == (r.reason == "diverged") for r in again)
    assert all(r.value is None or math.isfinite(r.value) for r in again)


@pytest.mark.parametrize("imported", [{"helper.py": "c0de"}, {}, None])
def test_what_the_champions_process_had_imported_is_kept(imported):
    epochs = tuple(
        EpochDone(0, 1, number, {"value": 0.5}, {}, 0.1, imported=imported if number == 1 else None)
        for number in (1, 2)
    )
    end = TrialDone(0, 1, "complete", TrialOutcome(value=0.5, epoch=2, reason="finished"))
    evidence = champion._evidence({}, "value", Trained(0, epochs, end))
    expected = None if imported is None else Environment(imported=imported)
    assert evidence.outcome.environment == expected
