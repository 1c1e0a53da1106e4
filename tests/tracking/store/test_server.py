"""The MLflow UI: invalid requests are refused, and no process is left when it is stopped."""

import html
import os
import signal
import socket
import urllib.request

import psutil
import pytest
from programs import Program
from waiting import PATIENCE, has_ended

from nets.errors import InputError
from tracking.runs.delivery import Delivery
from tracking.runs.reader import find_trial
from tracking.runs.recorder import Recorder
from tracking.store import names
from tracking.store.errors import StoreUnavailable
from tracking.store.server import serve
from tracking.store.store import open_store

SERVE = """
import sys
from pathlib import Path
from tracking.store.server import serve
serve(Path(sys.argv[1]), port=int(sys.argv[2]), ready=lambda url: print(url, flush=True))
"""


@pytest.fixture
def taken_port():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_taken_port_is_refused_before_anything_starts(root, taken_port, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match=f"cannot listen on port {taken_port} .*use") as refused:
        serve(root, port=taken_port)
    assert refused.value.hint == "choose a free port (--port)"


@pytest.mark.parametrize("port", [-1, 65536])
def test_an_invalid_port_is_refused(root, port, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match=f"port: got {port}, expected an integer from 0 to 65535"):
        serve(root, port=port)


def test_a_remote_store_has_its_own_ui(root, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example")
    with pytest.raises(StoreUnavailable, match=r"its UI is at https://mlflow\.example$"):
        serve(root)


@pytest.fixture
def server(root):
    """Start servers on a store, each in a process."""

    def server(port=0):
        removed = dict.fromkeys(name for name in os.environ if name.startswith("MLFLOW_TRACKING"))
        process = Program("-c", SERVE, root, port, folder=root.parent, **removed)
        return process, process.line().strip()

    return server


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_the_ui_is_served_until_it_is_stopped_and_leaves_no_process(
    server, root, store, ledger, trials, environment, sign
):
    trials.add(0)
    Delivery(store, ledger, ledger.study("digits"), environment).deliver()

    process, url = server()
    family = psutil.Process(process.pid).children(recursive=True)
    with urllib.request.urlopen(url, timeout=PATIENCE) as page:
        assert "<title>MLflow</title>" in page.read().decode()
    with urllib.request.urlopen(f"{url}/{names.STUDIES_PAGE}", timeout=PATIENCE) as page:
        assert f'<a href="./{html.escape(names.trials_page("1"))}">digits</a>' in (
            page.read().decode()
        )
    process.signal(sign)
    code, output, errors = process.finish()

    assert (code, output, errors) == (0, "", "")
    assert 1 <= len(family) <= 2
    assert all(has_ended(child) for child in family)
    assert not (root.parent / "mlartifacts").exists()


@pytest.mark.slow
def test_a_server_that_goes_away_and_returns_gets_everything_once(
    server, root, store, trials, environment, contents, monkeypatch, until, tmp_path
):
    """Record, lose and read through a real server, including the artifacts."""
    monkeypatch.setattr("tracking.runs.recorder.INTERVAL", 0.05)
    monkeypatch.setattr("tracking.runs.recorder.LONGEST_PAUSE", 0.1)
    process, url = server()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    recorder = Recorder(trials.ledger.path, tmp_path / "elsewhere", "digits", environment)
    recorder.start()
    recorder.wait_until_open()
    trials.whole(0)
    trials.add(1)
    trials.epoch(1, 1)
    until(lambda: trials.ledger.trial("digits", 1).recorded_epoch == 1)

    process.signal(signal.SIGTERM)
    process.wait()
    trials.epoch(1, 2)
    trials.finish(1)
    until(lambda: recorder.problem is not None)
    server(port=int(url.rpartition(":")[2]))
    recorder.finish("finished")

    assert recorder.problem is None
    remote = open_store(tmp_path / "elsewhere")
    found = contents(remote)
    assert {run["status"] for run in found.values()} == {"FINISHED"}
    assert [step for step, *_ in found["trial 0001"]["metrics"]["val_loss"]] == [1, 2]
    assert [len(found[f"trial 000{k}"]["models"]) for k in (0, 1)] == [1, 1]
    best = find_trial(remote, "digits", "best")
    assert (best.number, len(best.epochs)) == (0, 4)
    assert not (tmp_path / "elsewhere").exists()
