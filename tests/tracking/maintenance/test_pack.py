"""A packed study arrives in another store unchanged, or not at all."""

import contextlib
import hashlib
import json
import shutil
import sqlite3
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nets.errors import InputError
from tracking.ledger.access import EpochRecord, Ledger
from tracking.maintenance import deletion
from tracking.maintenance.pack import archive, contents, packing
from tracking.maintenance.pack.archive import MANIFEST, read_manifest
from tracking.maintenance.pack.contents import UNPACKING_TAG
from tracking.maintenance.pack.packing import pack, unpack
from tracking.maintenance.pack.restore import Restoring
from tracking.models import registry
from tracking.records import Environment, RecordDamaged, TrialOutcome
from tracking.records.confirmation import RecordedConfirmation
from tracking.runs.delivery import Delivery
from tracking.runs.reader import find_trial, study_run
from tracking.runs.study_run import log_study_figures
from tracking.runs.verdict import Verdict, write_certificate
from tracking.store import names
from tracking.store.store import open_store

STUDY = "digits"
ID = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def first(tmp_path_factory, migrated_database, new_study):
    """A store with a study that has a trial of every state, figures, a certificate, a champion."""
    root = tmp_path_factory.mktemp("first") / "mlruns"
    root.mkdir()
    shutil.copyfile(migrated_database, root / names.MLFLOW_DATABASE)
    store, ledger = open_store(root), Ledger(root / names.LEDGER)
    fill(store, ledger, new_study(ledger))
    pack(store, ledger, STUDY, root.parent / "digits.pack")
    yield SimpleNamespace(store=store, ledger=ledger, file=root.parent / "digits.pack")
    ledger.close()


def fill(store, ledger, trials):
    trials.whole(0)
    trials.whole(1, "pruned", epochs=2)
    trials.add(2)
    trials.finish(2, "failed", model=False, error={"type": "ValueError", "message": "no"})
    trials.add(3)
    trials.epoch(3, 1)
    ledger.add_epoch(STUDY, 3, EpochRecord(2, {"val_loss": 0.1}, {}, 0.1, 2.0), b"a state")
    ledger.attach(STUDY, "evidence", b"\0\1\2")
    study = ledger.study(STUDY)
    delivery = Delivery(store, ledger, study, study.environment)
    assert delivery.deliver() is None
    delivery.end("KILLED")
    best = ledger.trial(STUDY, 0).recorded_run
    write_certificate(store, best, Verdict("exact"), environment=Environment())
    log_study_figures(store, STUDY, {"slice": b"png"})
    model = store.client.get_run(best).outputs.model_outputs[0].model_id
    registry.register(
        store,
        STUDY,
        run_id=best,
        model_id=model,
        description="the winner",
        tags={names.TRIAL_RUN_TAG: best, names.TEST_TAG: "accuracy 0.97"},
    )
    recorded = RecordedConfirmation(best, None, extra={"value": float("nan")})
    ledger.update_notes(STUDY, recorded_confirmation=recorded)


@pytest.fixture
def file(first, tmp_path):
    """A copy of the study's pack."""
    return shutil.copyfile(first.file, tmp_path / "digits.pack")


@pytest.fixture
def there(tmp_path, migrated_database):
    """Another, empty store."""
    root = tmp_path / "there"
    root.mkdir()
    shutil.copyfile(migrated_database, root / names.MLFLOW_DATABASE)
    return open_store(root)


@pytest.fixture
def ledger_there(there):
    """The ledger of the other store."""
    ledger = Ledger(there.root / names.LEDGER)
    yield ledger
    ledger.close()


@pytest.fixture
def unpacked(file, there, ledger_there):
    """The other store, with the study in it."""
    unpack(there, ledger_there, file)
    return there


def test_of_what_mlflow_lacks_a_pack_of_a_study_in_use_has_the_ledgers_part(
    store, ledger, trials, there, ledger_there, tmp_path
):
    """Trial 0 is in MLflow, trial 1 only in part, trial 2 not at all, and trial 3 was lost."""
    trials.whole(0)
    trials.whole(3)
    trials.add(1)
    trials.epoch(1, 1)
    study = ledger.study(STUDY)
    assert Delivery(store, ledger, study, study.environment).deliver() is None
    trials.epoch(1, 2)
    trials.finish(1, "complete")
    trials.whole(2)
    shutil.rmtree(store.root / names.ARTIFACTS / ledger.trial(STUDY, 3).recorded_run)
    manifest = pack(store, ledger, STUDY, tmp_path / "digits.pack", as_it_is=True)
    assert manifest.counts["trials"] == 4
    assert (manifest.counts["runs"], manifest.counts["models"]) == (2, 1)
    unpack(there, ledger_there, tmp_path / "digits.pack")
    lacking = [trial.number for trial in ledger_there.trials(STUDY, unrecorded=True)]
    assert lacking == [1, 2, 3]
    assert ledger_there.model(STUDY, 2) is not None
    study = ledger_there.study(STUDY)
    assert study.notes.recorded is False
    assert Delivery(there, ledger_there, study, study.environment).deliver() is None
    assert [find_trial(there, STUDY, number).value for number in range(4)] == [
        trial.value for trial in ledger.trials(STUDY)
    ]


def is_empty(store, ledger):
    """Whether a store has nothing of the study, and no additional file."""
    folders = {path.name for path in store.root.iterdir()} - {names.ARTIFACTS}
    files = [path for path in (store.root / names.ARTIFACTS).rglob("*") if path.is_file()]
    databases = {names.MLFLOW_DATABASE, names.LEDGER}
    return (
        ledger.study(STUDY) is None
        and store.client.get_experiment_by_name(STUDY) is None
        and not store.client.search_registered_models()
        and {name.removesuffix("-wal").removesuffix("-shm") for name in folders} <= databases
        and not files
    )


# What arrives


def test_unpacked_study_is_recorded_unchanged(unpacked, first, contents):
    before, after = contents(first.store), contents(unpacked)
    for run in (*before.values(), *after.values()):
        run["files"].pop(names.CERTIFICATE_FILE, None)  # it contains the run's id
    assert after == before
    assert UNPACKING_TAG not in unpacked.client.get_experiment_by_name(STUDY).tags


def test_its_ledger_is_copied_exactly(unpacked, first, ledger_there):
    for number in range(4):
        one, other = (each.trial(STUDY, number) for each in (first.ledger, ledger_there))
        assert one.recorded_run != other.recorded_run
        assert {**vars(one), "recorded_run": 0} == {**vars(other), "recorded_run": 0}
        assert first.ledger.epochs(STUDY, number) == ledger_there.epochs(STUDY, number)
    assert ledger_there.checkpoint(STUDY, 3) == (2, b"a state")
    assert ledger_there.attachment(STUDY, "evidence") == b"\0\1\2"
    assert ledger_there.study(STUDY).definition == first.ledger.study(STUDY).definition
    assert ledger_there.study(STUDY).created == first.ledger.study(STUDY).created


def test_ids_and_locations_are_those_of_the_new_store(unpacked, first, ledger_there):
    old = first.ledger.trial(STUDY, 0).recorded_run
    best = find_trial(unpacked, STUDY, "best")
    assert best.run_id == ledger_there.trial(STUDY, 0).recorded_run != old
    assert ledger_there.notes(STUDY).recorded_confirmation.run_id == best.run_id
    run = unpacked.client.get_run(best.run_id)
    assert run.data.tags["mlflow.parentRunId"] == study_run(unpacked, STUDY).info.run_id
    certificate = unpacked.client.download_artifacts(best.run_id, names.CERTIFICATE_FILE)
    assert json.loads(Path(certificate).read_text())["run_id"] == best.run_id
    model = unpacked.client.get_logged_model(run.outputs.model_outputs[0].model_id)
    metadata = (Path(model.artifact_location) / "MLmodel").read_text()
    for part in (model.model_id, best.run_id, model.artifact_location):
        assert part in metadata
    for path in unpacked.root.rglob("*"):
        if path.is_file() and path.suffix in ("", ".json", ".yaml"):
            text = path.read_text()
            assert old not in text
            assert str(first.store.root / names.ARTIFACTS) not in text
    experiment = unpacked.client.get_experiment_by_name(STUDY)
    assert names.trials_page(experiment.experiment_id) in experiment.tags["mlflow.note.content"]


def test_models_and_the_champion_load_without_the_first_store(unpacked, first):
    aside = first.store.root.rename(first.store.root.with_name("gone"))
    try:
        version = unpacked.client.get_model_version_by_alias(STUDY, names.CHAMPION)
        best = find_trial(unpacked, STUDY, "best").run_id
        assert version.tags == {names.TRIAL_RUN_TAG: best, names.TEST_TAG: "accuracy 0.97"}
        assert version.description == "the winner"
        assert registry.load(unpacked, STUDY).arrays["factor"] == np.float32(2)
    finally:
        aside.rename(first.store.root)


def test_an_unpacked_study_can_be_continued(
    unpacked, ledger_there, environment, contents, quick_figures
):
    outcome = TrialOutcome(value=0.9, epoch=2, reason="finished")
    ledger_there.finish_trial(STUDY, 3, "complete", outcome, None)
    delivery = Delivery(unpacked, ledger_there, ledger_there.study(STUDY), environment)
    assert delivery.deliver() is None
    delivery.end("FINISHED")
    found = contents(unpacked)
    assert len(found) == 5
    assert found["trial 0003"]["tags"][names.STATE_TAG] == "complete"
    steps = [step for step, _, _ in found[names.study_run_name(STUDY)]["metrics"]["best_value"]]
    assert steps == [0, 1, 2, 3]


def test_what_mlflow_did_not_have_yet_is_delivered_there(
    store, ledger, trials, there, ledger_there, tmp_path, environment, quick_figures, contents
):
    trials.whole(0)
    pack(store, ledger, STUDY, tmp_path / "digits.pack")
    unpack(there, ledger_there, tmp_path / "digits.pack")
    assert there.client.get_experiment_by_name(STUDY) is None
    delivery = Delivery(there, ledger_there, ledger_there.study(STUDY), environment)
    assert delivery.deliver() is None
    assert len(contents(there)["trial 0000"]["models"]) == 1


def test_the_manifest_lists_the_contents(file):
    manifest = read_manifest(file)
    assert manifest.study == STUDY
    assert manifest.counts == {"trials": 4, "epochs": 8, "runs": 5, "models": 2}
    with zipfile.ZipFile(file) as archive:
        assert {*manifest.files, MANIFEST} == set(archive.namelist())


# What is refused, and leaves nothing


def test_a_file_is_never_overwritten(first, tmp_path):
    path = tmp_path / "precious"
    path.write_text("precious")
    with pytest.raises(InputError, match=r"file exists: .*precious; choose the name of a new file"):
        pack(first.store, first.ledger, STUDY, path)
    assert path.read_text() == "precious"


def test_a_pack_that_is_interrupted_leaves_no_file(first, tmp_path, monkeypatch):
    folder = tmp_path / "empty"
    folder.mkdir()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(packing, "export", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack(first.store, first.ledger, STUDY, folder / "digits.pack")
    assert list(folder.iterdir()) == []


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    """Change one byte of a file inside the archive, so that its CRC is wrong."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(names.LEDGER)
    content[info.header_offset + 200] ^= 1
    path.write_bytes(content)


def rewrite(path, change):
    """Write the archive again with other contents, and their CRCs."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def changed_file(path):
    rewrite(path, lambda files: files.update({"mlflow/runs.json": b"[]"}))


def missing_file(path):
    rewrite(path, lambda files: files.pop("mlflow/runs.json"))


def with_manifest(**values):
    def change(files):
        files[MANIFEST] = json.dumps({**json.loads(files[MANIFEST]), **values}).encode()

    return lambda path: rewrite(path, change)


NO_MANIFEST = r"damaged or not a pack \(no valid manifest\), expected a file written by"


def without_counts(path):
    def change(files):
        manifest = json.loads(files[MANIFEST])
        del manifest["counts"]
        files[MANIFEST] = json.dumps(manifest).encode()

    rewrite(path, change)


def with_ledger(statements):
    """Return a function that runs statements in the ledger of a pack and updates the manifest."""

    def change(files):
        with contextlib.closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(in_one_file(files[names.LEDGER]))
            database.executescript(statements)
            files[names.LEDGER] = database.serialize()
        manifest = json.loads(files[MANIFEST])
        manifest["files"][names.LEDGER] = {
            "bytes": len(files[names.LEDGER]),
            "sha256": hashlib.sha256(files[names.LEDGER]).hexdigest(),
        }
        files[MANIFEST] = json.dumps(manifest).encode()

    return lambda path: rewrite(path, change)


def in_one_file(database):
    """Return a database that does not use a write-ahead log."""
    return database[:18] + b"\x01\x01" + database[20:]


def test_other_tables_and_columns_do_not_reach_sql_statements(file, there, ledger_there):
    with_ledger(
        """CREATE TABLE "x(study) SELECT 1; --" (study TEXT);
        ALTER TABLE trial ADD COLUMN "a, b" TEXT; CREATE TABLE mine (study TEXT)"""
    )(file)
    unpack(there, ledger_there, file)
    assert len(ledger_there.trials(STUDY)) == 4


def test_views_are_not_read_in_place_of_tables(file, there, ledger_there):
    with_ledger(
        """DROP TABLE epoch; CREATE VIEW epoch AS WITH RECURSIVE n(x) AS
        (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT 'digits' AS study, 0 AS trial, x AS number,
        '{}' AS metrics, '{}' AS digests, 0.0 AS seconds, 0.0 AS at FROM n"""
    )(file)
    with pytest.raises(InputError, match="is damaged: table epoch: is not one of a ledger"):
        unpack(there, ledger_there, file)
    assert is_empty(there, ledger_there)


def inflated(declared, method=zipfile.ZIP_DEFLATED, length=50_000_000):
    """Return a function that adds a file of zeros to a pack, and declares its length."""
    name = f"mlflow/artifacts/{ID}/zeros"

    def damage(path):
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        manifest = json.loads(files[MANIFEST])
        manifest["files"][name] = {"bytes": declared, "sha256": "0" * 64}
        files[MANIFEST] = json.dumps(manifest).encode()
        with zipfile.ZipFile(path, "w", method) as archive:
            for each, content in {**files, name: bytes(length)}.items():
                archive.writestr(each, content, method if each == name else zipfile.ZIP_DEFLATED)

    return damage


@pytest.mark.parametrize(
    ("damage", "message", "most"),
    [
        (inflated(10), "zeros has more than the 10 bytes declared", 2 << 20),
        (inflated(1 << 40), r"its [0-9]+ bytes declare [0-9]+ bytes of files", 0),
        (inflated(10, zipfile.ZIP_LZMA), "zeros is neither stored nor deflated", 0),
        (inflated(60_000_000), "zeros has less than the 60000000 bytes declared", 50_000_000),
    ],
)
def test_no_more_is_extracted_than_is_declared(
    damage, message, most, file, there, ledger_there, monkeypatch
):
    extracted = []
    copy = archive._copy

    def watched(*arguments):
        digest, length = copy(*arguments)
        extracted.append(length)
        return digest, length

    monkeypatch.setattr(archive, "_copy", watched)
    damage(file)
    with pytest.raises(InputError, match=message):
        unpack(there, ledger_there, file)
    assert max(extracted, default=0) <= max(most, 1 << 20)
    assert is_empty(there, ledger_there)


def test_json_files_have_a_limit_of_their_own(file, there, ledger_there):
    def change(files):
        files["mlflow/runs.json"] = b"[" + b"{}," * 30_000_000 + b"{}]"
        manifest = json.loads(files[MANIFEST])
        content = files["mlflow/runs.json"]
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"]["mlflow/runs.json"] = {"bytes": len(content), "sha256": digest}
        files[MANIFEST] = json.dumps(manifest).encode()

    with zipfile.ZipFile(file) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match=r"declare 90000004 bytes of mlflow/runs\.json"):
        unpack(there, ledger_there, file)


HOSTILE = [
    "/etc/passwd", "../../outside", "a\\..\\b", "a\0b", "two\nlines", "x" * 10_000, "\ud800",
    "\x1b[2J", "", None, 3, 1.5, True, [], {}, [["x"]], {"a": [None]}, 2**64,
]  # fmt: skip
REFUSED = {
    "id": HOSTILE,
    "run": [value for value in HOSTILE if value is not None],
    "model": [value for value in HOSTILE if value is not None],
    "source": HOSTILE,
    "version": HOSTILE,
    "name": [v for v in HOSTILE if v not in ("/etc/passwd", "../../outside", "a\\..\\b")],
    "location": [v for v in HOSTILE if v not in ("/etc/passwd", "a\\..\\b")],
    "status": HOSTILE,
}
"""Values that are refused by the key. Names and locations are never used as the path of a file."""


def places(value, path=()):
    """Yield the path of every value in a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield (*path, key)
        if isinstance(value[key], dict | list):
            yield from places(value[key], (*path, key))


@pytest.fixture
def extracted(file, tmp_path):
    """The files of the pack in a folder."""
    folder = tmp_path / "extracted"
    folder.mkdir()
    archive.extract(file, folder)
    return folder


@pytest.mark.parametrize("name", ["experiment", "runs", "models", "registry"])
def test_every_field_is_checked_before_it_is_used(name, extracted):
    path = extracted / "mlflow" / f"{name}.json"
    good = path.read_text()
    assert contents.read(extracted, STUDY) is not None
    for place in list(places(json.loads(good))):
        for value in HOSTILE:
            values = json.loads(good)
            *above, last = place
            inside = values
            for key in above:
                inside = inside[key]
            inside[last] = value
            path.write_text(json.dumps(values))
            refused = value in REFUSED.get(last, []) and not {"tags", "inputs"} & set(above)
            if (error := refusal(extracted)) is None:
                assert not refused, (place, value)
            else:
                assert len(error) < 300
                assert error.isprintable()


def refusal(extracted):
    """Return why an extracted pack is refused, or None; any other exception is a bug."""
    try:
        contents.read(extracted, STUDY)
    except RecordDamaged as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "/tmp/x"}, "run.id: got '/tmp/x', expected an id of MLflow"),
        ({"id": ID + "/../../x"}, "run.id: got '0123456789"),
        ({"status": "ASLEEP"}, "PackedRun.status: got 'ASLEEP', expected RUNNING, "),
        ({"name": "\x1b[2J"}, r"run.name: got '\\x1b\[2J', expected a printable name"),
        ({"outputs": [[f"m-{ID}", 0]]}, "run.outputs: got 'm-0123456789"),
        ({"metrics": {"a": [[1, 2]]}}, "run.metrics: got .*, expected step, time and value of a"),
        ({"metrics": {"a": [[1, 2, 10**400]]}}, "PackedRun.metrics: got 1000.*, expected a number"),
        ({"metrics": {"../a": []}}, "run.metrics: got '../a', expected a name of MLflow"),
        ({"started": -1}, "run.times: got -1, expected a time"),
        ({"location": "ab"}, "run.location: got 'ab', expected a location"),
    ],
)
def test_a_wrong_run_is_refused_before_anything_is_imported(
    change, message, file, there, ledger_there
):
    def damage(files):
        runs = json.loads(files["mlflow/runs.json"])
        runs[1] |= change
        files["mlflow/runs.json"] = json.dumps(runs).encode()
        manifest = json.loads(files[MANIFEST])
        content = files["mlflow/runs.json"]
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"]["mlflow/runs.json"] = {"bytes": len(content), "sha256": digest}
        files[MANIFEST] = json.dumps(manifest).encode()

    rewrite(file, damage)
    with pytest.raises(InputError, match=message):
        unpack(there, ledger_there, file)
    assert is_empty(there, ledger_there)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "damaged or not a pack"),
        (flip, "is damaged"),
        (changed_file, "mlflow/runs.json has less than the [0-9]+ bytes declared"),
        (missing_file, "mlflow/runs.json is missing"),
        (lambda path: path.write_text("{}"), r"damaged or not a pack \(File is not a zip file\)"),
        (lambda path: path.unlink(), "^pack: no such file: '.*digits.pack'$"),
        (with_manifest(format="a tune"), NO_MANIFEST),
        (with_manifest(version=2), "by a later retrial, its version is 2, expected at most 1"),
        (
            with_manifest(files={"mlflow/outside": {"bytes": 0, "sha256": "0" * 64}}),
            "is damaged: 'mlflow/outside' is not a path inside a pack",
        ),
        (with_manifest(study="letters"), "its ledger has no study 'letters'"),
        (with_manifest(study=7), NO_MANIFEST),
        (with_manifest(made=None), NO_MANIFEST),
        (with_manifest(counts=None), NO_MANIFEST),
        (with_manifest(counts={"trials": "many"}), NO_MANIFEST),
        (with_manifest(files=[names.LEDGER]), NO_MANIFEST),
        (with_manifest(files={names.LEDGER: {"bytes": 3}}), NO_MANIFEST),
        (with_manifest(files={names.LEDGER: 3}), NO_MANIFEST),
        (without_counts, NO_MANIFEST),
        (
            with_ledger("ALTER TABLE study RENAME COLUMN notes TO mine"),
            "is damaged: table study: is not one of a ledger",
        ),
        (
            with_ledger("UPDATE study SET definition = '{'"),
            "study 'digits' is damaged in the ledger: definition: is no valid JSON",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_damaged_file_is_refused_before_anything_is_imported(
    damage, message, file, there, ledger_there
):
    damage(file)
    with pytest.raises(InputError, match=message):
        unpack(there, ledger_there, file)
    assert is_empty(there, ledger_there)


@pytest.mark.parametrize(
    "name",
    [
        *("../outside", "/outside", "a\\..\\outside", "outside", "ledger.db-journal"),
        *(
            f"mlflow/artifacts/{ID}/{name}"
            for name in ("../outside", "a\\b", "\x1b[2J", "/a", "\ud800", "a" * 300)
        ),
    ],
)
def test_a_file_outside_of_the_pack_is_refused(name, file, there, ledger_there):
    def change(files):
        manifest = json.loads(files[MANIFEST])
        manifest["files"][name] = {"bytes": 0, "sha256": "0" * 64}
        files[MANIFEST] = json.dumps(manifest).encode()

    rewrite(file, change)
    with pytest.raises(InputError, match="is not a path inside a pack"):
        unpack(there, ledger_there, file)
    assert is_empty(there, ledger_there)
    assert not (there.root / "outside").exists()


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (
            lambda store, ledger: ledger.add_study(STUDY, {}, Environment()),
            "already has a study 'digits'",
        ),
        (
            lambda store, ledger: store.client.create_experiment(STUDY),
            "MLflow already has an experiment 'digits'",
        ),
        (
            lambda store, ledger: store.client.delete_experiment(
                store.client.create_experiment(STUDY)
            ),
            r"MLflow already has an experiment 'digits' \(deleted\)",
        ),
        (
            lambda store, ledger: store.client.create_registered_model(STUDY),
            "MLflow already has a registered model 'digits'",
        ),
    ],
    ids=["ledger", "experiment", "deleted experiment", "registered model"],
)
def test_a_name_that_is_taken_is_refused(take, message, file, there, ledger_there):
    take(there, ledger_there)
    with pytest.raises(InputError, match=f"{message}; run `retrial delete digits` first"):
        unpack(there, ledger_there, file)
    assert not any(path.name.startswith(packing.BESIDE) for path in there.root.iterdir())


@pytest.mark.parametrize(
    "step", ["tables.insert", "Restoring._move_files", "Restoring._register", "shutil.move"]
)
def test_after_a_failure_everything_is_removed_again(step, file, there, ledger_there, monkeypatch):
    def broken(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(f"tracking.maintenance.pack.restore.{step}", broken)
    with pytest.raises(RuntimeError, match="unpack: No space left on device; nothing was imported"):
        unpack(there, ledger_there, file)
    assert is_empty(there, ledger_there)


def test_after_a_failure_of_the_ledger_mlflow_has_nothing(file, there, ledger_there, monkeypatch):
    monkeypatch.setattr(packing, "copy_study", lambda *_: 1 / 0)
    with pytest.raises(RuntimeError, match="division by zero"):
        unpack(there, ledger_there, file)
    assert is_empty(there, ledger_there)


def test_a_killed_attempt_is_removed_by_the_next(
    file, there, ledger_there, monkeypatch, contents, first
):
    with monkeypatch.context() as patched:
        patched.setattr(Restoring, "_register", lambda *_: 1 / 0)
        patched.setattr(packing, "clear", lambda *_: None)  # as after SIGKILL
        with pytest.raises(RuntimeError):
            unpack(there, ledger_there, file)
    assert UNPACKING_TAG in there.client.get_experiment_by_name(STUDY).tags
    unpack(there, ledger_there, file)
    assert contents(there).keys() == contents(first.store).keys()


# Removing


def rows(store):
    """The number of rows of every table of MLflow's database that has any."""
    with contextlib.closing(sqlite3.connect(store.root / names.MLFLOW_DATABASE)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master "
                                                       "WHERE type = 'table'")]  # fmt: skip
        counts = {t: database.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables}
    return {table: count for table, count in counts.items() if count}


def test_a_survey_counts_and_changes_nothing(unpacked, contents):
    before = contents(unpacked)
    found = deletion.survey(unpacked, STUDY)
    assert (len(found.runs), len(found.models), len(found.versions)) == (5, 2, 1)
    files = [path for path in (unpacked.root / names.ARTIFACTS).rglob("*") if path.is_file()]
    assert (found.files, found.bytes) == (len(files), sum(path.stat().st_size for path in files))
    assert contents(unpacked) == before


def test_nothing_of_a_removed_study_is_left(unpacked, store):
    assert deletion.remove(unpacked, deletion.survey(unpacked, STUDY))
    left, empty = rows(unpacked), rows(store)
    # MLflow keeps what inputs and outputs link, and the names of datasets go with the experiment.
    assert {t: n for t, n in left.items() if t not in ("inputs", "input_tags")} == empty
    assert not [path for path in (unpacked.root / names.ARTIFACTS).rglob("*") if path.is_file()]
    assert deletion.survey(unpacked, STUDY) == deletion.Holdings()


@pytest.mark.parametrize("deleted", [True, False])
def test_a_removal_that_was_interrupted_is_finished_by_the_next(deleted, unpacked, monkeypatch):
    if deleted:
        experiment = unpacked.client.get_experiment_by_name(STUDY)
        unpacked.client.delete_experiment(experiment.experiment_id)
    erase, calls = deletion.erase, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        erase(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(deletion, "erase", interrupted)
        with pytest.raises(KeyboardInterrupt):
            deletion.remove(unpacked, deletion.survey(unpacked, STUDY))
    deletion.remove(unpacked, deletion.survey(unpacked, STUDY))
    assert deletion.survey(unpacked, STUDY) == deletion.Holdings()
    assert not [path for path in (unpacked.root / names.ARTIFACTS).rglob("*") if path.is_file()]


def test_behind_a_server_the_name_can_be_used_again(unpacked, monkeypatch):
    monkeypatch.setattr(deletion, "can_erase", lambda store: False)
    assert deletion.remove(unpacked, deletion.survey(unpacked, STUDY)) is False
    assert unpacked.client.get_experiment_by_name(STUDY) is None
    assert unpacked.client.create_experiment(STUDY)
