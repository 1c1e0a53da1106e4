"""`retrial show` for a person: numbers are whole, whatever the width."""

import csv
import io
import json
import re

import pytest
from stored_studies import a_definition, a_search
from terminal import Terminal

from studies.analysis.importances import Importance
from studies.analysis.stored_study import StoredStudy
from studies.cli.main import main
from studies.cli.show import as_json, best_lines, importance_lines, pruned_lines

SIX = {
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "weight_decay": {"low": 1e-8, "high": 1e-2, "log": True},
    "dropout": {"low": 0.0, "high": 0.6},
    "batch_size": {"choices": [32, 64, 128]},
    "optimizer": {"choices": ["adam", "nesterov", "momentum"]},
    "hidden": {"choices": [[100], [100, 50]]},
}


@pytest.fixture
def stored(ledger):
    return a_search(ledger, a_definition(SIX, trials=4), ["complete"] * 2)


@pytest.fixture
def show(tmp_path, monkeypatch):
    """Run the command in this process; returns the lines it prints to a pipe or a terminal."""

    def run(stream):
        monkeypatch.setattr("sys.stdout", stream)
        assert main(["show", "digits", "--store", str(tmp_path)]) == 0
        return stream.getvalue().splitlines() if type(stream) is io.StringIO else stream.lines

    return run


def numbers_of(stored):
    return {f"{t.parameters['learning_rate']:.4g}" for t in stored.trials}


def test_a_trial_is_one_line_where_there_is_room(stored):
    heading, *lines = best_lines(stored, stored.ranked(), 120)
    assert heading.split() == ["trial", "val_accuracy", "epoch", "time", *SIX]
    assert len(lines) == 2
    assert {line.split()[5] for line in lines} == numbers_of(stored)


def test_parameters_are_below_where_there_is_not(stored):
    heading, *lines = best_lines(stored, stored.ranked(), 80)
    assert heading.split() == ["trial", "val_accuracy", "epoch", "time"]
    assert max(map(len, lines)) <= 80
    first, *below = lines[:3]
    assert first.split()[2:] == ["10", "1.0", "s"]
    assert below[0].startswith("       learning_rate ")
    assert {line.split()[1] for line in lines if "learning_rate" in line} == numbers_of(stored)


def test_a_pipe_gets_whole_lines(stored, show):
    lines = show(io.StringIO())
    assert lines[0] == "digits: 2 of 4 trials (2 complete)"
    assert lines[1].split()[-1] == "hidden"
    assert "…" not in "".join(lines)


def test_a_terminal_of_eighty_columns_gets_whole_numbers(stored, show, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = show(Terminal())
    assert {line.split()[1] for line in lines if "learning_rate " in line} >= numbers_of(stored)
    assert "…" not in "".join(lines)


def test_seconds_are_those_of_the_epochs(stored, show, ledger):
    """A pause of the search, or a worker that had to be started, was no training."""
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET finished = started + 3600")
    assert [line.split()[3:5] for line in show(io.StringIO())[2:4]] == [["1.0", "s"]] * 2


def test_trials_without_a_driver_are_open(ledger, show):
    a_search(ledger, a_definition(trials=4), ["complete", "running", "running"])
    assert show(io.StringIO())[0] == "digits: 3 of 4 trials (1 complete, 2 open)"


def test_trials_of_different_code_are_distinguished(stored, show, ledger):
    assert not any("different code" in line for line in show(io.StringIO()))
    for number, digest in ((0, "a" * 64), (1, "b" * 64)):
        trial = ledger.trial("digits", number)
        code = {"nets": "c" * 64, "valley": digest}
        outcome = {**trial.outcome.to_json(), "environment": {"code": code}}
        with ledger.transaction() as connection:
            connection.execute(
                "UPDATE trial SET outcome = ? WHERE number = ?", (json.dumps(outcome), number)
            )
    lines = show(io.StringIO())
    place = lines.index("trained with different code, so values may not be comparable:")
    assert lines[place + 1 : place + 3] == [
        "  valley aaaaaaaaaaaa: 1 trial from trial 0 on",
        "  valley bbbbbbbbbbbb: 1 trial from trial 1 on",
    ]


def test_the_number_of_weights_and_biases_is_shown_where_it_is_known(stored, ledger, show):
    trial = ledger.trial("digits", 1)
    outcome = {**trial.outcome.to_json(), "parameter_count": 454922}
    with ledger.transaction() as connection:
        connection.execute("UPDATE trial SET outcome = ? WHERE number = 1", (json.dumps(outcome),))
    stored = StoredStudy(ledger, ledger.study("digits"))
    heading, *lines = best_lines(stored, stored.ranked(), 120)
    assert heading.split()[:5] == ["trial", "val_accuracy", "epoch", "time", "parameters"]
    assert [line for line in lines if "454,922" in line] == [
        line for line in lines if line.split()[0] == "1"
    ]
    counts = [one["parameter_count"] for one in as_json(stored)["trials"]]
    assert counts == [None, 454922]


def test_importances_have_intervals_and_a_note_while_these_overlap(ledger, show):
    a_search(ledger, a_definition(trials=40), ["complete"] * 8)
    lines = show(io.StringIO())
    at = lines.index("importance, with 90 % intervals:")
    assert re.fullmatch(r" {6}(\w+ \d+% \(\d+ to \d+\)(  |$)){3}", lines[at + 1])
    assert lines[at + 2].strip() == (
        "the intervals overlap: 8 complete trials do not tell yet which parameter matters most"
    )


def test_importances_that_are_certain_have_no_note():
    certain = {"rate": Importance(0.8, 0.6, 0.9), "size": Importance(0.2, 0.1, 0.4)}
    first, *lines = importance_lines(certain, 60, 80)
    assert lines == ["      rate 80% (60 to 90)  size 20% (10 to 40)"]
    assert importance_lines(certain, 60, 40) == [
        first, "      rate 80% (60 to 90)", "      size 20% (10 to 40)",
    ]  # fmt: skip
    assert importance_lines({"rate": Importance(1.0, 1.0, 1.0)}, 60, 80) == []


def test_pruned_trials_are_a_table(ledger, show):
    stored = a_search(ledger, a_definition(trials=14), ["pruned"] * 12 + ["failed"] * 2)
    for trial in stored.trials[:12]:
        why = {"rule": "median", "epoch": 2, "value": 0.25, "survives_from": 0.5}
        if trial.number == 11:
            del why["survives_from"]
        outcome = {**trial.outcome.to_json(), "pruned": why}
        with ledger.transaction() as connection:
            connection.execute(
                "UPDATE trial SET outcome = ? WHERE number = ?", (json.dumps(outcome), trial.number)
            )
    trials = [ledger.trial("digits", number) for number in (0, 11)]
    assert pruned_lines(trials, "val_accuracy") == [
        "pruned  after epoch  val_accuracy  needed      by",
        "     0            2          0.25     0.5  median",
        "    11            2          0.25       -  median",
    ]
    lines = show(io.StringIO())
    assert lines[2].split() == ["0", "2", "0.25", "0.5", "median"]
    failed = [f"trial {number} failed: ValueError: no" for number in (12, 13)]
    assert lines[12:] == ["... and 2 more pruned", *failed]


def test_everything_is_in_the_json(ledger, tmp_path, capsys):
    stored = a_search(ledger, a_definition(trials=4), ["complete"] * 3 + ["failed"])
    assert main(["show", "digits", "--json", "--store", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["metric"], found["direction"], found["of"]) == ("val_accuracy", "maximize", 4)
    assert found["importances"] == {n: one.share for n, one in stored.importances.items()}
    assert found["importance_intervals"] == {
        name: [one.low, one.high] for name, one in stored.importances.items()
    }
    assert found["seconds"] == pytest.approx(3.1)
    assert found["code_differences"] == []
    assert found["trials"][0]["seconds"] == pytest.approx(1.0)
    assert found["trials"][3]["error"]["type"] == "ValueError"
    assert found["trials"][3]["value"] is None


def test_the_trials_are_rows_of_a_csv_file(ledger, tmp_path, capsys):
    stored = a_search(ledger, a_definition(SIX, trials=4), ["complete", "pruned", "failed"])
    command = ["show", "digits", "--store", str(tmp_path), "--csv"]
    assert main(command) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["trial"] for row in rows] == ["0", "1", "2"]
    for row, trial in zip(rows, stored.trials, strict=True):
        assert float(row["learning_rate"]) == trial.parameters["learning_rate"]
        assert json.loads(row["hidden"]) in [[100], [100, 50]]
    assert [row["epochs"] for row in rows] == ["10", "2", "1"]
    assert [row["error"] for row in rows] == ["", "", "ValueError: no"]
    assert rows[2]["value"] == ""
    file = tmp_path / "trials.csv"
    assert main([*command, str(file)]) == 0
    assert list(csv.DictReader(io.StringIO(file.read_text()))) == rows
    assert main([*command, str(file)]) == 2
    assert "trials.csv exists, expected a new file" in capsys.readouterr().err


def test_a_study_is_named_by_its_file_too(stored, tmp_path, capsys):
    (tmp_path / "other.toml").write_text('[study]\nname = "digits"\n')
    assert main(["show", str(tmp_path / "other.toml"), "--store", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("digits: 2 of 4 trials")
    assert main(["show", "digits.toml", "--store", str(tmp_path)]) == 2
    assert "no study 'digits.toml'" in capsys.readouterr().err


def test_a_study_is_named_by_its_script_too(stored, tmp_path, capsys):
    script = "import studies\nspace = {'dropout': studies.Float(0, 1)}\n"
    script += f"study = studies.Study(space=space, name='digits', store={str(tmp_path)!r})\n"
    (tmp_path / "shown_script.py").write_text(script)
    assert main(["show", str(tmp_path / "shown_script.py")]) == 0
    assert capsys.readouterr().out.startswith("digits: 2 of 4 trials")
