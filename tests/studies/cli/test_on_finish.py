"""`retrial search --on-finish`: one command, whatever the end was; the search is unaffected."""

import errno
import json
import shlex
import signal

import pytest
from drivers import Driver, write_study

from studies.cli.main import main
from studies.workers.engine import EngineLost


@pytest.fixture
def written(tmp_path):
    """A command that writes what it reads to a file, and what it has written."""
    path = tmp_path / "it's the result.json"

    def read():
        return json.loads(path.read_text()) if path.exists() else None

    return f"cat > {shlex.quote(str(path))}", read


def search(study, store, command, *options):
    return main(
        ["search", str(study), "--store", str(store), "--no-record", "--on-finish", command,
         *options]
    )  # fmt: skip


def test_the_command_reads_what_show_prints_and_how_it_ended(tmp_path, written, capsys):
    command, result = written
    study = write_study(tmp_path, trials=3)
    assert search(study, tmp_path / "store", command) == 0
    capsys.readouterr()
    assert main(["show", "curves", "--json", "--store", str(tmp_path / "store")]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert result() == {**shown, "end": "finished", "exit_code": 0, "problem": None}
    assert search(study, tmp_path / "store", command) == 0
    assert result()["end"] == "nothing to do"


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("exit 3", "ended with code 3"),
        ("kill -9 $$", "was ended by SIGKILL"),
        ("no-such-program", "ended with code 127"),
    ],
)
def test_a_command_that_fails_is_a_warning(command, how, tmp_path, capsys):
    assert search(write_study(tmp_path, trials=1), tmp_path / "store", command) == 0
    assert capsys.readouterr().err == (
        f"retrial: --on-finish: {command!r} {how}; the search is not affected\n"
    )


def test_a_command_that_reads_nothing_is_no_problem(tmp_path, capsys):
    study = write_study(tmp_path, trials=1)
    assert search(study, tmp_path / "store", "true") == 0
    assert capsys.readouterr().err == ""


def test_the_command_does_not_run_after_an_invalid_request(tmp_path, written):
    command, result = written
    study = write_study(tmp_path, trials=1)
    assert search(study, tmp_path / "store", command, "--mixed") == 2
    assert search(study, tmp_path / "store", "true") == 0
    study.write_text(study.read_text().replace("seed = 5", "seed = 6"))
    assert search(study, tmp_path / "store", command) == 2
    assert result() is None


@pytest.mark.parametrize(
    ("error", "code", "problem"),
    [
        (EngineLost("no worker"), 1, "no worker"),
        (OSError(errno.ENOSPC, "No space left"), 1, f"[Errno {errno.ENOSPC}] No space left"),
        (KeyboardInterrupt(), 130, None),
    ],
)
def test_the_command_runs_after_an_error(error, code, problem, tmp_path, written, monkeypatch):
    command, result = written

    def fails(*_, **__):
        raise error

    monkeypatch.setattr("studies.search.procedure.search", fails)
    assert search(write_study(tmp_path), tmp_path / "store", command) == code
    end = "stopped" if code == 130 else "failed"
    assert result() == {"study": "curves", "end": end, "exit_code": code, "problem": problem}


def test_an_empty_command_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        search(write_study(tmp_path), tmp_path / "store", " ")
    assert ended.value.code == 2
    assert "--on-finish: got ' ', expected a command" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_the_command_runs_after_trials_that_all_fail(tmp_path, written, capsys):
    command, result = written
    study = tmp_path / "greedy.toml"
    study.write_text(
        '[study]\nmetric = "score"\nobjective = "greedy:objective"\ntrial_seconds = 1e-9\n'
        'trials = 2\nsampler = { name = "random" }\n[space]\nkind = { choices = ["memory", "x"] }\n'
        '[[study.first]]\nkind = "memory"\n[[study.first]]\nkind = "memory"\n'
    )
    assert search(study, tmp_path / "store", command) == 1
    found = result()
    assert (found["end"], found["exit_code"]) == ("failed", 1)
    assert "LimitExceeded at study.trial_seconds" in found["problem"]
    assert [trial["state"] for trial in found["trials"]] == ["failed"] * 2
    assert "LimitExceeded at study.trial_seconds" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_runs_after_ctrl_c(tmp_path, written):
    command, result = written
    study = write_study(tmp_path, trials=50, delay=0.2)
    options = ("--jobs", "1", "--no-record", "--on-finish", command)
    driver = Driver(study, tmp_path / "store", *options)
    driver.wait_for_trial()
    driver.signal(signal.SIGINT)
    assert driver.finish()[0] == 130
    assert (result()["end"], result()["exit_code"]) == ("stopped", 130)
    assert result()["trials"][0]["state"] == "complete"
