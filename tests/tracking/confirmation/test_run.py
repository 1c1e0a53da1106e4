"""A confirmation in MLflow: one run, one champion, whatever interrupts the recording of them."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nets import objective
from nets.data import TEST_NOTES, Dataset
from nets.errors import InputError
from nets.model_source import probabilities, restore
from nets.network import sha256_of
from nets.outcome import Model
from nets.settings import Settings, to_plain
from tracking.confirmation import run
from tracking.confirmation.text import sentences
from tracking.models import registry
from tracking.records import Environment, EpochRecord, TrialOutcome
from tracking.records.confirmation import (
    Candidate,
    Champion,
    Confirmation,
    Estimate,
    Evidence,
    OtherChampion,
    RecordedConfirmation,
    Repetition,
    TestResult,
)
from tracking.runs.content import log_model
from tracking.runs.delivery import Delivery
from tracking.runs.reader import champion_result, find_trial
from tracking.runs.verdict import Verdict, write_certificate
from tracking.store import names
from tracking.store.store import open_store


def a_dataset():
    """Sixty images of which the label shows in the upper or lower half, and twenty to test on."""
    generator = np.random.default_rng(7)
    labels = generator.integers(2, size=80, dtype=np.uint8)
    images = generator.integers(40, size=(80, 6, 6, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[3 * label : 3 * label + 3] += 60
    return Dataset(
        name="digits", images=images[:60], labels=labels[:60], test_images=images[60:],
        test_labels=labels[60:], classes=2, full_scale=100,
    )  # fmt: skip


def an_evidence(data):
    """What is kept of a champion's training."""
    settings = Settings(hidden=(6,), epochs=3, batch_size=10, validation=0, learning_rate=0.02)
    epochs = []
    outcome = objective(settings, data, epochs.append)
    network, full_scale, _ = restore(outcome.model.arrays)
    return Evidence(
        settings=to_plain(settings),
        metric="train_loss",
        epochs=tuple(
            EpochRecord(e.number, dict(e.metrics), dict(e.digests), 0.5, 1_700_000_100.0 + e.number)
            for e in epochs
        ),
        outcome=TrialOutcome(value=epochs[-1].metrics["train_loss"], epoch=3, reason="finished"),
        model=outcome.model,
        answers=probabilities(network, full_scale, data.test_images),
    )


def a_confirmation(evidence=None, *, winner=1, tested=True):
    """A confirmation as it comes out of a study, of which trial 1 won."""
    candidates = tuple(
        Candidate(
            trial,
            0.95,
            tuple(
                Repetition(trial, n, 2**62 + 10 * trial + n, 0.9 + trial / 100 + n / 1000, 3,
                           seconds=1.0, weights="a" * 64)
                for n in (1, 2)
            ),
            Estimate(0.9015 + trial / 100, 0.88, 0.93),
            Estimate(0.03, 0.01, 0.05),
        )
        for trial in (0, 1)
    )  # fmt: skip
    champion = None
    if evidence is not None:
        weights = evidence.epochs[-1].digests.get("weights", "b" * 64)
        champion = Champion(evidence.settings, 60, weights, 1.5)
    test = TestResult(Estimate(0.95, 0.76, 0.99), 19, 20, 0.125, 0.05, "d" * 64)
    return Confirmation(
        study="digits", metric="val_accuracy", direction="maximize", top=2, seeds=2, finished=2,
        at=1_700_000_200.0, candidates=candidates, winner=winner,
        lead=Estimate(0.01, -0.01, 0.03), champion=champion,
        test=test if tested and evidence else None,
        untested=None if tested and evidence else "the objective has data of its own",
    )  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return a_dataset()


@pytest.fixture(scope="module")
def evidence(data):
    return an_evidence(data)


@pytest.fixture
def recorded(store, ledger, trials, environment, monkeypatch):
    """A store in which MLflow has the study with two trials."""
    monkeypatch.setattr("tracking.figures.curves.curves_png", lambda *_: b"a picture")
    trials.whole(0, model=False)
    trials.whole(1, model=False)
    delivery = Delivery(store, ledger, ledger.study("digits"), environment)
    delivery.deliver()
    delivery.end("FINISHED")
    return store


@pytest.fixture
def quick_figures(monkeypatch):
    """Figures that take no time; what they show is tested elsewhere."""
    figures = dict.fromkeys(("comparison", "curves", "confusion_matrix"), b"a picture")
    monkeypatch.setattr(run, "_figures", lambda *_: figures)


def file_of(store, run_id, name):
    return Path(store.client.download_artifacts(run_id, name)).read_text(encoding="utf-8")


def test_evidence_with_weights_of_another_epoch_is_damaged(evidence):
    assert Evidence.unpacked(evidence.packed()).epochs == evidence.epochs
    arrays = {**evidence.model.arrays, "statistics": np.ones(1, np.float32)}
    changed = dataclasses.replace(evidence, model=Model(evidence.model.source, arrays))
    weights = evidence.epochs[-1].digests["weights"]
    with pytest.raises(
        InputError, match=rf"^champion: got weights .* of the kept epoch \({weights}"
    ):
        Evidence.unpacked(changed.packed())


def test_the_champions_environment_has_what_its_worker_had_imported(
    recorded, quick_figures, data, evidence, environment
):
    imported = Environment(imported={"helper.py": "c0de"})
    outcome = dataclasses.replace(evidence.outcome, environment=imported)
    evidence = dataclasses.replace(evidence, outcome=outcome)
    done = run.record(recorded, a_confirmation(evidence), environment, evidence=evidence, data=data)
    found = find_trial(recorded, None, done.run_id).environment
    assert (found.imported, found.code) == ({"helper.py": "c0de"}, environment.code)


def test_confirmation_becomes_a_run_beside_the_trials(recorded, data, evidence, environment):
    confirmation = a_confirmation(evidence)

    done = run.record(recorded, confirmation, environment, evidence=evidence, data=data)
    run_id, version = done.run_id, done.version

    found = recorded.client.get_run(run_id)
    parent = recorded.client.get_run(found.data.tags["mlflow.parentRunId"])
    assert (found.info.run_name, found.info.status) == ("confirmation", "FINISHED")
    assert parent.info.run_name == "study digits"
    assert version == "1"
    expected = {
        "confirmed_value": 0.9115, "confirmed_value_low": 0.88, "confirmed_value_high": 0.93,
        "luck": 0.03, "luck_low": 0.01, "luck_high": 0.05,
        "lead": 0.01, "lead_low": -0.01, "lead_high": 0.03,
        "test_accuracy": 0.95, "test_accuracy_low": 0.76, "test_accuracy_high": 0.99,
        "test_loss": 0.125, "calibration_error": 0.05, "seconds": 5.5,
    }  # fmt: skip
    assert expected.items() <= found.data.metrics.items()
    assert len(recorded.client.get_metric_history(run_id, "train_loss")) == 3
    assert found.data.params["hidden"] == "[6]"
    assert found.data.tags[names.WINNER_TAG] == "1"
    pictures = [info.path for info in recorded.client.list_artifacts(run_id, "figures")]
    assert set(pictures) == {
        f"figures/{name}.png"
        for name in (
            "comparison", "curves", "confusion_matrix", "misclassified", "calibration",
            "first_layer",
        )
    }  # fmt: skip
    for path in pictures:
        content = Path(recorded.client.download_artifacts(run_id, path)).read_bytes()
        assert content.startswith(b"\x89PNG")


def test_several_champions_are_metrics_of_the_run(recorded, data, evidence, environment):
    first = a_confirmation(evidence)
    vote = dataclasses.replace(first.test, accuracy=Estimate(1.0, 0.84, 1.0), correct=20)
    other = OtherChampion(5, "c" * 64, 2.0, dataclasses.replace(first.test, correct=18))
    mean_test = Estimate(0.925, 0.61, 1.0)
    several = dataclasses.replace(first, others=(other,), mean_test=mean_test, vote=vote)

    done = run.record(recorded, several, environment, evidence=evidence, data=data)

    found = recorded.client.get_run(done.run_id).data
    expected = {
        "test_accuracy": 0.95, "mean_test_accuracy": 0.925, "mean_test_accuracy_low": 0.61,
        "vote_test_accuracy": 1.0, "vote_test_accuracy_low": 0.84, "seconds": 7.5,
    }  # fmt: skip
    assert expected.items() <= found.metrics.items()
    assert run.read(recorded, "digits") == (several, done)
    assert (
        "- all 2 champions: test accuracy 0.9250 on average (0.6100 to 1.0000); the mean of their "
        "probabilities: 1.0000 (20 of 20)" in found.tags["mlflow.note.content"].splitlines()
    )


def test_description_says_what_the_command_prints(recorded, environment):
    confirmation = a_confirmation()
    run_id = run.record(recorded, confirmation, environment).run_id
    note = recorded.client.get_run(run_id).data.tags["mlflow.note.content"]
    for sentence in sentences(confirmation):
        assert f"- {sentence}" in note.splitlines()
    assert "| 1 | 0.9500 | 0.9115 | 0.8800 to 0.9300 | 0.0300 | 0.0100 to 0.0500 |" in note


def test_what_is_known_of_the_test_images_is_said_where_they_were_used(evidence):
    confirmation = a_confirmation(evidence)
    assert evidence.settings["data"] == "digits"
    assert sentences(confirmation)[-1] == f"note: {TEST_NOTES['digits']}"
    assert TEST_NOTES["digits"] in run.describe(confirmation)
    others = dataclasses.replace(evidence, settings={**evidence.settings, "data": "mnist"})
    for without in (a_confirmation(others), a_confirmation(evidence, tested=False)):
        assert not any(sentence.startswith("note: ") for sentence in sentences(without))


def test_every_repetition_is_a_row_of_a_table_that_the_pages_show(recorded, environment):
    run_id = run.record(recorded, a_confirmation(), environment).run_id
    table = json.loads(file_of(recorded, run_id, names.REPETITIONS_FILE))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [(row["trial"], row["number"]) for row in rows] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert rows[3]["seed"] == str(2**62 + 12)  # exactly, which a page's numbers are not
    tags = recorded.client.get_run(run_id).data.tags
    assert json.loads(tags["mlflow.loggedArtifacts"]) == [
        {"path": names.REPETITIONS_FILE, "type": "table"}
    ]


def test_recorded_confirmation_is_read_back(recorded, data, evidence, environment):
    assert run.read(recorded, "digits") is None
    confirmation = a_confirmation(evidence)
    done = run.record(recorded, confirmation, environment, evidence=evidence, data=data)
    run_id, version = done.run_id, done.version
    assert run.read(recorded, "digits") == (
        confirmation,
        RecordedConfirmation(run_id, version),
    )


def test_confirmation_of_a_study_that_mlflow_does_not_have_is_refused(store, environment):
    with pytest.raises(InputError, match="no study 'digits' in MLflow; it has none yet"):
        run.record(store, a_confirmation(), environment)


def test_without_a_model_nothing_is_registered(recorded, evidence, environment):
    evidence = dataclasses.replace(evidence, model=None, answers=None)
    confirmation = a_confirmation(evidence, tested=False)
    version = run.record(recorded, confirmation, environment, evidence=evidence).version
    assert version is None
    assert recorded.client.search_registered_models() == []


def test_another_winner_takes_the_place_of_one_that_was_not_tested(
    recorded, evidence, environment, quick_figures
):
    evidence = dataclasses.replace(evidence, model=None, answers=None)
    first = a_confirmation(evidence, winner=0, tested=False)
    run.record(recorded, first, environment, evidence=evidence)
    changed = dataclasses.replace(evidence, settings={**evidence.settings, "epochs": 2})
    second = dataclasses.replace(a_confirmation(changed, tested=False), at=1_700_000_300.0)

    run_id = run.record(recorded, second, environment, evidence=changed).run_id

    assert recorded.client.get_run(run_id).data.tags[names.WINNER_TAG] == "1"
    assert run.read(recorded, "digits")[0] == second


def test_another_winner_has_another_run_version_and_weights(
    recorded, data, evidence, environment, quick_figures
):
    first = dataclasses.replace(a_confirmation(evidence, tested=False), winner=0)
    earlier = run.record(recorded, first, environment, evidence=evidence)
    old_run, old = earlier.run_id, earlier.version
    arrays = {**evidence.model.arrays, "fill": np.float64(0.25)}
    arrays["parameters"] = -arrays["parameters"]
    weights = sha256_of(arrays["parameters"], arrays["statistics"])
    retrained = dataclasses.replace(
        evidence,
        model=dataclasses.replace(evidence.model, arrays=arrays),
        epochs=tuple(
            dataclasses.replace(e, metrics={"train_loss": 9.0 + e.number}) for e in evidence.epochs
        ),
    )
    second = dataclasses.replace(
        a_confirmation(retrained, tested=False),
        champion=Champion(evidence.settings, 60, weights, 1.5),
        at=1_700_000_300.0,
    )

    later = run.record(recorded, second, environment, evidence=retrained)
    new_run, new = later.run_id, later.version

    assert (old, new) == ("1", "2")
    assert run.read(recorded, "digits") == (
        second,
        RecordedConfirmation(new_run, "2"),
    )
    history = recorded.client.get_metric_history(new_run, "train_loss")
    assert [point.value for point in history] == [10.0, 11.0, 12.0]
    assert registry.load(recorded, "digits").arrays["fill"] == 0.25
    assert registry.load(recorded, "digits/1").arrays["fill"] != 0.25
    assert recorded.client.get_run(old_run).data.tags[names.WINNER_TAG] == "0"


def test_another_model_in_a_run_takes_the_place_of_none(recorded, evidence):
    experiment = recorded.client.get_experiment_by_name("digits").experiment_id
    run_id = find_trial(recorded, "digits", 0).run_id
    other = dataclasses.replace(evidence.model, source=evidence.model.source + "# another")
    one, two, again = (
        log_model(recorded, experiment, run_id, model, name="m", tags={}, params={}, step=1)
        for model in (evidence.model, other, evidence.model)
    )
    assert one == again != two
    outputs = recorded.client.get_run(run_id).outputs.model_outputs
    assert {output.model_id for output in outputs} == {one, two}


# The champion


@pytest.fixture
def champion(recorded, data, evidence, environment, quick_figures):
    """A store with a registered champion, and the run it came of."""
    trial = find_trial(recorded, "digits", 1)
    run_id = run.record(
        recorded, a_confirmation(evidence), environment,
        winner_run=trial.run_id, evidence=evidence, data=data,
    ).run_id  # fmt: skip
    return recorded, run_id


def test_champion_is_a_model_version_that_tells_where_it_comes_from(champion, evidence):
    store, run_id = champion
    version = store.client.get_model_version_by_alias("digits", "champion")
    assert (version.version, version.run_id) == (1, run_id)
    assert version.tags[names.WINNER_TAG] == "1"
    assert version.tags[names.TEST_TAG] == "accuracy 0.9500, 19 of 20, 95 % 0.7600 to 0.9900"
    assert version.tags[names.WEIGHTS_TAG] == evidence.epochs[-1].digests["weights"]
    assert version.tags[names.TRIAL_RUN_TAG] == find_trial(store, "digits", 1).run_id
    assert "winner: trial 1" in version.description
    (model,) = store.client.search_logged_models(
        [store.client.get_run(run_id).info.experiment_id],
        filter_string=f"source_run_id = '{run_id}'",
    )
    assert version.source == model.artifact_location
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "digits", "version": 1}]
    assert {m.key: m.value for m in model.metrics}["test_accuracy"] == 0.95


def test_champion_is_found_by_name_alias_and_version(champion, evidence, data):
    store, _ = champion
    for name in ("digits", "digits@champion", "digits/1"):
        found = registry.load(store, name)
        assert (found.name, found.version) == ("digits", "1")
        network, full_scale, classes = restore(found.arrays)
        assert classes == 2
        answers = probabilities(network, full_scale, data.test_images)
        np.testing.assert_array_equal(answers, evidence.answers)


def test_unknown_model_is_refused_with_those_there_are(champion):
    versions = "expected digits@champion or digits/1"
    for name, message in (
        ("digit", "model: no registered model 'digit'; did you mean 'digits'?"),
        ("", "model: no registered model ''; registered: digits"),
        ("digits@best", f"model: got 'digits@best', {versions}"),
        ("digits/2", f"model: got 'digits/2', {versions}"),
        ("digits/one", f"model: got 'digits/one', {versions}"),
    ):
        with pytest.raises(InputError) as refused:
            registry.load(champion[0], name)
        assert str(refused.value) == message


def test_without_any_model_the_error_shows_how_to_get_one(store):
    with pytest.raises(InputError, match="'digits'; run `retrial confirm STUDY` first"):
        registry.load(store, "digits")


def test_a_study_without_a_champion_shows_how_to_get_one(store):
    experiment = store.client.create_experiment("digits-seed1", store.artifact_location)
    store.client.set_experiment_tag(experiment, names.KIND_TAG, names.STUDY_KIND)
    for name in ("digits-seed1", "digits-seed1@champion", "digits-seed1/1"):
        with pytest.raises(InputError) as refused:
            registry.load(store, name)
        assert str(refused.value) == (
            "model: no registered model 'digits-seed1'; run `retrial confirm digits-seed1` first"
        )


def test_model_of_somebody_else_is_refused(champion, tmp_path):
    store, run_id = champion
    (tmp_path / "model.txt").write_text("weights")
    store.client.log_artifact(run_id, tmp_path / "model.txt")
    place = store.client.get_run(run_id).info.artifact_uri
    store.client.create_registered_model("other")
    store.client.create_model_version("other", place, run_id=run_id)
    with pytest.raises(InputError, match=r"^model: cannot read the model of other/1 "):
        registry.load(store, "other/1")


def test_champion_loads_with_pickle_forbidden(champion, evidence, data, monkeypatch):
    import mlflow.pyfunc

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    store, _ = champion
    place = store.client.get_model_version_download_uri("digits", "1")
    loaded = mlflow.pyfunc.load_model(place)
    np.testing.assert_array_equal(loaded.predict(data.test_images), evidence.answers)
    np.testing.assert_array_equal(loaded.input_example, data.images[:2])
    assert loaded.metadata.signature.inputs.inputs[0].shape == (-1, 6, 6, 1)


def test_verdict_on_the_champion_or_its_trial_is_written_to_the_version(champion):
    store, run_id = champion
    write_certificate(store, run_id, Verdict("exact"), environment=Environment())
    write_certificate(
        store, find_trial(store, "digits", 1).run_id, Verdict("close"), environment=Environment()
    )
    write_certificate(
        store, find_trial(store, "digits", 0).run_id, Verdict("diverged"), environment=Environment()
    )
    tags = store.client.get_model_version("digits", "1").tags
    assert (tags[names.VERDICT_TAG], tags[names.TRIAL_VERDICT_TAG]) == ("exact", "close")


def test_champions_run_can_be_reproduced_like_a_trial(champion, evidence):
    store, run_id = champion
    found = find_trial(store, None, run_id)
    assert (found.study, found.number, found.metric) == ("digits", 1, "train_loss")
    assert found.settings == evidence.settings
    assert [epoch.digests for epoch in found.epochs] == [e.digests for e in evidence.epochs]


def test_champions_run_has_the_metric_and_the_result_of_the_study(champion):
    store, run_id = champion
    tags = store.client.get_run(run_id).data.tags
    assert (tags[names.METRIC_TAG], tags[names.DIRECTION_TAG]) == ("val_accuracy", "maximize")
    assert champion_result(store, find_trial(store, None, run_id)) == (
        "champion with the settings of trial 1, val_accuracy 0.9115 on average, test accuracy 0.95"
    )
    assert champion_result(store, find_trial(store, "digits", 1)) is None


def test_settings_without_effect_are_no_parameters_of_the_champion(champion, evidence):
    store, run_id = champion
    params = store.client.get_run(run_id).data.params
    assert params["optimizer"] == "adam"
    assert not {"momentum", "initial_std", "step_epochs"} & params.keys()
    assert {"momentum", "initial_std", "step_epochs"} <= evidence.settings.keys()


# Interrupted, and repeated


class Killed(BaseException):
    """What SIGKILL would be if it could be caught."""


class Doomed:
    """Counts the calls to a client, and dies before a given one."""

    def __init__(self, client, at):
        self._client, self.left = client, at

    def __getattr__(self, name):
        def step(*arguments, **what):
            if self.left == 0:
                raise Killed
            self.left -= 1
            return getattr(self._client, name)(*arguments, **what)

        return step


def everything(store, contents):
    """All that MLflow has, the registry included."""
    runs = {run.info.run_id: run.info.run_name for run in all_runs(store)}
    versions = [
        {
            "version": version.version,
            "run": runs[version.run_id],
            "tags": {key: runs.get(value, value) for key, value in version.tags.items()},
            "description": version.description,
        }
        for version in store.client.search_model_versions("name = 'digits'")
    ]
    return contents(store), versions, store.client.get_registered_model("digits").aliases


def all_runs(store):
    return store.client.search_runs([store.client.get_experiment_by_name("digits").experiment_id])


def record_with(client, store, data, evidence, environment):
    winner_run = find_trial(store, "digits", 1).run_id
    return run.record(
        dataclasses.replace(store, client=client), a_confirmation(evidence), environment,
        winner_run=winner_run, evidence=evidence, data=data,
    )  # fmt: skip


@pytest.fixture
def kill_and_record_again(recorded, data, evidence, environment, contents, quick_figures, tmp_path):
    """Record once undisturbed; return a check of a recording that is killed, and the steps."""
    recorded.close()
    before = shutil.copytree(recorded.root, tmp_path / "before")
    counting = Doomed(recorded.client, at=10**6)
    record_with(counting, recorded, data, evidence, environment)
    expected = everything(recorded, contents)

    def check(moment):
        # Another store each time: MLflow keeps the databases it knows open.
        store = open_store(shutil.copytree(before, tmp_path / f"killed {moment}"))
        with pytest.raises(Killed):
            record_with(Doomed(store.client, moment), store, data, evidence, environment)
        record_with(store.client, store, data, evidence, environment)
        assert everything(store, contents) == expected, f"killed before step {moment}"

    return check, 10**6 - counting.left


def test_recording_again_changes_nothing(
    recorded, data, evidence, environment, contents, quick_figures
):
    first = record_with(recorded.client, recorded, data, evidence, environment)
    expected = everything(recorded, contents)
    assert record_with(recorded.client, recorded, data, evidence, environment) == first
    assert everything(recorded, contents) == expected


def test_recording_killed_anywhere_is_gone_on_with(kill_and_record_again, generator):
    check, steps = kill_and_record_again
    for moment in generator.choice(steps, size=3, replace=False):
        check(int(moment))


@pytest.mark.slow
def test_recording_killed_at_each_single_step_is_gone_on_with(kill_and_record_again):
    check, steps = kill_and_record_again
    for moment in range(steps):
        check(moment)
