"""Pack a study, and unpack it into another store, completely or not at all."""

import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from nets.errors import InputError
from tracking.ledger import Ledger
from tracking.ledger.copy import copy_study
from tracking.maintenance import deletion
from tracking.maintenance.pack.archive import Manifest, damaged, extract, read_manifest, writing
from tracking.maintenance.pack.export import EXPERIMENT_FILE, export
from tracking.maintenance.pack.restore import UNPACKING_TAG, Restoring
from tracking.store import names
from tracking.store.store import Store, one_line

BESIDE = ".unpack-"
"""Prefix of the folder in a store into which a pack is extracted; the process is named after it."""


def pack(store: Store, ledger: Ledger, study: str, file: Path) -> Manifest:
    """Write a study of the ledger, and what MLflow has of it, into one new file.

    The caller must hold the study's lock. Raises InputError when the file exists or cannot be
    written.
    """
    with writing(file) as writer, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / names.LEDGER
        with contextlib.closing(Ledger(path)) as copy:
            copied = copy_study(ledger, copy, study)
        writer.add_file(names.LEDGER, path)
        recorded = export(store, study, writer)
        manifest = Manifest(
            study=study,
            made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            retrial=names.own_version(),
            counts={"trials": copied["trial"], "epochs": copied["epoch"], **recorded},
        )
        writer.finish(manifest)
    return manifest


def unpack(store: Store, ledger: Ledger, file: Path) -> Manifest:
    """Import the study of a pack into a store that does not have it.

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
        with contextlib.closing(Ledger(folder / names.LEDGER)) as packed:
            _check_ledger(file, packed, manifest.study)
            restoring = Restoring(store, folder)
            try:
                if (folder / EXPERIMENT_FILE).is_file():
                    restoring.run()
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


def _check_ledger(file: Path, packed: Ledger, study: str) -> None:
    """Raise InputError unless the ledger of a pack contains its study."""
    try:
        stored = packed.study(study)
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise damaged(file, f"cannot read its ledger ({one_line(error)})") from error
    if stored is None:
        raise damaged(file, f"its ledger has no study {study!r}")


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
