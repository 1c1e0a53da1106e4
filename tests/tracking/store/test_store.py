"""A store is opened or created completely, or an error leaves no files."""

import contextlib
import os
import shutil
import socket
import stat
import sys

import pytest
from programs import run_to_end

from tracking.store import database, names
from tracking.store.errors import StoreUnavailable
from tracking.store.store import (
    check_reachable,
    check_writable,
    one_line,
    open_store,
    tracking_uri,
    without_password,
)


def everything_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_importing_the_package_does_not_import_mlflow():
    modules = ("store.names", "ledger.access", "store.store", "provenance.environment",
               "runs.recorder", "runs.reader", "runs.verdict", "store.server",
               "confirmation.run")  # fmt: skip
    code = f"import sys, {', '.join(f'tracking.{name}' for name in modules)}; " + (
        "print(sorted({'mlflow', 'matplotlib', 'optuna', 'joblib'} & set(sys.modules)))"
    )
    assert run_to_end([sys.executable, "-c", code], check=True).stdout == "[]\n"


def test_opening_a_new_store_is_silent_and_sends_no_telemetry(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from tracking.store.store import open_store;"
        "open_store(Path(sys.argv[1])).close();"
        "import mlflow.telemetry.client as t; assert t.get_telemetry_client() is None;"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    process = run_to_end(
        [sys.executable, "-c", code, tmp_path / "deep" / "mlruns"], env=environment, cwd=tmp_path
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    assert everything_below(tmp_path) == ["deep", "deep/mlruns", "deep/mlruns/mlflow.db"]


@pytest.mark.parametrize("name", ["a?b", "a%20b", "what%3Fever/mlruns"])
def test_a_path_whose_url_means_another_is_refused_with_nothing_left(tmp_path, name):
    with pytest.raises(StoreUnavailable, match=r"contains '.*', a part of URLs .* without '\?'"):
        open_store(tmp_path / name)
    assert everything_below(tmp_path) == []


def test_a_path_with_strange_characters_that_mean_themselves_is_a_store(
    tmp_path, migrated_database
):
    root = tmp_path / "50% of a#b;c & 'ü'"
    root.mkdir()
    shutil.copyfile(migrated_database, root / names.MLFLOW_DATABASE)
    client = open_store(root).client
    run = client.create_run(client.create_experiment("x", str(root / names.ARTIFACTS)))
    client.log_text(run.info.run_id, "12345", "note.txt")
    assert [path.name for path in (root / names.ARTIFACTS).rglob("*.txt")] == ["note.txt"]
    assert [path.name for path in tmp_path.iterdir()] == [root.name]


def test_a_store_can_be_opened_again_and_again(store):
    again = open_store(store.root)
    assert again.uri == store.uri == f"sqlite:///{store.root}/mlflow.db"
    assert again.artifact_location == str(store.root / "artifacts")


def test_of_two_that_create_a_store_at_once_the_first_wins(
    tmp_path, monkeypatch, migrated_database
):
    link = os.link

    def be_second(beside, final):
        final.write_bytes(migrated_database.read_bytes())
        link(beside, final)

    monkeypatch.setattr("tracking.store.database.os.link", be_second)
    store = open_store(tmp_path)
    assert store.client.search_experiments()
    assert not [name for name in everything_below(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize("fails", [False, True])
def test_closing_leaves_one_file_that_can_be_copied(store, fails):
    with contextlib.suppress(ZeroDivisionError), store as opened:
        assert opened is store
        store.client.create_experiment("one", store.artifact_location)
        if fails:
            raise ZeroDivisionError
    assert not list(store.root.glob(f"{names.MLFLOW_DATABASE}-*"))
    assert store.client.get_experiment_by_name("one")  # it opens it again


def test_commits_do_not_wait_for_the_disk_however_often_a_store_is_opened(store):
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for opened in (store, open_store(store.root), open_store(store.root)):
        assert opened.client.search_experiments()
        engine = SqlAlchemyStore._engine_map[store.uri]
        with engine.connect() as connection:
            normal = connection.exec_driver_sql("PRAGMA synchronous").scalar()
        assert normal == 1
        assert list(engine.pool.dispatch.connect).count(database._commit_without_sync) == 1
    store.sync()
    store.close()
    store.sync()  # there is no log any more


def test_the_environment_can_name_another_store(tmp_path, monkeypatch, migrated_database):
    uri = f"sqlite:///{migrated_database}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    store = open_store(tmp_path / "mlruns")
    assert tracking_uri(tmp_path) == store.uri == uri
    assert store.artifact_location == str(tmp_path / "mlruns" / "artifacts")
    assert everything_below(tmp_path) == []


@pytest.mark.parametrize("uri", ["http://ada:secret@127.0.0.1:9", "/tmp/file-store", "no://where"])
def test_a_tracking_uri_that_cannot_be_opened_is_refused(tmp_path, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(StoreUnavailable, match=r"cannot open .*MLFLOW_TRACKING_URI") as refusal:
        open_store(tmp_path)
    assert "secret" not in str(refusal.value)
    assert everything_below(tmp_path) == []


def test_a_folder_that_can_be_written_passes_and_stays_unchanged(tmp_path):
    check_writable(tmp_path)
    check_writable(tmp_path / "not" / "yet")
    assert everything_below(tmp_path) == []


def test_a_file_where_the_folder_should_be_is_refused(tmp_path):
    (tmp_path / "mlruns").write_text("mine")
    for path in (tmp_path / "mlruns", tmp_path / "mlruns" / "deeper"):
        with pytest.raises(StoreUnavailable, match="Not a directory") as refused:
            check_writable(path)
        assert refused.value.problem.startswith(f"cannot write {path}")
        assert refused.value.expected == "a folder that this user can write to"


@pytest.fixture
def cannot_write(monkeypatch):
    """Refuse to write in a folder, also to root, who is exempt from permissions."""

    def protect(folder):
        def refuse(*_, dir, **__):
            raise PermissionError(13, "Permission denied")

        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
        monkeypatch.setattr("tracking.store.store.tempfile.TemporaryFile", refuse)

    return protect


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, cannot_write):
    cannot_write(tmp_path)
    with pytest.raises(StoreUnavailable, match=r"store: cannot write .* \(Permission denied\)"):
        check_writable(tmp_path)


def test_a_database_that_cannot_be_written_is_refused(root, monkeypatch):
    monkeypatch.setattr("tracking.store.store.os.access", lambda path, _: path.name != "mlflow.db")
    with pytest.raises(StoreUnavailable, match=r"cannot write .*mlflow\.db \(Permission denied"):
        check_writable(root)


def test_a_file_that_is_no_database_is_refused(root):
    (root / names.MLFLOW_DATABASE).write_text("not a database " * 100)
    with pytest.raises(StoreUnavailable, match=r"cannot open sqlite.*not a database"):
        open_store(root)


def test_a_server_that_is_not_there_is_refused_before_anything_is_stored(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@{address}/")
        with pytest.raises(StoreUnavailable, match=r"no response from .*[Cc]onnection refused"):
            check_reachable()


@pytest.mark.parametrize("uri", ["", "sqlite:///mlflow.db", "databricks"])
def test_only_a_server_is_asked_whether_it_is_there(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    check_reachable()


def test_an_error_is_shown_on_one_line_of_limited_length():
    assert one_line(ValueError("two\n  lines")) == "two lines"
    assert one_line(ValueError()) == "ValueError"
    assert one_line(ValueError("x" * 500)).endswith("...")
    assert len(one_line(ValueError("x" * 500))) == 200


def test_passwords_are_left_out_of_uris_only():
    assert without_password("at http://a:b@c/d and e@f") == "at http://c/d and e@f"
