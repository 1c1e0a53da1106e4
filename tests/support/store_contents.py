"""Everything that a store has of the study ``digits``, as values that can be compared."""

import re
from pathlib import Path

from trial_writer import STUDY


def read_contents(store):
    """Read the runs of the study by name, without their ids and times of delivery."""
    client = store.client
    experiment = client.get_experiment_by_name(STUDY)
    runs = client.search_runs([experiment.experiment_id])
    by_id = {run.info.run_id: run.info.run_name for run in runs}
    models = client.search_logged_models([experiment.experiment_id])
    found = {
        run.info.run_name: {
            "status": run.info.status,
            "params": run.data.params,
            "tags": {
                key: re.sub(r"\b[0-9a-f]{32}\b", lambda found: by_id.get(found[0], found[0]), value)
                for key, value in run.data.tags.items()
                if not key.startswith("mlflow.source")
            },
            "metrics": {
                key: [(m.step, repr(m.value), m.timestamp) for m in _history(client, run, key)]
                for key in run.data.metrics
            },
            "files": _files(client, run),
            "inputs": [(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs],
            "models": [
                {
                    "name": model.name,
                    "status": str(model.status),
                    "metrics": sorted((m.key, m.value, m.timestamp) for m in model.metrics),
                    "is an output": [output.model_id for output in run.outputs.model_outputs]
                    == [model.model_id],
                }
                for model in models
                if model.source_run_id == run.info.run_id
            ],
        }
        for run in runs
    }
    assert len(found) == len(runs), "two runs have one name"
    return found


def _history(client, run, key):
    return sorted(client.get_metric_history(run.info.run_id, key), key=lambda m: (m.step, m.value))


def _files(client, run):
    """Return the files of a run: JSON and text with their content, the others as present."""
    files = {}
    for info in client.list_artifacts(run.info.run_id):
        path = Path(client.download_artifacts(run.info.run_id, info.path))
        files[info.path] = path.read_text() if path.suffix in (".json", ".txt") else path.is_file()
    return files
