"""The command line: what it refuses, in how many words, and what Ctrl-C has left."""

import re
from argparse import SUPPRESS
from contextlib import nullcontext
from importlib import import_module

import pytest

from studies.cli import ui
from studies.cli.arguments import Parser, add_places
from studies.cli.main import COMMANDS, main
from tracking.ledger import Ledger
from tracking.records import Direction, Environment, EpochRecord, TrialOutcome
from tracking.runs.reader import RecordedRun
from tracking.store.names import own_version


@pytest.mark.parametrize(
    ("arguments", "message", "help_of"),
    [
        (
            ["search", "digits", "--trial", "3"],
            "got --trial 3, which `retrial search` does not take",
            "search",
        ),
        (
            ["search", "digits", "more"],
            "got more, which `retrial search` does not take",
            "search",
        ),
        (
            ["search", "digits", "--trials", "0"],
            "--trials: got '0', expected an integer of at least 1",
            "search",
        ),
        (["show"], "the following arguments are required: study", "show"),
        (["show", "x", "--store", ""], "--store: got '', expected the path of a folder", "show"),
        (["show", "x", "--data", " "], "--data: got ' ', expected the path of a folder", "show"),
        *[
            (["ui", "--port", port], f"--port: got {port!r}, expected {accepted}", "ui")
            for accepted in ["an integer from 0 to 65535"]
            for port in ("99999", "x", "1e3", "\u00b2", "")
        ],
    ],
)
def test_a_wrong_request_is_answered_in_two_lines(arguments, message, help_of, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"retrial: {message}\nsee: retrial {help_of} --help\n")


def test_an_unknown_command_is_answered_with_those_there_are(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["serach", "digits"])
    assert ended.value.code == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("retrial: no command 'serach'; did you mean 'search'?")
    assert second == "see: retrial --help"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_defaults_and_no_words_of_insiders(command):
    module = import_module(f"studies.cli.{command}")
    parser = Parser(prog=f"retrial {command}")
    add_places(parser)
    module.add_arguments(parser)
    for action in parser._actions:
        assert action.help, action.dest
        words = action.help.lower()
        takes_a_value = bool(action.option_strings) and action.nargs != 0
        if takes_a_value and action.help != SUPPRESS:
            assert "(default: " in words or "needed" in words or "required" in words, action.dest
            assert action.metavar != action.dest.upper()
            assert action.metavar, action.dest
        assert not re.search("blas|kernel|fingerprint|admit|pin |portable", words), action.dest
        assert "window" not in words or "how many trials may be unfinished at once" in words


@pytest.mark.parametrize("columns", ["80", "160"])
def test_no_line_of_the_help_exceeds_the_terminal(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    for arguments in (["--help"], *([command, "--help"] for command in COMMANDS)):
        with pytest.raises(SystemExit):
            main(arguments)
        assert max(map(len, capsys.readouterr().out.splitlines())) <= int(columns)


def test_an_empty_variable_is_no_store(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RETRIAL_STORE", "")
    assert main(["show", "digits"]) == 2
    assert "retrial: store: mlruns has no studies" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (
            ["confirm", "digits"],
            "the same command continues it, with the trainings that have finished",
        ),
        (["reproduce", "best", "--study", "digits"], "no verdict was recorded"),
        (["pack", "digits", "digits.pack"], "no file was written"),
        (["show", "digits"], "nothing was changed"),
    ],
)
def test_ctrl_c_says_what_is_left(arguments, left, monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"studies.cli.{arguments[0]}.run", interrupted)
    assert main(arguments) == 130
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"interrupted: {left}\n")


def test_only_closed_output_is_taken_for_it(monkeypatch):
    """The pipe of a worker breaks too."""

    def run(options):
        raise BrokenPipeError

    monkeypatch.setattr("studies.cli.show.run", run)
    with pytest.raises(BrokenPipeError):
        main(["show", "digits"])


def test_a_process_without_memory_says_so(monkeypatch, capsys):
    def run(options):
        raise MemoryError

    monkeypatch.setattr("studies.cli.show.run", run)
    assert main(["show", "digits"]) == 1
    assert capsys.readouterr().err == "retrial: out of memory\n"


def test_a_folder_that_is_no_store_is_not_made_one(tmp_path, capsys):
    store = tmp_path / "nothing"
    assert main(["reproduce", "best", "--study", "digits", "--store", str(store)]) == 2
    assert f"no trials in {store}, expected a store (--store" in capsys.readouterr().err
    assert not store.exists()


@pytest.mark.parametrize("command", ["show", "search"])
def test_a_file_that_is_not_a_ledger_is_reported(command, tmp_path, capsys):
    (tmp_path / "ledger.db").write_text("a letter, and no ledger at all" * 100)
    assert main([command, "digits", "--store", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"retrial: store: {tmp_path}/ledger.db is not a ledger of retrial: file is not a database, "
        "expected one that `retrial search` has written, or a folder without one\n"
    )


def test_a_ledger_damaged_inside_is_an_error_in_words(tmp_path, capsys):
    path = tmp_path / "ledger.db"
    ledger = Ledger(path)
    ledger.add_study("digits", {}, Environment())
    ledger.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"x" * (len(content) - 4096))
    assert main(["show", "digits", "--store", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(
        f"retrial: store: {tmp_path}/ledger.db is damaged: database disk image is malformed; keep "
        "a copy of the store and search in another one"
    )


def test_an_epoch_that_was_not_recorded_cannot_be_compared(monkeypatch, tmp_path, capsys):
    epochs = tuple(EpochRecord(number, {}, {}, 0.0) for number in range(1, 21))
    recorded = RecordedRun(
        "1f", "digits", 2, "complete", {}, epochs, Environment(), TrialOutcome(), "value",
        Direction.MAXIMIZE,
    )  # fmt: skip
    monkeypatch.setattr("tracking.runs.reader.open_with_trials", lambda root: nullcontext())
    monkeypatch.setattr("tracking.runs.reader.find_trial", lambda *_: recorded)
    arguments = ["reproduce", "2", "--study", "digits", "--store", str(tmp_path)]
    assert main([*arguments, "--at", "99"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == ("retrial: --at: got 99, expected 1 to 20, the epochs recorded of trial 2\n")


@pytest.mark.parametrize("has_browser", [True, False])
def test_the_ui_announces_the_studies_and_opens_them_on_request(has_browser, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or has_browser)
    ui._announce("http://there", opens=False)
    assert opened == []
    ui._announce("http://there", opens=True)
    assert opened == ["http://there/studies"]
    said = capsys.readouterr()
    assert said.out == "studies and trials in MLflow: http://there/studies  (Ctrl-C ends it)\n" * 2
    assert said.err == ("" if has_browser else "retrial: no browser was found to open it\n")


def test_the_version_is_that_of_the_distribution(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"retrial {own_version()}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_the_default_of_every_option_with_a_value(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for option, default in {"--top": "3", "--seeds": "5", "--port": "5000"}.items():
        if f"{option} " in shown:
            assert f"(default: {default})" in shown
