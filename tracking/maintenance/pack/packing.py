"""Pack a study, and unpack it into another store, completely or not at all."""

import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from nets.errors import InputError
from tracking.ledger import Ledger
from tracking.ledger.copy import check_tables, copy_study
from tracking.maintenance import deletion
from tracking.maintenance.pack import contents
from tracking.maintenance.pack.archive import Manifest, damaged, extract, read_manifest, writing
from tracking.maintenance.pack.contents import UNPACKING_TAG
from tracking.maintenance.pack.export import export
from tracking.maintenance.pack.restore import Restoring
from tracking.records import RecordDamaged
from tracking.runs.lost import missing_trials
from tracking.store import names
from tracking.store.errors import StoreUnavailable
from tracking.store.store import Store, one_line

BESIDE = ".unpack-"
"""Prefix of the folder in a store into which a pack is extracted; the process is named after it."""


def pack(
    store: Store, ledger: Ledger, study: str, file: Path, *, as_it_is: bool = False
) -> Manifest:
    """Write a study of the ledger, and what MLflow has of it, into one new file.

    The caller must hold the study's lock, and have brought MLflow up to date. Otherwise, as in a
    store that cannot be written or while the study is searched, it is packed `as_it_is`: of trials
    that MLflow does not have completely, the pack has the ledger's part alone, from which the next
    search of the unpacked study records them. Raises InputError when the file exists or cannot be
    written.
    """
    with writing(file) as writer, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / names.LEDGER
        with contextlib.closing(Ledger(path)) as copy:
            copied = copy_study(ledger, copy, study)
            complete = _complete_runs(store, copy, study) if as_it_is else None
        writer.add_file(names.LEDGER, path)
        recorded = export(store, study, writer, complete)
        manifest = Manifest(
            study=study,
            made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            retrial=names.own_version(),
            counts={"trials": copied["trial"], "epochs": copied["epoch"], **recorded},
        )
        writer.finish(manifest)
    return manifest


def _complete_runs(store: Store, copy: Ledger, study: str) -> set[str]:
    """Return the runs of trials that MLflow has; the copy then says that it lacks the others."""
    lacking = [*missing_trials(store, copy, study), *copy.trials(study, unrecorded=True)]
    if lacking:
        copy.mark_unrecorded(study, {trial.number for trial in lacking})
        copy.update_notes(study, recorded=False)
    return {trial.recorded_run for trial in copy.trials(study) if trial.recorded_run}


def unpack(
    store: Store,
    ledger: Ledger,
    file: Path,
    check: Callable[[Ledger, str], None] = lambda ledger, study: None,
) -> Manifest:
    """Import the study of a pack into a store that does not have it.

    `check` raises InputError unless the ledger of the pack has a valid study of that name.

    The ledger's transaction completes the import. If something fails before it, everything created
    in MLflow is removed again; a killed process leaves an experiment with a tag, which the next
    attempt (or `retrial gc`) removes. Raises InputError for a damaged file and for a name in use.
    """
    manifest = read_manifest(file)
    check_free(store, ledger, manifest.study)
    # In the store, on whose disk there has to be room for the study anyway.
    with tempfile.TemporaryDirectory(
        prefix=f"{BESIDE}{names.writer()}-", dir=store.root, ignore_cleanup_errors=True
    ) as created:
        folder = Path(created)
        extract(file, folder)
        restoring = Restoring(store)
        with _opened(file, folder / names.LEDGER) as packed:
            try:
                _check_ledger(file, packed, manifest.study)
                check(packed, manifest.study)
                recorded = contents.read(folder, manifest.study)
            except RecordDamaged as error:
                raise damaged(file, one_line(error)) from error
            try:
                if recorded is not None:
                    restoring.run(recorded)
                copy_study(packed, ledger, manifest.study, restoring.translation)
            except BaseException as error:
                if restoring.experiment_id:
                    with contextlib.suppress(Exception):  # the next attempt finds its tag
                        clear(store, manifest.study, restoring.registered)
                if isinstance(error, InputError) or not isinstance(error, Exception):
                    raise
                raise RuntimeError(f"unpack: {one_line(error)}; nothing was imported") from error
            if restoring.experiment_id:
                restoring.finish()
    return manifest


@contextlib.contextmanager
def _opened(file: Path, path: Path) -> Iterator[Ledger]:
    """Open the ledger of a pack; raise InputError where that cannot be read."""
    try:
        with Ledger(path) as packed:
            yield packed
    except (sqlite3.Error, StoreUnavailable) as error:
        raise damaged(file, f"cannot read its ledger ({one_line(error)})") from error


def _check_ledger(file: Path, packed: Ledger, study: str) -> None:
    """Raise InputError unless a pack's ledger has the study; remove the URL of its storage.

    That URL belongs to where the pack comes from: here, Optuna's storage is the store's own.
    """
    check_tables(packed)
    stored = packed.study(study)
    if stored is None:
        raise damaged(file, f"its ledger has no study {study!r}")
    section = stored.definition.get("study")
    if isinstance(section, dict) and "storage" in section:
        section = {key: value for key, value in section.items() if key != "storage"}
        packed.set_definition(study, {**stored.definition, "study": section})


def check_free(store: Store, ledger: Ledger, study: str) -> None:
    """Raise InputError when the store has a study, an experiment or a model of that name."""
    if ledger.study(study) is not None:
        raise _in_use(study, f"{store.root} already has a study {study!r}")
    experiment = store.client.get_experiment_by_name(study)
    if experiment is not None and UNPACKING_TAG in experiment.tags:
        clear(store, study)  # left by a killed attempt
    elif experiment is not None:
        deleted = " (deleted)" if experiment.lifecycle_stage != "active" else ""
        raise _in_use(study, f"MLflow already has an experiment {study!r}{deleted}")
    if store.client.search_registered_models(f"name = {names.quoted(study)}"):
        raise _in_use(study, f"MLflow already has a registered model {study!r}")


def _in_use(study: str, problem: str) -> InputError:
    hint = f"run `retrial delete {study}` first, or use another store"
    return InputError("unpack", study, problem=problem, hint=hint)


def clear(store: Store, study: str, registered: Iterable[str] | None = None) -> None:
    """Remove what an attempt to unpack a study has created in MLflow."""
    deletion.remove(store, deletion.survey(store, study, made_here=True))
    for name in [study] if registered is None else registered:
        deletion.remove_empty_model(store, name)
