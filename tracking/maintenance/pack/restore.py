"""Write MLflow's part of a pack to another MLflow, where runs and models get new ids.

All references to runs, models and artifact locations are translated: in tags, descriptions,
registered versions and text files (an `MLmodel` names its run, its own id and its location).
"""

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tracking.maintenance.pack import tables
from tracking.maintenance.pack.contents import UNPACKING_TAG, Contents
from tracking.maintenance.pack.translation import Translation
from tracking.records.pack import PackedDataset, PackedModel, PackedRegistered, PackedRun
from tracking.store import names
from tracking.store.client import files_at
from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

_TEXTS = {"", ".json", ".md", ".txt", ".yaml", ".yml"}
_LONGEST_TEXT = 4 << 20


class Restoring:
    """Writes the contents of a pack to MLflow.

    `run` may fail anywhere; `packing.clear` then removes what it has created. After it,
    `translation` is complete.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._client = store.client
        self.translation = Translation()
        self.experiment_id = ""
        self.registered: list[str] = []

    def run(self, contents: Contents) -> None:
        """Write everything; raises what MLflow raises."""
        self._create_experiment(contents)
        if self._store.artifact_location is None:
            self._send(contents)
        else:  # the database is accessible, where one transaction writes what takes N requests
            tables.insert(self._store, self.experiment_id, contents, self.translation)
            self._move_files(contents)
        for registered in contents.registered:
            self._register(registered)
        # Last, because only now can links be translated.
        for key, value in contents.experiment.tags.items():
            self._client.set_experiment_tag(self.experiment_id, key, self.translation(value))

    def finish(self) -> None:
        """Mark the study as complete, once the ledger has it."""
        self._client.delete_experiment_tag(self.experiment_id, UNPACKING_TAG)

    def _create_experiment(self, contents: Contents) -> None:
        experiment = contents.experiment
        new = self._client.create_experiment(
            experiment.name,
            artifact_location=self._store.artifact_location,
            tags={UNPACKING_TAG: "true"},
        )
        self.experiment_id = str(new)
        location = self._client.get_experiment(new).artifact_location
        self.translation.add_text(experiment.location, location)
        self.translation.add_text(
            names.trials_page(experiment.id), names.trials_page(self.experiment_id)
        )

    def _move_files(self, contents: Contents) -> None:
        """Move the artifacts to their folders in the store."""
        for identity in [*(r.id for r in contents.runs), *(m.id for m in contents.models)]:
            if (files := self._files(contents, identity)) is not None:
                target = files_at(self._store, self.translation.location(identity)).local
                assert target is not None
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(files, target)

    def _send(self, contents: Contents) -> None:
        """Write runs and models through requests to a server."""
        for run in contents.runs:
            self._create_run(run)
        for model in contents.models:
            self._create_model(model)
        for run in contents.runs:
            self._fill_run(run, [m for m in contents.models if m.run == run.id])
            if (files := self._files(contents, run.id)) is not None:
                self._client.log_artifacts(self.translation(run.id), str(files))
            status = "KILLED" if run.status == "RUNNING" else run.status  # it has no driver here
            self._client.set_terminated(self.translation(run.id), status, run.ended)
        for model in contents.models:
            model_id = self.translation(model.id)
            if (files := self._files(contents, model.id)) is not None:
                self._client.log_model_artifacts(model_id, str(files))
            if model.status in ("READY", "FAILED"):
                self._client.finalize_logged_model(model_id, model.status)

    def _create_run(self, run: PackedRun) -> None:
        new = self._client.create_run(self.experiment_id, start_time=run.started, run_name=run.name)
        self.translation.add(run.id, new.info.run_id, run.location, new.info.artifact_uri)

    def _create_model(self, model: PackedModel) -> None:
        new = self._client.create_logged_model(
            self.experiment_id,
            name=model.name,
            source_run_id=self.translation(model.run or "") or None,
            tags=model.tags,
            params=model.params,
            model_type=model.type,
        )
        self.translation.add(model.id, new.model_id, model.location, new.artifact_location)

    def _fill_run(self, run: PackedRun, models: list[PackedModel]) -> None:
        from mlflow import entities

        run_id = self.translation(run.id)
        # A metric that was logged with a model is one of the model's metrics, too.
        of_model = {
            (key, step, at): self.translation(model.id)
            for model in models
            for key, step, at, _ in model.metrics
        }
        metrics = [
            entities.Metric(key, value, int(at), int(step), model_id=of_model.get((key, step, at)))
            for key, points in run.metrics.items()
            for step, at, value in points
        ]
        params = [entities.Param(key, value) for key, value in run.params.items()]
        tags = [entities.RunTag(key, self.translation(value)) for key, value in run.tags.items()]
        self._client.log_batch(run_id, metrics, params, tags)
        if run.inputs:
            self._client.log_inputs(run_id, datasets=[_input(dataset) for dataset in run.inputs])
        if run.outputs:
            outputs = [
                entities.LoggedModelOutput(self.translation(m), step) for m, step in run.outputs
            ]
            self._client.log_outputs(run_id, outputs)

    def _register(self, registered: PackedRegistered) -> None:
        name = registered.name
        self._client.create_registered_model(
            name, tags=registered.tags, description=registered.description
        )
        self.registered.append(name)
        numbers = {}
        for version in registered.versions:
            new = self._client.create_model_version(
                name,
                self.translation(version.source),
                run_id=self.translation(version.run),
                tags={key: self.translation(value) for key, value in version.tags.items()},
                description=version.description,
                model_id=self.translation(version.model or "") or None,
            )
            numbers[version.version] = new.version
        for alias, number in registered.aliases.items():
            if str(number) in numbers:
                self._client.set_registered_model_alias(name, alias, numbers[str(number)])

    def _files(self, contents: Contents, identity: str) -> Path | None:
        """Return the folder of the translated artifacts of a run or model; None if it has none."""
        folder = contents.files(identity)
        for path in folder.rglob("*") if folder is not None else ():
            if path.suffix in _TEXTS and path.is_file() and path.stat().st_size < _LONGEST_TEXT:
                with contextlib.suppress(UnicodeDecodeError):  # it is no text
                    text = path.read_bytes().decode()
                    if (translated := self.translation(text)) != text:
                        path.write_bytes(translated.encode())
        return folder


def _input(dataset: PackedDataset) -> "DatasetInput":
    from mlflow import entities

    return entities.DatasetInput(
        entities.Dataset(
            dataset.name,
            dataset.digest,
            dataset.source_type,
            dataset.source,
            dataset.schema,
            dataset.profile,
        ),
        [entities.InputTag(key, value) for key, value in dataset.tags.items()],
    )
