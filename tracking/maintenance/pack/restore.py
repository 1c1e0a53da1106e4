"""MLflow's share of a pack, written to another MLflow: runs and models get new ids there.

Whatever names a run, a model or a place of files is translated: tags, descriptions, registered
versions, and the texts among the files (an `MLmodel` names its run, its own id and its place).
"""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from tracking.maintenance.pack.export import (
    ARTIFACTS,
    DATASET_KEYS,
    EXPERIMENT_FILE,
    MODELS_FILE,
    REGISTRY_FILE,
    RUNS_FILE,
)
from tracking.store import names
from tracking.store.store import Store

UNPACKING_TAG = "retrial.unpacking"
"""On the experiment, as long as the ledger may not know the study: if both last, it is a ruin."""

_Item = TypeVar("_Item")
_ID = re.compile(r"\b(?:m-)?[0-9a-f]{32}\b")
_TEXTS = {"", ".json", ".md", ".txt", ".yaml", ".yml"}
_LONGEST_TEXT = 16 << 20


class Translation:
    """Replaces the ids and places of the store a pack came from by those of this one."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._places: dict[str, tuple[str, str]] = {}
        self._general: list[tuple[str, str]] = []

    def add(self, old: str, new: str, old_place: str, new_place: str) -> None:
        """Translate the id of a run or a model, and where its files are."""
        self._ids[old] = new
        self._places[old] = (old_place, new_place)

    def add_text(self, old: str, new: str) -> None:
        """Translate a place or a link in which no id stands."""
        self._general.append((old, new))

    def __call__(self, text: str) -> str:
        """Return a text with everything known translated."""
        known = self._ids.keys() & set(_ID.findall(text))
        # Places before the ids that stand in them, and before the place they all lie in.
        for replaced in [*(self._places[identity] for identity in known), *self._general]:
            text = text.replace(*replaced)
        return _ID.sub(lambda found: self._ids.get(found[0], found[0]), text) if known else text


class Restoring:
    """One pack, extracted into `folder`, on its way into MLflow.

    `run` may fail anywhere; `undo` then removes what it made. `translation` is complete after it.
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
        experiment = self._read(EXPERIMENT_FILE)
        runs, models = self._read(RUNS_FILE), self._read(MODELS_FILE)
        self._create_experiment(experiment)
        for run in runs:
            self._create_run(run)
        for model in models:
            self._create_model(model)
        for run in runs:
            self._fill_run(run, [m for m in models if m["run"] == run["id"]])
        for model in models:
            self._fill_model(model)
        for registered in self._read(REGISTRY_FILE):
            self._register(registered)
        # Now that links can be translated.
        for key, value in experiment["tags"].items():
            self._client.set_experiment_tag(self.experiment_id, key, self.translation(value))

    def finish(self) -> None:
        """Say that the study is whole: the ledger has it."""
        self._client.delete_experiment_tag(self.experiment_id, UNPACKING_TAG)

    def _create_experiment(self, experiment: Mapping[str, Any]) -> None:
        new = self._client.create_experiment(
            experiment["name"],
            artifact_location=self._store.artifact_location,
            tags={UNPACKING_TAG: "true"},
        )
        self.experiment_id = str(new)
        place = self._client.get_experiment(new).artifact_location
        self.translation.add_text(experiment["location"], place)
        self.translation.add_text(
            names.trials_page(experiment["id"]), names.trials_page(self.experiment_id)
        )

    def _create_run(self, run: Mapping[str, Any]) -> None:
        new = self._client.create_run(
            self.experiment_id, start_time=run["started"], run_name=run["name"]
        )
        self.translation.add(run["id"], new.info.run_id, run["location"], new.info.artifact_uri)

    def _create_model(self, model: Mapping[str, Any]) -> None:
        new = self._client.create_logged_model(
            self.experiment_id,
            name=model["name"],
            source_run_id=self.translation(model["run"] or "") or None,
            tags=model["tags"],
            params=model["params"],
            model_type=model["type"],
        )
        self.translation.add(model["id"], new.model_id, model["location"], new.artifact_location)

    def _fill_run(self, run: Mapping[str, Any], models: list[dict[str, Any]]) -> None:
        from mlflow.entities import (
            Dataset,
            DatasetInput,
            InputTag,
            LoggedModelOutput,
            Metric,
            Param,
            RunTag,
        )

        run_id = self.translation(run["id"])
        # A point that was logged with a model is one of the model's metrics, too.
        of_model = {
            (key, step, at): self.translation(model["id"])
            for model in models
            for key, step, at, _ in model["metrics"]
        }
        metrics = [
            Metric(key, value, at, step, model_id=of_model.get((key, step, at)))
            for key, points in run["metrics"].items()
            for step, at, value in points
        ]
        params = [Param(key, value) for key, value in run["params"].items()]
        tags = [RunTag(key, self.translation(value)) for key, value in run["tags"].items()]
        for some in _in_batches(metrics, 1000):
            self._client.log_batch(run_id, metrics=some)
        for some_params in _in_batches(params, 100):
            self._client.log_batch(run_id, params=some_params)
        for some_tags in _in_batches(tags, 100):
            self._client.log_batch(run_id, tags=some_tags)
        if run["inputs"]:
            inputs = [
                DatasetInput(
                    Dataset(**{key: entry[key] for key in DATASET_KEYS}),
                    [InputTag(key, value) for key, value in entry["tags"].items()],
                )
                for entry in run["inputs"]
            ]
            self._client.log_inputs(run_id, datasets=inputs)
        if run["outputs"]:
            outputs = [LoggedModelOutput(self.translation(m), step) for m, step in run["outputs"]]
            self._client.log_outputs(run_id, outputs)
        if (files := self._files(run["id"])) is not None:
            self._client.log_artifacts(run_id, str(files))
        if run["status"] == "RUNNING":  # nobody trains it here
            self._client.set_terminated(run_id, "KILLED")
        else:
            self._client.set_terminated(run_id, run["status"], run["ended"])

    def _fill_model(self, model: Mapping[str, Any]) -> None:
        model_id = self.translation(model["id"])
        if (files := self._files(model["id"])) is not None:
            self._client.log_model_artifacts(model_id, str(files))
        if model["status"] in ("READY", "FAILED"):
            self._client.finalize_logged_model(model_id, model["status"])

    def _register(self, registered: Mapping[str, Any]) -> None:
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
        """Return the folder of a run's or model's files, translated; None where it has none."""
        folder = self._folder / ARTIFACTS / identity
        if not folder.is_dir():
            return None
        for path in folder.rglob("*"):
            if path.suffix in _TEXTS and path.is_file() and path.stat().st_size < _LONGEST_TEXT:
                _translate_file(path, self.translation)
        return folder

    def _read(self, name: str) -> Any:
        return json.loads((self._folder / name).read_text(encoding="utf-8"))


def _translate_file(path: Path, translation: Translation) -> None:
    try:
        before = path.read_bytes().decode()
    except UnicodeDecodeError:
        return
    after = translation(before)
    if after != before:
        path.write_bytes(after.encode())


def _in_batches(items: list[_Item], size: int) -> Iterator[list[_Item]]:
    """Return items in lists of at most `size`."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
