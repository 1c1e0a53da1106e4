"""Studies that exist: in a store, or as files."""

from pathlib import Path
from typing import Any

from studies.interface import sources
from studies.interface.recorded import Folder
from studies.interface.study import Study


def open(name: str, store: Folder | None = None) -> Study:
    """Return a study of a store, which is `RETRIAL_STORE` or ``mlruns`` unless given.

    Its modules are not imported before it is trained. Raises StoreUnavailable for a folder without
    studies and StudyNotFound for a name that it does not have.
    """
    from studies.analysis.stored_study import open_study
    from studies.display.suggestions import default_store

    with open_study(Path(store) if store is not None else default_store(), name) as stored:
        return Study._of(sources.Stored(stored.record.definition), store)


def read(path: Folder) -> Study:
    """Return the study of a study file, of a bundled one's name, or of ``FILE.py[:NAME]``.

    Raises InputError as `retrial search` does.
    """
    from studies.definition import study_file
    from studies.interface import scripts

    if scripts.is_script(str(path)):
        study = scripts.read(str(path))
    else:
        tables = study_file.read_tables(study_file.find(str(path)))
        study = Study._of(sources.Tables(tables), None)
    study.check()
    return study


def names(store: Folder | None = None) -> list[str]:
    """Return the names of the studies of a store; none for a folder without a store."""
    from studies.display.suggestions import default_store
    from tracking.ledger import Ledger
    from tracking.store import names as places

    path = (Path(store) if store is not None else default_store()) / places.LEDGER
    if not path.is_file():
        return []
    with Ledger(path, create=False) as ledger:
        return ledger.study_names()


def load_model(which: str, *, store: Folder | None = None) -> Any:
    """Return a recorded model as its library loads it: a run id, NAME, NAME@alias or NAME/version.

    A name alone is the champion of the study of that name. Nothing is unpickled. Raises InputError
    for a model that does not exist or has been changed, ModelRefused for one that could do anything
    when it is loaded, and ModuleMissing where its library is not installed.
    """
    from studies.display.suggestions import default_store
    from studies.objective import stored_models
    from tracking.runs.reader import open_with_trials

    with open_with_trials(Path(store) if store is not None else default_store()) as opened:
        return stored_models.load_model(opened, which)
