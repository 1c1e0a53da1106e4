"""`retrial extend` as a person uses it: the successor shows, reproduces and continues."""

import pytest

from studies.cli.main import main

STUDY = """
[study]
name = "{name}"
trials = {trials}
[data]
name = "digits"
[network]
hidden = [8]
[training]
epochs = 2
batch_size = 128
[space]
learning_rate = {{ low = {low}, high = 1e-1, log = true }}
{more}
"""


def run(capsys, *arguments):
    """Run a command in this process; return its exit code and what it printed."""
    code = main([str(argument) for argument in arguments])
    return code, "".join(capsys.readouterr())


@pytest.fixture
def searched(tmp_path, capsys, monkeypatch):
    """A store with a study, and the file of a wider one."""
    monkeypatch.setenv("RETRIAL_STORE", str(tmp_path / "store"))
    first, wide = tmp_path / "first.toml", tmp_path / "wide.toml"
    first.write_text(STUDY.format(name="first", trials=3, low=1e-4, more=""))
    wide.write_text(
        STUDY.format(name="wide", trials=5, low=1e-5, more="dropout = { low = 0, high = 0.5 }")
    )
    assert run(capsys, "search", first, "--jobs", "1")[0] == 0
    return first, wide


@pytest.mark.filterwarnings("ignore")  # of SQLAlchemy and MLflow, while models are logged
def test_a_wider_study_keeps_the_trials(searched, capsys):
    _, wide = searched
    code, output = run(capsys, "extend", "first", wide, "--jobs", "1")
    assert code == 0
    assert "3 of 3 earlier trials are known\n" in output
    assert "\nwide: begins with the trials of first, 2 of 5 trials left, maximize " in f"\n{output}"
    assert "wide: 5 of 5 trials, best" in output
    _, output = run(capsys, "show", "wide")
    assert output.startswith("wide: 5 of 5 trials (5 complete; 3 copied from first)")
    for number in (0, 4):
        code, output = run(capsys, "reproduce", number, "--study", "wide")
        assert (code, "exact: all metrics" in output) == (0, True), output
    code, output = run(capsys, "export", 1, "x.onnx", "--study", "wide")
    assert code == 2
    assert output == (
        "retrial: trial: trial 0001 of wide (complete) has no model, expected trial 1 of first, of "
        "which it is a copy\n"
    )
    # Both commands continue it.
    assert "wide: nothing to do" in run(capsys, "search", wide)[1]
    code, output = run(capsys, "extend", "first", wide, "--trials", "6", "--jobs", "1")
    assert (code, "wide: 6 of 6 trials" in output) == (0, True)


@pytest.mark.filterwarnings("ignore")  # of SQLAlchemy and MLflow, while models are logged
def test_more_epochs_continue_trials_and_are_reproduced_as_they_were_trained(tmp_path, capsys):
    """The cosine of the learning rate depends on the number of epochs."""
    there = ["--store", tmp_path / "store"]
    keys = 'schedule = "cosine"'
    for name, epochs in (("short", 2), ("longer", 3)):
        text = STUDY.format(name=name, trials=2 + (name == "longer"), low=1e-3, more="")
        text = text.replace("epochs = 2", f"epochs = {epochs}\n{keys}")
        (tmp_path / f"{name}.toml").write_text(text.replace("[data]", "keep_state = true\n[data]"))
    assert run(capsys, "search", tmp_path / "short.toml", "--jobs", "1", *there)[0] == 0
    code, output = run(capsys, "extend", "short", tmp_path / "longer.toml", "--jobs", "1", *there)
    assert code == 0
    assert "2 of them were trained for 2 epochs: 2 continue to 3, 0 without" in output
    for arguments in (["0"], ["1", "--at", "2"], ["1", "--at", "1"], ["2"]):
        code, output = run(capsys, "reproduce", *arguments, "--study", "longer", *there)
        assert (code, "exact: all metrics" in output) == (0, True), output


def test_refusals_name_what_to_do(searched, capsys):
    first, wide = searched
    text = first.read_text()
    first.write_text(text.replace("0.0001", "1e-05"))
    code, output = run(capsys, "search", first)
    assert code == 2
    assert "space.learning_rate.low: stored 0.0001, given 1e-05" in output
    assert output.endswith("with another study.name, `retrial extend` keeps the trials\n")
    code, output = run(capsys, "extend", "firs", wide)
    assert (code, output.count("\n")) == (2, 1)
    assert output.startswith("retrial: extend: no study 'firs'")
    first.write_text(text)
    code, output = run(capsys, "extend", "first", first)
    assert code == 2
    assert output == (
        "retrial: study.name: first is in the store and does not extend first, expected the name "
        "of a new study\n"
    )
