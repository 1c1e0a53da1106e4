"""`retrial search` as a person meets it: refusals, signals, two drivers, ends."""

import codecs
import contextlib
import json
import os
import pty
import signal
import termios

import pytest
from drivers import Driver, ledger_of, wait_until_a_trial_trains, write_study
from searches import trials
from terminal import Terminal
from waiting import until, wait_until_ended

from nets.errors import InputError
from studies.analysis.formatting import shown_parameters
from studies.cli.main import main
from studies.definition import study_file
from tracking.records import Git

RETRY = "the same command with --retry-failed trains them again"


def run(*arguments):
    """Run a command in this process; returns its exit code."""
    return main(["search", *map(str, arguments)])


def finished(store, study):
    ledger = ledger_of(store)
    try:
        return trials(ledger, study_file.read(study))
    finally:
        ledger.close()


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["digit"],
            "study: no bundled study 'digit', expected digits, mnist-",
        ),
        (["/tmp"], "study: '/tmp' is a folder, expected the path of a study file"),
        (["no/such.toml"], "study: no such file: 'no/such.toml'"),
    ],
)
def test_wrong_request_is_one_line_and_leaves_no_store(arguments, message, store, capsys):
    assert run(*arguments, "--store", store) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"retrial: {message}")
    assert said.err.count("\n") == 1
    assert not store.exists()


@pytest.mark.parametrize(
    ("option", "value", "accepted"),
    [
        ("--trials", "0", "an integer of at least 1"),
        ("--trials", "many", "an integer of at least 1"),
        ("--jobs", "-1", "an integer of at least 1"),
        ("--seed", "-1", "an integer of at least 0"),
        ("--timeout", "0", "a number of seconds above 0"),
        ("--timeout", "nan", "a number of seconds above 0"),
        ("--timeout", "soon", "a number of seconds above 0"),
    ],
)
def test_wrong_option_is_refused_with_what_is_accepted(option, value, accepted, store, capsys):
    with pytest.raises(SystemExit) as ended:
        run("digits", f"{option}={value}", "--store", store)
    assert ended.value.code == 2
    assert f"got '{value}', expected {accepted}" in capsys.readouterr().err
    assert not store.exists()


def test_store_below_a_file_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run("digits", "--store", tmp_path / "file" / "store") == 2
    assert capsys.readouterr().err == (
        f"retrial: store: cannot write {tmp_path}/file/store (Not a directory), expected a folder "
        "that this user can write to\n"
    )


def test_more_validation_images_than_there_are_is_refused(tmp_path, store, capsys):
    study = tmp_path / "mine.toml"
    study.write_text("[data]\nvalidation = 1437\n[space]\ndropout = { low = 0.0, high = 0.5 }")
    assert run(study, "--store", store) == 2
    assert capsys.readouterr().err == (
        "retrial: data.validation: got 1437, expected 0 to 1436; at least one of the 1437 "
        "images of digits must be left for training\n"
    )
    assert not (store / "ledger.db").exists()


def test_changed_study_file_is_refused_with_the_difference(tmp_path, store, capsys):
    assert run(write_study(tmp_path, trials=2), "--store", store, "--no-record") == 0
    capsys.readouterr()
    assert run(write_study(tmp_path, trials=2, epochs=7), "--store", store, "--no-record") == 2
    assert capsys.readouterr().err == (
        "retrial: study: curves is in the store with other values: fixed.epochs: stored 6, given 7"
        "; with another study.name, `retrial extend` keeps the trials\n"
    )


def test_finished_study_has_nothing_to_do_and_may_grow(tmp_path, store, capsys):
    study = write_study(tmp_path, trials=4)
    assert run(study, "--store", store, "--no-record") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"curves: 4 trials, maximize value, 2 jobs, in {store}\ntrial ")
    assert said.count("\ntrial ") == 4
    for trials_, known in (
        (4, "4 of 4 trials are finished"),
        (3, "4 trials are finished, 3 were requested"),
    ):
        assert run(study, "--trials", trials_, "--store", store, "--no-record") == 0
        assert capsys.readouterr().out == f"curves: nothing to do, {known}\n"
    more = "--trials", 6, "--jobs", 1, "--threads", 2
    assert run(study, *more, "--store", store, "--no-record") == 0
    said = capsys.readouterr().out
    first = "curves: continues, 2 of 6 trials left, maximize value, 1 job of 2 threads, in "
    assert said.startswith(first)
    assert "curves: 6 of 6 trials" in said
    assert study_trials(store) == 6


def study_trials(store):
    """The number of trials that the stored definition names."""
    ledger = ledger_of(store)
    try:
        return ledger.study("curves").definition["study"]["trials"]
    finally:
        ledger.close()


def test_study_whose_trials_all_fail_shows_the_mistake_once(tmp_path, store, capsys):
    study = write_study(tmp_path, fault="always")
    assert run(study, "--jobs", 2, "--store", store, "--no-record") == 1
    said = capsys.readouterr()
    assert said.out.count("failed    ZeroDivisionError: a mistake in the objective") == 4
    assert said.err.count("Traceback") == said.err.count("raise ZeroDivisionError") == 1
    assert "retrial: the first trials all failed with ZeroDivisionError at " in said.err
    assert said.err.endswith(
        f", so the study has stopped: fix the cause, then {RETRY}, or search under another "
        "study.name\n"
    )
    assert run(study, "--trials", 4, "--store", store, "--no-record") == 1
    again = capsys.readouterr()
    assert again.out == ""
    assert (
        again.err
        == said.err.splitlines()[-1].replace(
            "retrial: ", "retrial: curves: nothing to do, 4 of 4 finished trials failed; "
        )
        + "\n"
    )


def test_a_study_whose_trials_fail_for_reasons_of_their_own_has_failed(tmp_path, store, capsys):
    study = write_study(tmp_path, trials=5, fault="each")
    assert run(study, "--store", store, "--no-record") == 1
    said = capsys.readouterr()
    assert "curves: 5 of 5 trials, 5 failed, in " in said.out
    assert said.err == (
        f"retrial: curves: every trial failed; see `retrial show curves --store {store}`; once the "
        f"cause is fixed, {RETRY}\n"
    )


def test_a_study_without_any_value_has_failed(tmp_path, store, capsys):
    study = write_study(tmp_path, trials=5, objective="climb_to_nothing")
    what = (
        f"no trial has a value: all failed or diverged; see `retrial show curves --store {store}`\n"
    )
    assert run(study, "--store", store, "--no-record") == 1
    assert capsys.readouterr().err == f"retrial: curves: {what}"
    assert run(study, "--store", store, "--no-record") == 1
    assert capsys.readouterr().err == f"retrial: curves: nothing to do, {what}"


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_search_needs_no_output(closed, tmp_path, store):
    """As in ``retrial search ... >&- 2>&-``: no file of the store takes the place of the output."""

    def close():
        for number in closed:
            os.close(number)

    study = write_study(tmp_path, trials=8)
    code, output, errors = Driver(study, store, "--jobs", "1", preexec_fn=close).finish()
    assert (code, errors) == (0, "")
    assert ("curves: 8 of 8 trials" in output) == (1 not in closed)
    assert len(finished(store, study)) == 8


def test_failed_trials_are_counted_where_there_is_nothing_to_do(tmp_path, store, capsys):
    study = write_study(tmp_path, trials=8, fault="raise")
    assert run(study, "--store", store, "--no-record") == 0
    said = capsys.readouterr().out
    failed = said.count("  failed  ")
    assert failed == 1
    retry = RETRY.replace("them", "it")
    assert said.endswith(f"\n1 trial failed: {retry}\n")
    assert run(study, "--store", store, "--no-record") == 0
    assert capsys.readouterr().out == (
        f"curves: nothing to do, 8 of 8 trials are finished; 1 failed: {retry}\n"
    )


def test_more_workers_than_the_window_keeps_busy_are_warned_of(tmp_path, store, capsys):
    assert run(write_study(tmp_path, trials=1), "--jobs", 3, "--store", store, "--no-record") == 0
    assert capsys.readouterr().err == (
        "retrial: 3 workers with study.window = 4: some will wait; a window of 12 keeps them "
        "busy, and changes which trials the study has\n"
    )


def test_what_is_suggested_names_the_store_unless_it_is_the_default(
    tmp_path, store, monkeypatch, capsys
):
    study = write_study(tmp_path, trials=1)
    suggested = [
        "reproduce it: retrial reproduce best --study curves",
        "next: retrial show curves",
        "      retrial confirm curves",
        "      retrial ui",
    ]
    assert run(study, "--store", store, "--no-record") == 0
    lines = capsys.readouterr().out.splitlines()[-4:]
    for line, begin in zip(lines, suggested, strict=True):
        assert line.startswith(f"{begin} --store {store}")
    monkeypatch.setenv("RETRIAL_STORE", str(tmp_path / "other"))
    assert run(study, "--no-record") == 0
    lines = capsys.readouterr().out.splitlines()[-4:]
    for line, begin in zip(lines, suggested, strict=True):
        assert line.startswith(begin)
        assert "--store" not in line


def test_a_terminal_shows_that_the_record_is_being_finished(tmp_path, store, monkeypatch):
    terminal, seen = Terminal(), []

    class SlowRecord:
        """Stands for MLflow, which takes seconds here."""

        problems = ()

        def __init__(self, *_, **__):
            self.started = self.epoch = self.finished = self.warned = lambda *_: None
            self.waited = lambda: None

        def finish(self, *_):
            seen.extend(terminal.lines)

    monkeypatch.setattr("studies.search.session.Record", SlowRecord)
    monkeypatch.setattr("sys.stdout", terminal)
    assert run(write_study(tmp_path, trials=2), "--store", store) == 0
    first, *lines = [line[:6] for line in seen if not line.startswith("  ")]
    assert (first, lines) == ("curves", ["trial ", "trial ", "record"])
    assert seen[-1] == "recording…"
    assert "recording…" not in terminal.lines


@pytest.mark.parametrize("width", [80, 160])
def test_in_a_real_terminal_no_parameter_of_a_finished_trial_is_cut(tmp_path, store, width):
    study = write_study(tmp_path, trials=4, delay=0.1)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, width))
    options = "--jobs", "2", "--no-record"
    kind = {"TERM": "xterm-256color", "COLUMNS": None, "LINES": None}
    driver = Driver(study, store, *options, stdout=theirs, **kind)
    os.close(theirs)
    screen, headings = Terminal(), set()
    decoder = codecs.getincrementaldecoder("utf-8")()
    with contextlib.suppress(OSError):  # how the end is read on Linux
        while content := os.read(ours, 100_000):
            screen.write(decoder.decode(content))
            headings |= {line for line in screen.lines if line.startswith("trial  worker")}
    os.close(ours)
    assert driver.finish()[0] == 0
    assert "trial  worker    epoch  time  value  parameters" in headings
    lines = screen.lines
    assert lines[0] == f"curves: 4 trials, maximize value, 2 jobs, in {store}"
    end = next(at for at, line in enumerate(lines) if line.startswith("curves: 4 of 4"))
    words = " ".join(lines[1:end]).split()
    with ledger_of(store) as ledger:
        for trial in ledger.trials("curves"):
            assert {*shown_parameters(trial.parameters).split()} <= {*words}
    assert all(len(line) <= width for line in lines[1:end])
    assert "…" not in "".join(lines)


@pytest.mark.slow
def test_a_timeout_is_not_a_failure_and_the_same_command_continues(tmp_path, store, capsys):
    study = write_study(tmp_path, trials=8, delay=0.05)
    assert run(study, "--timeout", 0.5, "--jobs", 1, "--store", store, "--no-record") == 0
    assert capsys.readouterr().out.endswith("timeout: the same command continues it\n")
    assert run(study, "--jobs", 2, "--store", store, "--no-record") == 0
    other = tmp_path / "other"
    assert run(study, "--jobs", 1, "--store", other, "--no-record") == 0
    assert finished(store, study) == finished(other, study)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_first_signal_stops_trials_at_their_next_epoch(number, tmp_path, store):
    study = write_study(tmp_path, trials=30, delay=0.2)
    driver = Driver(study, store, "--jobs", "2", "--no-record")
    driver.wait_for_trial()
    wait_until_a_trial_trains(store, "curves")
    driver.signal(number)
    code, output, errors = driver.finish()
    assert code == 130
    assert output.endswith("stopped: the same command continues it\n")
    assert errors == (
        "retrial: stopping at the end of the running epochs; press Ctrl-C again to stop at once\n"
    )
    ledger = ledger_of(store)
    open_trials = [t.number for t in ledger.trials("curves") if t.state == "running"]
    ledger.close()
    assert open_trials


def test_second_signal_stops_at_once(tmp_path, store):
    study = write_study(tmp_path, trials=4, delay=1000.0)
    driver = Driver(study, store, "--jobs", "2", "--no-record")
    until((store / "ledger.db").exists)
    ledger = ledger_of(store)
    until(lambda: any(trial.attempts for trial in ledger.trials("curves")))
    ledger.close()
    workers = driver.children()
    driver.signal(signal.SIGINT)
    assert "press Ctrl-C again to stop at once" in driver.error_line()
    driver.signal(signal.SIGINT)
    code, _, errors = driver.finish()
    assert (code, errors) == (130, "interrupted: the same command continues it\n")
    wait_until_ended(workers)


def test_ctrl_c_while_workers_start_does_not_crash_them(tmp_path, store):
    """A terminal sends it to the whole group, of which the workers are."""
    study = write_study(tmp_path, trials=4, delay=0.05)
    driver = Driver(study, store, "--jobs", "2", "--no-record")
    until((store / "ledger.db").exists)
    ledger = ledger_of(store)
    until(lambda: any(trial.attempts for trial in ledger.trials("curves")))
    os.killpg(driver.pid, signal.SIGINT)
    code, output, errors = driver.finish()
    assert (code, errors) == (
        130,
        "retrial: stopping at the end of the running epochs; press Ctrl-C again to stop at once\n",
    )
    assert output.endswith("stopped: the same command continues it\n")
    assert {trial.crashes for trial in ledger.trials("curves")} == {0}
    ledger.close()


def test_search_goes_on_when_nobody_reads_its_output_any_more(tmp_path, store):
    """As in ``retrial search ... | head -1``."""
    read, write = os.pipe()
    driver = Driver(
        write_study(tmp_path, trials=8), store, "--jobs", "1", "--no-record", stdout=write
    )
    os.close(write)
    with open(read) as output:
        assert output.readline().startswith("curves: 8 trials, ")
        assert output.readline().startswith("trial    0")
    code, _, errors = driver.finish()
    assert (code, errors) == (0, "")
    ledger = ledger_of(store)
    assert {trial.state for trial in ledger.trials("curves")} <= {"complete", "pruned"}
    assert len(ledger.trials("curves")) == 8
    ledger.close()


def test_a_second_driver_names_the_process_that_searches_the_study(tmp_path, store, capsys):
    study = write_study(tmp_path, trials=30, delay=0.1)
    driver = Driver(study, store, "--jobs", "1", "--no-record")
    driver.wait_for_trial()
    assert run(study, "--store", store, "--no-record") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"retrial: study: curves is being searched by process {driver.pid} on ")
    assert error.endswith("; wait until it has ended, or stop it\n")
    driver.kill()
    assert run(study, "--trials", 1, "--store", store, "--no-record") == 0


FRAGILE = """
import os, signal
from pathlib import Path
from curves import climb

def objective(settings, data, report, resume=None):
    edited = Path(__file__).with_suffix(".edited")
    if not edited.exists():
        edited.touch()
        with open(__file__, "a") as file:
            file.write("# changed\\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return climb(settings, data, report, resume)
"""


def test_code_that_is_edited_meanwhile_trains_nothing_that_is_recorded_otherwise(
    tmp_path, store, capsys
):
    """A worker dies, and the one that took its place would have the new code."""
    (tmp_path / "fragile.py").write_text(FRAGILE)
    study = write_study(tmp_path, trials=2)
    study.write_text(study.read_text().replace("curves:climb", "fragile:objective"))
    assert run(study, "--store", store, "--no-record", "--jobs", "1") == 1
    said = capsys.readouterr().err
    assert said.startswith("retrial: worker 0 crashed, and the code of fragile has changed since")
    assert said.count("\n") == 1
    assert run(study, "--store", store, "--no-record", "--jobs", "1") == 0
    assert "retrial: since the study began: code: fragile was " in capsys.readouterr().err
    assert [trial["state"] for trial in finished(store, study)] == ["complete"] * 2


def test_workers_end_with_their_driver(tmp_path, store):
    driver = Driver(
        write_study(tmp_path, trials=30, delay=0.1), store, "--jobs", "2", "--no-record"
    )
    driver.wait_for_trial()
    left = driver.kill_alone()
    assert len(left) >= 2
    wait_until_ended(left)


def test_interrupted_start_ends_with_the_code_of_ctrl_c(monkeypatch, tmp_path, store):
    """Before there is a search to stop, Ctrl-C ends the command and leaves no lock."""

    def interrupted(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("studies.search.session.LocalEngine", interrupted)
    assert run(write_study(tmp_path), "--store", store, "--no-record") == 130
    ledger = ledger_of(store)
    with ledger.transaction() as connection:
        assert connection.execute("SELECT * FROM lock").fetchall() == []
    ledger.close()


@pytest.mark.slow
def test_a_seed_on_the_command_line_makes_another_study(tmp_path, store, capsys):
    study = write_study(tmp_path, trials=2)
    assert run(study, "--store", store, "--no-record") == 0
    assert run(study, "--seed", 6, "--store", store, "--no-record") == 0
    ledger = ledger_of(store)
    assert ledger.study_names() == ["curves", "curves-seed6"]
    settings = [ledger.trial(name, 0).settings for name in ledger.study_names()]
    assert settings[0] != settings[1]
    ledger.close()
    assert "best: trial" in capsys.readouterr().out


def test_an_unknown_dataset_is_refused_before_anything_is_loaded(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[data]\nname = "ci/far"\n')
    with pytest.raises(InputError, match=r"data\.name: got 'ci/far', expected digits, mnist"):
        study_file.read(path)


def test_show_gives_the_trials_to_a_program(tmp_path, store, capsys):
    study = write_study(tmp_path, trials=6, fault="nan")
    assert run(study, "--store", store, "--no-record") == 0
    capsys.readouterr()
    assert main(["show", "curves", "--store", str(store), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert [t["number"] for t in shown["trials"]] == list(range(6))
    diverged = [t for t in shown["trials"] if t["state"] == "pruned" and t["value"] is None]
    assert diverged
    assert all(t["epochs"][-1]["value"] is None for t in diverged)
    assert shown["confirmation"] is None


def test_each_trial_keeps_the_environment_of_the_driver_that_trained_it(
    tmp_path, store, monkeypatch
):
    study = write_study(tmp_path, trials=1)
    for total, commit in ((1, "first"), (2, "second")):
        git = Git(commit, dirty=True, diff="long")
        monkeypatch.setattr("tracking.provenance.environment._git", lambda _, git=git: git)
        assert run(study, "--trials", total, "--no-record", "--store", store) == 0
    with contextlib.closing(ledger_of(store)) as ledger:
        kept = [trial.outcome.environment for trial in ledger.trials("curves")]
    assert [one.git for one in kept] == [Git("first", dirty=True), Git("second", dirty=True)]
    assert all({"nets", "curves"} <= one.code.keys() for one in kept)
