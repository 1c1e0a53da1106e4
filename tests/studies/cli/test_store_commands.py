"""`pack`, `unpack`, `delete` and `gc` as a person meets them."""

import contextlib
import io
import json
import sys

import optuna
import pytest
from drivers import ledger_of
from mlflow_server import MLflowServer
from stored_studies import a_definition, a_search

from studies.analysis.stored_study import StoredStudy
from studies.cli import gc, prompts
from studies.cli.main import main
from studies.definition.space import Parameter
from studies.recording import optuna_storage
from tracking.ledger import lock
from tracking.maintenance.pack import packing
from tracking.store import names
from tracking.store.store import open_store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload``"),  # SQLAlchemy's to MLflow
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred"),  # MLflow's to models
]


@pytest.fixture
def store(tmp_path):
    """A store with a study that looks searched."""
    ledger = ledger_of(tmp_path / "store")
    a_search(ledger, a_definition(), ["complete"] * 3)
    ledger.close()
    return tmp_path / "store"


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command in this process, which has MLflow already; returns what it printed."""
    monkeypatch.setattr("sys.stdin", io.StringIO())  # nobody can be asked

    def run(*arguments, code=0, server=None, cwd="."):
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            if server is not None:
                patch.setenv("MLFLOW_TRACKING_URI", server)
            capsys.readouterr()
            ended = main([*map(str, arguments)])
        said = capsys.readouterr()
        assert ended == code, said.out + said.err
        return said.out + said.err

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pack", "digit", "FILE"], "study: no study 'digit' in "),
        (["unpack", "FILE"], "pack: no such file: 'FILE'"),
    ],
)
def test_a_wrong_request_is_refused(arguments, message, store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--store", str(store)]) == 2
    assert capsys.readouterr().err.startswith(f"retrial: {message}")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("arguments", [["pack", "digits", "FILE"], ["delete", "digits"], ["gc"]])
def test_a_store_that_is_none_is_refused(arguments, tmp_path, capsys):
    assert main([*arguments, "--store", str(tmp_path / "none")]) == 2
    assert "has no studies, expected a store" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["pack", "digits", "FILE"], ["delete", "digits", "--yes"]])
def test_a_study_that_is_in_use_is_left_alone(arguments, store, capsys):
    with lock.hold(store / names.LEDGER, "digits", "confirmed"):
        assert main([*arguments, "--store", str(store)]) == 2
    assert "digits is being confirmed by process" in capsys.readouterr().err


def test_a_study_that_is_searched_while_gc_asks_is_left_alone(store, capsys, monkeypatch):
    client = open_store(store).client
    experiment = client.create_experiment(
        "digits", str(store / names.ARTIFACTS), tags={names.KIND_TAG: names.STUDY_KIND}
    )
    run = client.create_run(experiment, tags={names.KIND_TAG: names.TRIAL_KIND})
    with contextlib.ExitStack() as held:

        def agreed(yes):
            held.enter_context(lock.hold(store / names.LEDGER, "digits", "searched"))
            return True

        monkeypatch.setattr(gc, "agreed", agreed)
        assert main(["gc", "--store", str(store)]) == 0
    assert "left alone: study: digits is being searched by" in capsys.readouterr().out
    assert client.get_run(run.info.run_id).info.status == "RUNNING"


def test_delete_names_what_it_keeps_and_refuses_what_is_no_study(store, capsys):
    client = open_store(store).client
    for name in ("digits", "mine"):
        client.create_run(client.create_experiment(name), run_name="by hand")
    assert main(["delete", "mine", "--yes", "--store", str(store)]) == 2
    assert main(["delete", "digits", "--yes", "--store", str(store)]) == 0
    kept = "kept    the experiment, with what retrial did not create: run by hand"
    assert kept in capsys.readouterr().out


def test_locks_that_are_held_are_known(store):
    ledger = ledger_of(store)
    with lock.hold(store / names.LEDGER, "digits", "searched"):
        assert lock.held(ledger) == {"digits"}
    assert lock.held(ledger) == set()
    ledger.close()


@pytest.mark.parametrize(
    ("answer", "agreed"), [("y", True), (" YES ", True), ("", False), ("n", False), ("what", False)]
)
def test_only_yes_means_yes(answer, agreed, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert prompts.agreed(yes=False) is agreed


def test_optunas_storage_is_looked_into_and_never_made(store, tmp_path):
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    assert optuna_storage.trials_in(url, "digits") is None
    optuna_storage.remove(url, "digits")
    assert not (tmp_path / "optuna.db").exists()
    ledger = ledger_of(store)
    study = StoredStudy(ledger, ledger.study("digits")).study
    storage = optuna_storage.open_storage(url)
    optuna_storage.Target(storage, study).append_finished(ledger)
    optuna_storage.close_storage(storage)
    ledger.close()
    assert optuna_storage.trials_in(url, "digits") == 3
    assert optuna_storage.trials_in(url, "letters") is None
    optuna_storage.remove(url, "digits")
    assert optuna_storage.trials_in(url, "digits") is None


SMALL = """
[study]
trials = 3
window = 2
pruner = { name = "none" }
[training]
epochs = 2
[space]
dropout = { low = 0.0, high = 0.5 }
"""


@pytest.fixture
def small(tmp_path):
    """The file of a study that takes a second."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def untrusted(store, tmp_path):
    """A pack that names modules and a storage, and a folder that has these modules."""
    (folder := tmp_path / "folder").mkdir()
    (folder / "trap.py").write_text("from pathlib import Path\nPath('imported').touch()\n")
    ledger = ledger_of(store)
    definition = ledger.study("digits").definition
    modules = {"settings": "trap:Settings", "objective": "trap:train"}
    section = {**definition["study"], **modules, "storage": f"sqlite:///{folder / 'elsewhere.db'}"}
    ledger.set_definition("digits", {**definition, "study": section})
    with open_store(store) as opened:
        packing.pack(opened, ledger, "digits", tmp_path / "digits.pack")
    ledger.close()
    return tmp_path / "digits.pack", folder


def test_a_pack_is_read_without_its_modules_and_its_storage(
    command, untrusted, tmp_path, monkeypatch
):
    monkeypatch.setattr("sys.path", sys.path[:])
    file, folder = untrusted
    there = ["--store", tmp_path / "there"]
    assert command("unpack", file, *there, cwd=folder).startswith("digits: 3 trials, 30 epochs")
    assert "digits: 3 of 20 trials" in command("show", "digits", *there, cwd=folder)
    assert {path.name for path in folder.iterdir()} == {"trap.py"}
    ledger = ledger_of(tmp_path / "there")
    section = ledger.study("digits").definition["study"]
    ledger.close()
    assert (section["settings"], "storage" in section) == ("trap:Settings", False)
    assert optuna_storage.trials_in(names.optuna_uri(tmp_path / "there"), "digits") == 3
    # To train, the module is imported, and what it has is no class of settings.
    said = command("confirm", "digits", *there, cwd=folder, code=2)
    assert "retrial: study.settings: got 'trap:Settings', but trap has no Settings" in said
    assert (folder / "imported").exists()


TABLES = {"definition": "study", "notes": "study", "metrics": "epoch"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "definition = '[]'",
            "study 'digits' is damaged in the ledger: StudyRecord.def",
        ),
        ("definition = '{}'", "definition.study: got None, expected a table"),
        ("notes = '[]'", "StudyNotes: got [], expected an object"),
        (
            "outcome = 'x'",
            "trial 0 of study 'digits' is damaged in the ledger: outcome: is ",
        ),
        ("parameters = '{\"a\": 1}'", "parameters: got {'a': 1}, expected values of the space"),
        ("number = number + 7", "trial 7 of study 'digits' is damaged in the ledger: number: "),
        (
            'notes = \'{"warm_start": [{"parameters": {"a": 1}, "state": "complete", "value": 1,'
            ' "intermediate": []}]}\'',
            "notes: the trials of the warm start are damaged",
        ),
        ("notes = x'7b7d'", "study.notes: is no text"),
        ("metrics = '[1]'", "EpochRecord.metrics: got [1], expected an object"),
    ],
)
def test_a_damaged_ledger_is_refused_in_a_pack_and_named_in_a_store(
    change, message, command, untrusted, store, tmp_path
):
    ledger = ledger_of(store)
    a_search(ledger, a_definition(name="other"), ["complete"])
    with ledger.transaction() as connection:
        column = change.partition(" ")[0]
        table = TABLES.get(column, "trial")
        name = "name" if table == "study" else "study"
        connection.execute(f"UPDATE {table} SET {change} WHERE {name} = 'digits'")
    with open_store(store) as opened:
        packing.pack(opened, ledger, "digits", tmp_path / "damaged.pack")
    ledger.close()
    said = command("unpack", tmp_path / "damaged.pack", "--store", tmp_path / "there", code=2)
    assert message in said
    assert said.count("\n") == 1
    assert "no study 'digits'" in command("show", "digits", "--store", tmp_path / "there", code=2)
    if message.startswith(("study ", "trial 0", "definition", "StudyNotes", "EpochRecord")):
        assert message in command("show", "digits", "--json", "--store", store, code=2)
    assert "other: 1 of 20 trials" in command("show", "other", "--store", store)


def test_what_a_store_contains_cannot_control_the_terminal(command, store):
    ledger = ledger_of(store)
    outcome = json.dumps(
        {"error": {"type": "E", "message": "\x1b[2J\x1b]0;title\x07" + "x" * 9000}}
    )
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET state = 'failed', outcome = ?", (outcome,))
    ledger.close()
    said = command("show", "digits", "--store", store)
    assert r"trial 0 failed: E: \x1b[2J\x1b]0;title\x07xxx" in said
    assert max(map(len, said.splitlines())) < 2100


@pytest.fixture
def server(tmp_path):
    """An MLflow server with artifacts through the server; its address."""
    server = MLflowServer(f"sqlite:///{tmp_path / 'server.db'}", tmp_path / "files of the server")
    server.start()
    return server.url


@pytest.mark.slow
def test_a_study_moves_to_a_server_and_back(command, small, server, tmp_path):
    here, there = ["--store", tmp_path / "here"], ["--store", tmp_path / "there"]
    command("search", small, "--trials", 2, *here)
    command("pack", "small", tmp_path / "small.pack", *here)
    command("unpack", tmp_path / "small.pack", *there, server=server)
    assert "exact" in command("reproduce", "best", "--study", "small", *there, server=server)
    command("pack", "small", tmp_path / "again.pack", *there, server=server)
    assert "is clean" in command("gc", *there, server=server)
    said = command("delete", "small", "--yes", *there, server=server)
    assert "the server keeps the rows of deleted runs until `mlflow gc` runs there" in said
    files = tmp_path / "files of the server"
    assert not [path for path in files.rglob("*") if path.is_file()]
    command("unpack", tmp_path / "again.pack", *there, server=server)  # the name is free again
    back = ["--store", tmp_path / "back"]
    command("unpack", tmp_path / "again.pack", *back)
    assert "exact" in command("reproduce", "best", "--study", "small", *back)


@pytest.mark.slow
def test_a_study_moves_to_another_store_goes_on_there_and_is_deleted(command, small, tmp_path):
    here, there = ["--store", tmp_path / "here"], ["--store", tmp_path / "there"]
    command("search", small, *here)
    command("train", "small", "--set", "epochs=1", *here)
    assert "exact" in command("reproduce", "0", "--study", "small-train", *here)
    figures = {p.stem for p in (tmp_path / "here").rglob("figures/*.png")}
    assert {"optimization_history", "slice", "timeline"} <= figures

    # Its file stays here.
    said = command("pack", "small", tmp_path / "small.pack", *here)
    assert said.startswith("small: 3 trials, 6 epochs, 4 runs, 3 models in ")
    said = command("unpack", tmp_path / "small.pack", *there, cwd=tmp_path / "here")
    assert said.splitlines()[-1] == (
        f"reproduce it: retrial reproduce best --study small --store {tmp_path / 'there'}"
    )
    before, after = (json.loads(command("show", "small", "--json", *s)) for s in (here, there))
    for trials in (before["trials"], after["trials"]):
        assert len({trial.pop("run_id") for trial in trials}) == 3
    assert before == after
    assert "exact" in command("reproduce", "best", "--study", "small", *there)
    said = command("unpack", tmp_path / "small.pack", *there, code=2)
    assert "already has a study 'small'" in said

    # There it is continued by its name; the trials are those of the file.
    command("search", "small", "--trials", 5, *there)
    command("search", small, "--trials", 5, *here)
    before, after = (json.loads(command("show", "small", "--json", *s)) for s in (here, there))
    for shown in (before, after):
        assert all(trial["run_id"] is not None for trial in shown["trials"])
        shown["trials"] = [
            {key: trial[key] for key in ("number", "state", "value", "params", "epochs")}
            for trial in shown["trials"]
        ]
        del shown["seconds"]  # both have trained the last trials
    assert before == after

    said = command("delete", "small", *there, code=2)
    assert "ledger  5 trials, 10 epochs" in said
    assert "MLflow  6 runs, 5 models, 0 registered versions" in said
    assert said.endswith("cannot prompt without a terminal, expected --yes\n")
    assert command("delete", "small", "--yes", *there).endswith("removed\n")
    assert not [p for p in (tmp_path / "there" / names.ARTIFACTS).rglob("*") if p.is_file()]
    assert "no study 'small' in" in command("show", "small", *there, code=2)
    assert "is clean" in command("gc", *there)
    command("unpack", tmp_path / "small.pack", *there)
    assert "is clean" in command("gc", *here)


@pytest.mark.slow
def test_a_study_with_values_in_steps_that_were_not_rounded_is_kept_and_continued(
    command, small, tmp_path, monkeypatch
):
    """Earlier versions recorded what Optuna computes: 0.30000000000000004 for 0.3."""
    first = "[[study.first]]\ndropout = 0.30000000000000004\n[training]"
    in_steps = SMALL.replace("high = 0.5", "high = 0.5, step = 0.1")
    small.write_text(in_steps.replace("[training]", first))
    here, there = ["--store", tmp_path / "here"], ["--store", tmp_path / "there"]

    def values(*store):
        shown = json.loads(command("show", "small", "--json", *store))
        return [trial["params"]["dropout"] for trial in shown["trials"]]

    with monkeypatch.context() as patch:
        patch.setattr(Parameter, "rounded", lambda self, value: value)
        command("search", small, *here)
    recorded = values(*here)
    assert recorded[0] == 0.1 * 3
    command("pack", "small", tmp_path / "small.pack", *here)
    command("unpack", tmp_path / "small.pack", *there)
    assert values(*there) == recorded
    for store in (here, there):
        assert "exact" in command("reproduce", "0", "--study", "small", *store)
        command("search", small, "--trials", 6, *store)
    assert values(*here) == values(*there)
    assert values(*here)[:3] == recorded
    assert set(values(*here)[3:]) <= {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}
    # The same file in a new store: decimals in all records.
    new = tmp_path / "new"
    command("search", small, "--store", new)
    assert values("--store", new)[0] == 0.3
    settings = [json.loads(path.read_text())["dropout"] for path in new.rglob("settings.json")]
    assert 0.3 in settings
    assert all(value == round(value, 1) for value in settings)
    storage = optuna_storage.open_storage(names.optuna_uri(new))
    trials = optuna.load_study(study_name="small", storage=storage).trials
    optuna_storage.close_storage(storage)
    assert [trial.params["dropout"] for trial in trials] == values("--store", new)
