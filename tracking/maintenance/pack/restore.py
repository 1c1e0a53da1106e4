"""Write MLflow's part of a pack to another MLflow, where runs and models get new ids.

All references to runs, models and artifact locations are translated: in tags, descriptions,
registered versions and text files (an `MLmodel` names its run, its own id and its location).
"""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from tracking.maintenance.pack import export
from tracking.records import JsonObject
from tracking.store import names
from tracking.store.store import Store

UNPACKING_TAG = "retrial.unpacking"
"""Tag of the experiment until the ledger has the study; it remains after an interruption."""

_ID = re.compile(r"\b(?:m-)?[0-9a-f]{32}\b")
_TEXTS = {"", ".json", ".md", ".txt", ".yaml", ".yml"}
_LONGEST_TEXT = 16 << 20


class Translation:
    """Replaces the ids and locations of the original store by those of this one."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._locations: dict[str, tuple[str, str]] = {}
        self._general: list[tuple[str, str]] = []

    def add(self, old: str, new: str, old_location: str, new_location: str) -> None:
        """Translate the id of a run or a model, and its artifact location."""
        self._ids[old] = new
        self._locations[old] = (old_location, new_location)

    def add_text(self, old: str, new: str) -> None:
        """Translate a location or a link without an id."""
        self._general.append((old, new))

    def __call__(self, text: str) -> str:
        """Return a string with all known ids and locations translated."""
        known = self._ids.keys() & set(_ID.findall(text))
        # Locations before the ids that they contain, and before their common parent.
        for replaced in [*(self._locations[identity] for identity in known), *self._general]:
            text = text.replace(*replaced)
        return _ID.sub(lambda found: self._ids.get(found[0], found[0]), text) if known else text


class Restoring:
    """Writes one pack, extracted into `folder`, to MLflow.

    `run` may fail anywhere; `packing.clear` then removes what it has created. After it,
    `translation` is complete.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._client = store.client
        self._folder = folder
        self.translation = Translation()
        self.experiment_id = ""
        self.registered: list[str] = []

    def run(self) -> None:
        """Write everything; raises what MLflow raises."""
        experiment = self._read(export.EXPERIMENT_FILE)
        runs, models = self._read(export.RUNS_FILE), self._read(export.MODELS_FILE)
        self._create_experiment(experiment)
        for run in runs:
            self._create_run(run)
        for model in models:
            self._create_model(model)
        for run in runs:
            self._fill_run(run, [m for m in models if m["run"] == run["id"]])
        for model in models:
            self._fill_model(model)
        for registered in self._read(export.REGISTRY_FILE):
            self._register(registered)
        # Last, because only now can links be translated.
        for key, value in experiment["tags"].items():
            self._client.set_experiment_tag(self.experiment_id, key, self.translation(value))

    def finish(self) -> None:
        """Mark the study as complete, once the ledger has it."""
        self._client.delete_experiment_tag(self.experiment_id, UNPACKING_TAG)

    def _create_experiment(self, experiment: JsonObject) -> None:
        new = self._client.create_experiment(
            experiment["name"],
            artifact_location=self._store.artifact_location,
            tags={UNPACKING_TAG: "true"},
        )
        self.experiment_id = str(new)
        location = self._client.get_experiment(new).artifact_location
        self.translation.add_text(experiment["location"], location)
        self.translation.add_text(
            names.trials_page(experiment["id"]), names.trials_page(self.experiment_id)
        )

    def _create_run(self, run: JsonObject) -> None:
        new = self._client.create_run(
            self.experiment_id, start_time=run["started"], run_name=run["name"]
        )
        self.translation.add(run["id"], new.info.run_id, run["location"], new.info.artifact_uri)

    def _create_model(self, model: JsonObject) -> None:
        new = self._client.create_logged_model(
            self.experiment_id,
            name=model["name"],
            source_run_id=self.translation(model["run"] or "") or None,
            tags=model["tags"],
            params=model["params"],
            model_type=model["type"],
        )
        self.translation.add(model["id"], new.model_id, model["location"], new.artifact_location)

    def _fill_run(self, run: JsonObject, models: list[JsonObject]) -> None:
        from mlflow import entities

        run_id = self.translation(run["id"])
        # A metric that was logged with a model is one of the model's metrics, too.
        of_model = {
            (key, step, at): self.translation(model["id"])
            for model in models
            for key, step, at, _ in model["metrics"]
        }
        metrics = [
            entities.Metric(key, value, at, step, model_id=of_model.get((key, step, at)))
            for key, points in run["metrics"].items()
            for step, at, value in points
        ]
        params = [entities.Param(key, value) for key, value in run["params"].items()]
        tags = [entities.RunTag(key, self.translation(value)) for key, value in run["tags"].items()]
        self._client.log_batch(run_id, metrics, params, tags)
        if run["inputs"]:
            inputs = [
                entities.DatasetInput(
                    entities.Dataset(**{key: entry[key] for key in export.DATASET_KEYS}),
                    [entities.InputTag(key, value) for key, value in entry["tags"].items()],
                )
                for entry in run["inputs"]
            ]
            self._client.log_inputs(run_id, datasets=inputs)
        if run["outputs"]:
            outputs = [
                entities.LoggedModelOutput(self.translation(m), step) for m, step in run["outputs"]
            ]
            self._client.log_outputs(run_id, outputs)
        if (files := self._files(run["id"])) is not None:
            self._client.log_artifacts(run_id, str(files))
        if run["status"] == "RUNNING":  # it has no driver here
            self._client.set_terminated(run_id, "KILLED")
        else:
            self._client.set_terminated(run_id, run["status"], run["ended"])

    def _fill_model(self, model: JsonObject) -> None:
        model_id = self.translation(model["id"])
        if (files := self._files(model["id"])) is not None:
            self._client.log_model_artifacts(model_id, str(files))
        if model["status"] in ("READY", "FAILED"):
            self._client.finalize_logged_model(model_id, model["status"])

    def _register(self, registered: JsonObject) -> None:
        name = registered["name"]
        self._client.create_registered_model(
            name, tags=registered["tags"], description=registered["description"]
        )
        self.registered.append(name)
        numbers = {}
        for version in registered["versions"]:
            new = self._client.create_model_version(
                name,
                self.translation(version["source"]),
                run_id=self.translation(version["run"]),
                tags={key: self.translation(value) for key, value in version["tags"].items()},
                description=version["description"],
                model_id=self.translation(version["model"] or "") or None,
            )
            numbers[version["version"]] = new.version
        for alias, number in registered["aliases"].items():
            if str(number) in numbers:
                self._client.set_registered_model_alias(name, alias, numbers[str(number)])

    def _files(self, identity: str) -> Path | None:
        """Return the folder of the translated artifacts of a run or model; None if it has none."""
        folder = self._folder / export.ARTIFACTS / identity
        if not folder.is_dir():
            return None
        for path in folder.rglob("*"):
            if path.suffix in _TEXTS and path.is_file() and path.stat().st_size < _LONGEST_TEXT:
                with contextlib.suppress(UnicodeDecodeError):  # it is no text
                    text = path.read_bytes().decode()
                    path.write_bytes(self.translation(text).encode())
        return folder

    def _read(self, name: str) -> Any:
        return json.loads((self._folder / name).read_text(encoding="utf-8"))
