"""The code that the trials of a study were trained with, as files of the study's run.

There is one archive per code, named by the digests in a trial's environment.
"""

import io
import zipfile
from pathlib import Path

from nets.errors import InputError
from tracking.provenance import source_code
from tracking.records import Environment
from tracking.runs.reader import RecordedRun, study_run
from tracking.store import names
from tracking.store.client import Files, files_of
from tracking.store.store import Store


def keep(files: Files, environment: Environment) -> None:
    """Add the code of an environment to a study's files, once, if it is this process's code."""
    digests = environment.code or {}
    path = _path(digests)
    if files.has(path):
        return
    if (code := source_code.archive(digests, also=source_code.OWN)) is not None:
        files.write({path: code})


def has(store: Store, recorded: RecordedRun) -> bool:
    """Return whether the code of a trial is archived; older records have none."""
    files = files_of(store, study_run(store, recorded.study))
    return files.has(_path(recorded.environment.code or {}))


def extract(store: Store, recorded: RecordedRun, folder: Path) -> None:
    """Write the code that a trial was trained with into a folder, to be imported from there.

    Raises InputError if the study's run does not have it.
    """
    digests = recorded.environment.code or {}
    run = study_run(store, recorded.study)
    archive = _archive(files_of(store, run), digests)
    if archive is None:
        raise InputError(
            "trial",
            problem=f"run {run.info.run_id} of the study does not have the code of trial "
            f"{recorded.number} (nets {digests.get('nets', '?')[:12]}) in {names.CODE_FOLDER}/",
            expected="a trial whose driver had the code it was trained with",
        )
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        opened.extractall(folder)


def for_model(files: Files, environment: Environment) -> bytes | None:
    """Return the code that a model of an environment needs, or None.

    It is the code of this process, or the archive among the study's files if the code has changed.
    """
    digests = environment.code or {}
    if (code := source_code.archive(digests)) is not None:
        return code
    archive = _archive(files, digests)
    return None if archive is None else source_code.only(digests, archive)


def _archive(files: Files, digests: dict[str, str]) -> bytes | None:
    """Return a code's archive among a study's files, or None."""
    path = _path(digests)
    return files.read(path) if files.has(path) else None


def _path(digests: dict[str, str]) -> str:
    return f"{names.CODE_FOLDER}/{source_code.key(digests)}.zip"
