"""Recorded models as the objects of their libraries."""

import re
from typing import Any

from studies.objective import formats
from studies.objective.models import loaded
from tracking.models import registry
from tracking.runs import reader
from tracking.store.store import Store


def load_model(store: Store, which: str) -> Any:
    """Return the model of a run, or a registered one: a run id, NAME, NAME@alias or NAME/version.

    Nothing is unpickled, and the files of a library's model must be those that were recorded. A
    model of source and arrays is what ``mlflow.pyfunc`` loads; this runs the source.

    Raises InputError for a model that does not exist or is damaged, ModelRefused for one that could
    do anything when it is loaded, and ModuleMissing where its library is not installed.
    """
    if re.fullmatch("[0-9a-f]{32}", which):
        recorded = reader.find_trial(store, None, which)
        model = reader.read_library_model(store, recorded)
        location = reader.logged_model(store, recorded).artifact_location
    else:
        model = registry.read_library_model(store, which)
        location = registry.location_of(store, which)
    if model is not None:
        return loaded(model)
    from mlflow.artifacts import download_artifacts

    return formats.pyfunc(download_artifacts(artifact_uri=location, tracking_uri=store.uri))
