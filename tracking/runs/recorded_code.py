"""The code that the trials of a study were trained with, as files of the study's run.

There is one archive per code, named by the digests in a trial's environment.
"""

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from nets.errors import InputError
from tracking.provenance import source_code
from tracking.records import Environment
from tracking.runs.reader import RecordedRun, study_run
from tracking.store import names
from tracking.store.client import files_of, write_files
from tracking.store.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient


def keep(client: "MlflowClient", run_id: str, environment: Environment) -> None:
    """Archive the code of an environment in a study's run, once, if it is this process's code."""
    digests = environment.code or {}
    path = _path(digests)
    if path in _kept(client, run_id):
        return
    if (code := source_code.archive(digests, also=source_code.OWN)) is not None:
        write_files(client, run_id, {path: code})


def has(store: Store, recorded: RecordedRun) -> bool:
    """Return whether the code of a trial is archived; older records have none."""
    run_id = study_run(store, recorded.study).info.run_id
    return _path(recorded.environment.code or {}) in _kept(store.client, run_id)


def extract(store: Store, recorded: RecordedRun, folder: Path) -> None:
    """Write the code that a trial was trained with into a folder, to be imported from there.

    Raises InputError if the study's run does not have it.
    """
    digests = recorded.environment.code or {}
    run_id = study_run(store, recorded.study).info.run_id
    archive = _archive(store, run_id, digests)
    if archive is None:
        raise InputError(
            "trial",
            problem=f"run {run_id} of the study does not have the code of trial {recorded.number} "
            f"(nets {digests.get('nets', '?')[:12]}) in {names.CODE_FOLDER}/",
            expected="a trial whose driver had the code it was trained with",
        )
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        opened.extractall(folder)


def for_model(store: Store, run_id: str, environment: Environment) -> bytes | None:
    """Return the code that a model of an environment needs, or None.

    It is the code of this process, or the archive in the study's run if the code has changed.
    """
    digests = environment.code or {}
    if (code := source_code.archive(digests)) is not None:
        return code
    archive = _archive(store, run_id, digests)
    return None if archive is None else source_code.only(digests, archive)


def _archive(store: Store, run_id: str, digests: dict[str, str]) -> bytes | None:
    """Return a code's archive in a study's run, or None."""
    if (path := _path(digests)) not in _kept(store.client, run_id):
        return None
    return files_of(store, store.client.get_run(run_id)).read(path)


def _path(digests: dict[str, str]) -> str:
    return f"{names.CODE_FOLDER}/{source_code.key(digests)}.zip"


def _kept(client: "MlflowClient", run_id: str) -> set[str]:
    return {file.path for file in client.list_artifacts(run_id, names.CODE_FOLDER)}
