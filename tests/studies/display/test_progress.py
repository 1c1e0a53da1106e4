"""What a search shows while it runs: a table in a terminal, lines elsewhere."""

import io
import threading
from dataclasses import replace

import pytest
from rich.console import Console
from stored_studies import a_definition, a_search
from terminal import Terminal

from studies.analysis.formatting import shown_parameters
from studies.display.progress import (
    Allowance,
    EpochLines,
    LiveTable,
    PlainLines,
    Progress,
    Status,
    display,
)
from tracking.records import EpochRecord, Failure

SIX = {
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "weight_decay": {"low": 1e-8, "high": 1e-2, "log": True},
    "dropout": {"low": 0.0, "high": 0.6},
    "batch_size": {"choices": [32, 64, 128]},
    "optimizer": {"choices": ["adam", "nesterov", "momentum"]},
    "hidden": {"choices": [[100], [100, 50]]},
}
STATES = ("complete", "pruned", "failed", "complete")


class Clock:
    """A clock that only the test advances."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def study(ledger):
    """A study of four finished trials, six of whose settings are searched."""
    return a_search(ledger, a_definition(SIX, trials=4), STATES)


@pytest.fixture
def progress(study, ledger):
    """The progress of a search before its first trial."""
    return before_the_first(study, ledger, Clock())


def before_the_first(study, ledger, clock):
    progress = Progress(study.study, 4, ledger, clock)
    progress.finished, progress.failed, progress.best = 0, 0, None
    return progress


@pytest.fixture
def terminal():
    return Terminal()


def table(progress, terminal, *, width=80, clock=None):
    console = Console(file=terminal, force_terminal=True, width=width, height=24)
    return LiveTable(progress, console, clock or Clock())


def drive(screen, stored):
    """Tell a display of all trials of a study, two of which are running at any time."""
    trials = stored.trials
    screen.started(trials[0])
    for number, trial in enumerate(trials):
        if number + 1 < len(trials):
            screen.started(trials[number + 1])
        for epoch in stored.epochs(trial.number):
            screen.epoch(trial, epoch)
        screen.finished(trial)


def test_the_line_of_every_finished_trial_stays_and_nothing_else_does(progress, study, terminal):
    with table(progress, terminal) as screen:
        drive(screen, study)
    lines = terminal.lines
    assert [line[:20].rstrip() for line in lines if line.startswith("trial")] == [
        "trial    0  complete", "trial    1  pruned", "trial    2  failed", "trial    3  complete",
    ]  # fmt: skip
    assert all(line.startswith(("trial  ", " " * 12)) for line in lines)


def test_the_table_is_drawn_by_whoever_tells_it_and_by_no_thread(progress, study, terminal):
    before = threading.enumerate()
    with table(progress, terminal) as screen:
        screen.started(study.trials[0])
        assert threading.enumerate() == before
        assert any(line.startswith("0      worker 0") for line in terminal.lines)


def test_running_trials_are_shown_below_the_finished_ones(progress, study, terminal):
    with table(progress, terminal) as screen:
        for trial in study.trials[:3]:
            screen.started(trial)
        screen.epoch(study.trials[1], study.epochs(1)[0])
        screen.finished(study.trials[0])
        first, *parameters, heading, second, third, last = terminal.lines
        assert first.startswith("trial    0  complete  val_accuracy 0.")
        assert " ".join(parameters).split() == whole(study.trials[0])
        assert heading.startswith("trial  worker    epoch  time  val_accuracy  parameters")
        assert [row[:23] for row in (second, third)] == [
            "1      worker 1  1     ", "2      worker 1  0     ",
        ]  # fmt: skip
        assert last.startswith("1 of 4 trials, best val_accuracy 0.")


def test_no_heading_is_shown_while_nothing_runs(progress, study, terminal):
    with table(progress, terminal, width=200) as screen:
        screen.started(study.trials[0])
        screen.finished(study.trials[0])
        assert [line[:8] for line in terminal.lines] == ["trial   ", "1 of 4 t"]


def whole(trial):
    """The words of all parameters of a trial."""
    return shown_parameters(trial.parameters).split()


@pytest.mark.parametrize("width", [40, 80, 160, 200])
def test_the_line_of_a_finished_trial_has_every_parameter_at_any_width(
    progress, study, terminal, width
):
    with table(progress, terminal, width=width) as screen:
        screen.finished(study.trials[0])
    _, *more = terminal.lines
    words = " ".join(terminal.lines).split()
    assert " ".join(words).startswith("trial 0 complete val_accuracy 0.")
    assert [word for word in whole(study.trials[0]) if word not in words] == []
    assert "best" in words
    assert all(len(line) <= width for line in terminal.lines)
    assert all(line.startswith(" " * 12) for line in more)
    assert bool(more) == (width < 200)


def test_a_long_error_continues_below(progress, study, terminal):
    failure = Failure("ValueError", "no space is left for the " + "weights " * 20, "model.py:3")
    failed = study.trials[2]
    failed = replace(failed, outcome=replace(failed.outcome, error=failure))
    with table(progress, terminal) as screen:
        screen.finished(failed)
    first, *more = terminal.lines
    assert first.startswith("trial    2  failed    ValueError: no space is left for the weights")
    assert all(line.startswith(" " * 12 + "weights") for line in more)
    assert " ".join(" ".join(terminal.lines).split()).endswith(" ".join(failure.line.split()))


def test_parameters_of_a_running_trial_give_way_where_the_terminal_is_narrow(
    progress, study, terminal
):
    with table(progress, terminal) as screen:
        screen.started(study.trials[1])
        _, row, _ = terminal.lines
        assert row.startswith("1      worker 1  0      0 s   -             learning_rate ")
        assert row.endswith("…")


def test_a_running_trial_shows_for_how_long_it_has_been_running(ledger, study, terminal):
    clock = Clock()
    with table(before_the_first(study, ledger, clock), terminal, clock=clock) as screen:
        screen.started(study.trials[1])
        screen.waited()
        before = terminal.getvalue()
        clock.now = 0.5
        screen.waited()  # several times per second
        assert terminal.getvalue() == before
        for clock.now, shown in ((1.0, "1 s"), (65.0, "1 min 5 s")):
            screen.waited()
            assert f"  0      {shown}  " in terminal.lines[1]


def test_the_training_loss_has_a_column_where_there_is_one(progress, study, terminal):
    with table(progress, terminal, width=160) as screen:
        epoch = EpochRecord(1, {"val_accuracy": 0.5, "train_loss": 0.75}, {}, 0.1, 0.0)
        screen.epoch(study.trials[0], epoch)
        heading, row, _ = terminal.lines
        assert heading.split()[4:] == ["val_accuracy", "train_loss", "parameters"]
        assert row.split()[6:8] == ["0.5", "0.75"]


def test_very_short_epochs_are_not_all_drawn_and_long_ones_are(progress, study, terminal):
    clock = Clock()
    epochs = [EpochRecord(n, {"val_accuracy": 0.5}, {}, 0.1, 0.0) for n in range(1, 201)]

    def drawn():
        return f" {epochs[-1].number}  " in terminal.getvalue()

    with table(progress, terminal, clock=clock) as screen:
        for epoch in epochs:
            screen.epoch(study.trials[0], epoch)
        assert not drawn()
        assert terminal.getvalue().count("parameters") == 10
        clock.now += 1.0
        screen.epoch(study.trials[0], epochs[-1])
        assert drawn()


def test_an_allowance_is_that_many_times_in_a_row_and_then_that_many_a_second():
    clock = Clock()
    allowance = Allowance(4, clock)
    assert [allowance.take() for _ in range(6)] == [True] * 4 + [False] * 2
    clock.now = 0.25
    assert [allowance.take() for _ in range(2)] == [True, False]
    clock.now = 100.0
    assert [allowance.take() for _ in range(6)] == [True] * 4 + [False] * 2


def test_the_metrics_of_an_epoch_continue_below_one_another(study, terminal, monkeypatch):
    metrics = {"val_accuracy": 0.5, "train_accuracy": 0.25, "train_loss": 1.5, "val_loss": 2.5}
    trial = replace(study.trials[0], settings={"epochs": 20})
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    EpochLines("val_accuracy").epoch(trial, EpochRecord(3, metrics, {}, 0.25, 0.0))
    assert terminal.lines == [
        "epoch   3 of 20  val_accuracy 0.5  train_accuracy 0.25",
        "                 train_loss 1.5  val_loss 2.5  0.2 s",
    ]


# Lines


def lines_of(progress, *trials):
    stream = io.StringIO()
    with PlainLines(progress, stream) as screen:
        for trial in trials:
            screen.finished(trial)
    return stream.getvalue().splitlines()


def test_epochs_and_seconds_are_those_of_the_ledger_whoever_trained_them(progress, study, ledger):
    """A search that continues a trial receives its last epochs only; the pause is not training."""
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET finished = started + 3600")
    (line,) = lines_of(progress, ledger.trial("digits", 0))
    assert "   10 epochs    1.0 s  learning_rate " in line


def test_one_epoch_is_one_epoch(ledger):
    stored = a_search(ledger, a_definition(trials=1), ["complete"], epochs=1)
    (line,) = lines_of(Progress(stored.study, 1, ledger), *stored.trials)
    assert "    1 epoch     0.1 s  learning_rate " in line


def test_a_log_says_now_and_then_what_runs_while_no_trial_finishes(ledger, study):
    stream, clock = io.StringIO(), Clock()
    with PlainLines(before_the_first(study, ledger, clock), stream, clock) as screen:
        for trial in study.trials[:2]:
            screen.started(trial)
        screen.epoch(study.trials[0], study.epochs(0)[4])
        for clock.now in range(200):
            screen.waited()
        first, second = stream.getvalue().splitlines()
        assert first.startswith("0 of 4 trials")
        assert first.endswith(
            "; running: trial 0 (epoch 5, 1 min 0 s), trial 1 (epoch 0, 1 min 0 s)"
        )
        assert "trial 1 (epoch 0, 3 min 0 s)" in second
        screen.finished(study.trials[0])
        for clock.now in range(200, 261):
            screen.waited()
        *_, third, fourth = stream.getvalue().splitlines()
        assert third.startswith("trial    0  complete")
        assert fourth.endswith("; running: trial 1 (epoch 0, 4 min 19 s)")


def test_lines_are_whole_in_a_pipe(progress, study):
    (line,) = lines_of(progress, study.trials[0])
    assert "  optimizer " in line
    assert line.endswith("]  best")


def test_the_display_is_a_table_in_a_terminal_only(progress, monkeypatch):
    for stream, kind in ((Terminal(), LiveTable), (io.StringIO(), PlainLines)):
        monkeypatch.setattr("sys.stdout", stream)
        assert type(display(progress)) is kind


# What keeps it busy


def test_a_status_is_seen_until_it_is_done(terminal):
    with Status(Console(file=terminal, force_terminal=True)) as status:
        assert terminal.lines == []
        status.show("recording…")
        assert terminal.lines == ["recording…"]
    assert terminal.lines == []


def test_a_terminal_shows_the_latest_status(terminal):
    with Status(Console(file=terminal, force_terminal=True)) as status:
        for text in ("recording…", "recording: 3 of 9 trials"):
            status.show(text)
        assert terminal.lines == ["recording: 3 of 9 trials"]


def test_a_log_gets_a_status_that_lasts_after_5_seconds_and_then_every_30():
    pipe, clock = io.StringIO(), Clock()
    with Status(Console(file=pipe), clock) as status:
        for second in range(70):
            clock.now = float(second)
            status.show(f"{second} of 70")
    assert pipe.getvalue() == "5 of 70\n35 of 70\n65 of 70\n"
