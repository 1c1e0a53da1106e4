"""A confirmation in MLflow: one run beside the trials, with the champion's model in the registry.

The run has the same record of the champion's training as a trial's run, so
``retrial reproduce RUN_ID`` reproduces it too. A different winner, or a different training of it,
gets a new run, because MLflow never deletes points and parameters. The newest run counts.

Every function may be interrupted at any line and called again: it looks before it creates, and
writes nothing twice.
"""

import json
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from nets.data import Dataset
from nets.model_source import restore
from tracking.confirmation.text import fresh_seeds, sentences, table, tested
from tracking.models import registry
from tracking.records import Environment, JsonObject, to_json
from tracking.records.confirmation import (
    Confirmation,
    Estimate,
    Evidence,
    RecordedConfirmation,
    Repetition,
)
from tracking.runs import content, recorded_code
from tracking.runs.reader import study_run
from tracking.runs.study_run import source_tags
from tracking.runs.trial_run import epoch_metrics, missing_metrics
from tracking.store import names
from tracking.store.client import files_of
from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, Run


def record(
    store: Store,
    confirmation: Confirmation,
    environment: Environment,
    *,
    winner_run: str | None = None,
    evidence: Evidence | None = None,
    data: Dataset | None = None,
) -> RecordedConfirmation:
    """Record a confirmation; return its run, and the champion's version if it has a model.

    `winner_run` is the run of the winning trial, `evidence` the record of the champion's training,
    `data` the dataset of its predictions. Raises InputError if MLflow does not have the study, and
    whatever MLflow raises.
    """
    champion = confirmation.champion
    if evidence is not None and (champion is None or champion.settings != evidence.settings):
        evidence = None  # of an earlier winner
    study: JsonObject = {"name": confirmation.study, "trial": confirmation.winner}
    if evidence is not None:
        # Of the training, which its reproduction needs; the run's tag is that of the study.
        study |= {"metric": evidence.metric, "final": True}
        environment = environment.with_worker(evidence.outcome.environment)
    environment = replace(environment, study=study)
    return _Recording(store, confirmation, environment, winner_run, evidence, data).write()


def read(store: Store, study: str) -> tuple[Confirmation, RecordedConfirmation] | None:
    """Return a study's confirmation in MLflow, with its run id and version, or None."""
    run = find(store, study)
    if run is None or run.info.status != "FINISHED":
        return None
    text = files_of(store, run).read(names.CONFIRMATION_FILE)
    confirmation = Confirmation.from_json(json.loads(text))
    versions = store.client.search_model_versions(f"run_id = {names.quoted(run.info.run_id)}")
    version = str(max(int(found.version) for found in versions)) if versions else None
    return confirmation, RecordedConfirmation(str(run.info.run_id), version)


def find(store: Store, study: str) -> "Run | None":
    """Return the newest run of a study's confirmations, or None."""
    runs = store.client.search_runs(
        [study_run(store, study).info.experiment_id],
        names.of_study(study, names.CONFIRMATION_KIND),
        max_results=1,
        order_by=["attributes.start_time DESC", "attributes.run_id ASC"],
    )
    return runs[0] if runs else None


def describe(confirmation: Confirmation) -> str:
    """Return a confirmation in Markdown."""
    heading, *rows = table(confirmation)
    lines = [
        f"The best trials of **{confirmation.study}**, each repeated under "
        f"{fresh_seeds(confirmation)} and compared by `{confirmation.metric}`.",
        "",
        *(f"- {sentence}" for sentence in sentences(confirmation)),
        "",
        "| " + " | ".join(heading) + " |",
        "|" + "---|" * len(heading),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        "Intervals are 95 %: Student's t for means and luck, Welch's for the lead, Wilson's for "
        "the test accuracy. Luck is the advantage of the value in the search over the mean.",
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class _Recording:
    """Writes one confirmation to MLflow."""

    store: Store
    confirmation: Confirmation
    environment: Environment
    winner_run: str | None
    evidence: Evidence | None
    data: Dataset | None

    def write(self) -> RecordedConfirmation:
        """Write everything; end the run last."""
        from mlflow.entities import RunTag

        client = self.store.client
        parent = study_run(self.store, self.confirmation.study)
        run = find(self.store, self.confirmation.study)
        if run is None or self._is_of_another(run):
            run = self._create(parent)
        run_id = str(run.info.run_id)
        recorded_code.keep(files_of(self.store, parent), self.environment)
        files_of(self.store, run).write(self._files())
        content.write_inputs(client, run_id, self.environment)
        model_id = self._write_training(run_id, parent)
        client.log_batch(
            run_id,
            metrics=self._metrics(model_id),
            tags=[RunTag(key, value) for key, value in self._tags().items()],
        )
        version = None if model_id is None else self._register(run_id, model_id)
        client.set_terminated(run_id, "FINISHED")
        return RecordedConfirmation(run_id, version)

    def _create(self, parent: "Run") -> "Run":
        tags = {
            "mlflow.parentRunId": parent.info.run_id,
            names.KIND_TAG: names.CONFIRMATION_KIND,
            **self._origin(),
            **source_tags(self.environment),
        }
        return self.store.client.create_run(
            parent.info.experiment_id, run_name=names.CONFIRMATION_KIND, tags=tags
        )

    def _is_of_another(self, run: "Run") -> bool:
        """Return whether a run is about another winner, or another training of it."""
        there, here = run.data.tags, self._origin()
        both = there.keys() & here.keys() & {names.WINNER_TAG, names.WEIGHTS_TAG}
        return any(there[tag] != here[tag] for tag in both)

    def _files(self) -> JsonObject:
        """Return the confirmation, its table and figures, and the files of the training."""
        found, evidence = self.confirmation, self.evidence
        files: JsonObject = {
            names.CONFIRMATION_FILE: found.to_json(),
            names.REPETITIONS_FILE: _repetitions(found),
            names.ENVIRONMENT_FILE: self.environment.to_json(),
        }
        if evidence is not None:
            files |= {
                names.SETTINGS_FILE: evidence.settings,
                names.EPOCHS_FILE: to_json(evidence.epochs),
                names.OUTCOME_FILE: {"state": "complete", **evidence.outcome.to_json()},
            }
        for name, figure in _figures(found, evidence, self.data).items():
            files[f"{names.FIGURES_FOLDER}/{name}.png"] = figure
        return files

    def _write_training(self, run_id: str, parent: "Run") -> str | None:
        """Write the same record as a trial's run; return the model's id if there is one."""
        client, evidence = self.store.client, self.evidence
        if evidence is None:
            return None
        definition = json.loads(files_of(self.store, parent).read(names.STUDY_FILE))
        params: list[Param] = []
        if self.confirmation.is_tested:  # otherwise the winner may still change
            params = content.params_of(evidence.settings, definition)
        run = client.get_run(run_id)
        metrics = missing_metrics(client, run, epoch_metrics(evidence.epochs))
        client.log_batch(run_id, metrics=metrics, params=params)
        if evidence.model is None:
            return None
        return content.log_model(
            self.store,
            parent.info.experiment_id,
            run_id,
            evidence.model,
            name=names.CHAMPION,
            tags={**self._origin(), names.DESCRIPTION_TAG: describe(self.confirmation)},
            params=content.with_effect(evidence.settings, definition),
            step=evidence.outcome.epoch or 0,
            code=recorded_code.for_model(files_of(self.store, parent), self.environment),
        )

    def _origin(self) -> dict[str, str]:
        """Return the tags that name the study, and the champion's trial, weights and data."""
        found = self.confirmation
        champion, test = found.champion, found.test
        tags = {names.STUDY_TAG: found.study, names.WINNER_TAG: str(found.winner)}
        if champion is not None and champion.weights is not None:
            tags[names.WEIGHTS_TAG] = champion.weights
        if test is not None:
            tags[names.DATA_TAG] = test.sha256
        return tags

    def _tags(self) -> dict[str, str]:
        table_of = [{"path": names.REPETITIONS_FILE, "type": "table"}]
        return {
            **self._origin(),
            names.STATE_TAG: "complete",
            names.METRIC_TAG: self.confirmation.metric,
            names.DIRECTION_TAG: self.confirmation.direction,
            names.DESCRIPTION_TAG: describe(self.confirmation),
            # MLflow's pages show this file as a table.
            "mlflow.loggedArtifacts": json.dumps(table_of),
        }

    def _metrics(self, model_id: str | None) -> "list[Metric]":
        """Return the metrics, all at the time of the confirmation, so that none is logged twice."""
        from mlflow.entities import Metric

        found, test = self.confirmation, self.confirmation.test
        values: dict[str, float | None] = {}
        if found.winner is not None:
            values |= _with_interval(names.MEAN_METRIC, found.candidate(found.winner).mean)
        values |= _with_interval(names.LUCK_METRIC, found.luck)
        values |= _with_interval(names.LEAD_METRIC, found.lead)
        values[names.SECONDS_METRIC] = round(found.seconds, 3)
        for name, result in (found.results or {}).items():
            values |= _with_interval(names.metric_key(f"test_{name}"), result)
        if test is not None:
            values |= _with_interval(names.TEST_ACCURACY_METRIC, test.accuracy)
            values |= {
                names.TEST_LOSS_METRIC: test.loss,
                names.CALIBRATION_METRIC: test.calibration_error,
            }
        values |= _with_interval(names.MEAN_TEST_METRIC, found.mean_test)
        if found.vote is not None:
            values |= _with_interval(names.VOTE_METRIC, found.vote.accuracy)
        data = content.dataset_of_metrics(self.environment)
        return [
            Metric(key, value, int(found.at * 1000), 0, model_id=model_id, **data)
            for key, value in values.items()
            if value is not None
        ]

    def _register(self, run_id: str, model_id: str) -> str:
        tags = {**self._origin(), names.TEST_TAG: names.plain(tested(self.confirmation))}
        if self.winner_run is not None:
            tags[names.TRIAL_RUN_TAG] = self.winner_run
            verdict = self.store.client.get_run(self.winner_run).data.tags.get(names.VERDICT_TAG)
            if verdict:
                tags[names.TRIAL_VERDICT_TAG] = verdict
        return registry.register(
            self.store,
            self.confirmation.study,
            run_id=run_id,
            model_id=model_id,
            description=describe(self.confirmation),
            tags=tags,
        )


def _repetitions(confirmation: Confirmation) -> JsonObject:
    """Return all repetitions as a table in the format of MLflow's pages."""
    columns = [item.name for item in fields(Repetition) if item.name != "extra"]
    rows = [
        # Seeds as strings: a number in a page has 53 bits.
        [getattr(again, column) if column != "seed" else str(again.seed) for column in columns]
        for candidate in confirmation.candidates
        for again in candidate.repetitions
    ]
    return {"columns": columns, "data": rows}


def _figures(
    confirmation: Confirmation, evidence: Evidence | None, data: Dataset | None
) -> dict[str, bytes]:
    """Return the figures of a confirmation, the training and the model as PNG files by name."""
    from tracking.confirmation.figure import comparison
    from tracking.figures import model
    from tracking.figures.curves import curves
    from tracking.figures.style import to_png

    figures = {"comparison": comparison(confirmation)}
    if evidence is not None:
        subject = f"champion of {confirmation.study}"
        title = f"{subject}, settings of trial {confirmation.winner}"
        figures["curves"] = curves(title, evidence.epochs)
        if evidence.answers is not None and data is not None and evidence.model is not None:
            images, labels = np.asarray(data.test_images), np.asarray(data.test_labels)
            answers, label_names = evidence.answers, data.label_names
            figures["confusion_matrix"] = model.confusion_matrix(
                subject, labels, answers, label_names
            )
            if not data.is_table:
                figures["misclassified"] = model.misclassified(
                    subject, images, labels, answers, label_names
                )
            figures["calibration"] = model.calibration(subject, labels, answers)
            network, _, _ = restore(evidence.model.arrays)
            if (filters := model.first_layer_filters(subject, network)) is not None:
                figures["first_layer"] = filters
    return {name: to_png(figure) for name, figure in figures.items()}


def _with_interval(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return {}
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
