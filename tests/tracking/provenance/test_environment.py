"""What a trial ran in, and what of it can change a result."""

import json
import os
import sys
from dataclasses import replace

import pytest
from programs import run_to_end

from tracking.provenance.environment import capture
from tracking.records import UNKNOWN, Difference, Environment, Git, differences
from tracking.runs.study_run import source_tags


def test_capturing_an_environment_gives_json_with_every_fact(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/retrial", "search", "digits", "--jobs", "2"])
    found = capture(data={"digits": "d" * 64})

    assert Environment.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert found.command == "retrial search digits --jobs 2"
    assert found.data == {"digits": "d" * 64}
    assert found.blas.threads == 1
    assert found.versions.keys() >= {"numpy", "mlflow", "optuna", "joblib", "scikit-learn"}
    assert len(found.code["nets"]) == 64
    assert UNKNOWN not in (found.host, found.cpu, found.os, found.blas.kernel)


def test_a_password_in_the_command_line_is_left_out(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["retrial", "search", "--cluster", "tcp://me:secret@host:1"])
    assert capture().command == "retrial search --cluster tcp://host:1"


def test_what_cannot_be_read_is_unknown(monkeypatch):
    def broken(*_, **__):
        raise OSError

    for name in (
        "socket.gethostname", "platform.platform", "subprocess.run", "getpass.getuser",
        "threadpoolctl.threadpool_info",
    ):  # fmt: skip
        monkeypatch.setattr(f"tracking.provenance.environment.{name}", broken)
    found = capture()
    unknown = {key for key, value in found.to_json().items() if value == UNKNOWN}
    assert unknown == {"host", "os", "user", "blas"}
    assert found.git == Git(UNKNOWN, of="nets")
    assert Environment.from_json(found.to_json()) == found
    assert differences(found, found) == []


def test_describing_a_machine_imports_nothing_heavy():
    code = (
        "import sys; from tracking.provenance.environment import capture; capture();"
        "print(sorted({'mlflow', 'optuna', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    assert run_to_end([sys.executable, "-c", code], check=True).stdout == "[]\n"


def test_code_that_is_not_there_is_unknown():
    assert capture(modules=["no_such.module"]).code["no_such.module"] == UNKNOWN


def git(folder, *arguments):
    identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
                "GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": os.devnull}  # fmt: skip
    return run_to_end(
        ["git", *arguments], cwd=folder, env={**os.environ, **identity}, check=True
    ).stdout.strip()  # fmt: skip


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git repository with one committed file, which `capture` takes for that of nets."""
    package = tmp_path / "nets"
    package.mkdir()
    (package / "__init__.py").write_text("x = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "nets")
    return package


def test_a_clean_checkout_is_its_commit(checkout):
    assert capture().git == Git(git(checkout, "rev-parse", "HEAD"), dirty=False, of="nets")


def test_uncommitted_changes_are_kept_with_the_commit(checkout):
    (checkout / "__init__.py").write_text("x = 2\n")
    found = capture().git
    assert found.dirty is True
    assert "+x = 2" in found.diff


def test_the_diff_has_no_secrets(checkout):
    (checkout / "deploy").mkdir()
    for name in (".env", "deploy/Secrets.toml", "deploy/id_rsa", "deploy/server.pem", "notes.txt"):
        (checkout / name).write_text(f"of {name}: postgresql://me:hunter2@host")
    git(checkout, "add", "--force", ".")

    diff = capture().git.diff
    assert "+of notes.txt: postgresql://me@host" in diff
    assert diff.count("+of ") == 1


def test_a_huge_diff_is_cut_and_says_so(checkout, monkeypatch):
    monkeypatch.setattr("tracking.provenance.environment.DIFF_LIMIT", 100)
    (checkout / "__init__.py").write_text("y = 3\n" * 100)
    found = capture().git
    assert len(found.diff.encode()) == 100
    assert found.diff_left_out_bytes > 500


def test_code_that_is_in_somebody_elses_repository_has_no_commit(checkout):
    git(checkout, "rm", "-q", "--cached", "__init__.py")
    assert capture().git == Git(UNKNOWN, of="nets")


@pytest.fixture
def objective(tmp_path, monkeypatch):
    """The file of an objective in a folder on Python's path, which is not a repository yet."""
    file = tmp_path / "project" / "my_descent.py"
    file.parent.mkdir()
    file.write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(file.parent))
    return file


def test_the_commit_is_that_of_the_objective_and_says_so(objective):
    folder = objective.parent
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    clean = capture(objective="my_descent").git
    assert clean == Git(git(folder, "rev-parse", "HEAD"), dirty=False, of="my_descent")
    assert capture().git.commit != clean.commit

    objective.write_text("x = 2\n")
    changed = capture(objective="my_descent").git
    assert (changed.commit, changed.dirty) == (clean.commit, True)
    assert "+x = 2" in changed.diff


def test_an_objective_that_is_not_tracked_is_not_committed(objective):
    folder = objective.parent
    (folder / "other.py").write_text("")
    git(folder, "init", "-q")
    git(folder, "add", "other.py")
    git(folder, "commit", "-q", "-m", "one")
    commit = git(folder, "rev-parse", "HEAD")
    assert capture(objective="my_descent").git == Git(commit, dirty=True, of="my_descent")


def test_an_objective_in_a_package_has_the_checkout_of_its_file(objective, monkeypatch):
    package = objective.parent / "my_package"
    package.mkdir()
    for name in ("__init__.py", "descent.py"):
        (package / name).write_text("")
    git(package, "init", "-q")
    git(package, "add", ".")
    git(package, "commit", "-q", "-m", "one")
    found = capture(objective="my_package.descent").git
    monkeypatch.delitem(sys.modules, "my_package")
    assert found == Git(git(package, "rev-parse", "HEAD"), dirty=False, of="my_package")


def test_git_reads_the_repository_of_the_objective_also_in_a_hook(objective, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(objective.parent / "no such repository"))
    folder = objective.parent
    environment = {name: os.environ[name] for name in os.environ if name != "GIT_DIR"}
    for command in (["init", "-q"], ["add", "."]):
        run_to_end(["git", *command], cwd=folder, env=environment, check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    run_to_end(["git", *identity, "commit", "-qm", "one"], cwd=folder, env=environment, check=True)
    assert capture(objective="my_descent").git.dirty is False


@pytest.mark.parametrize("state", ["no repository", "no commit", "no git", "no module"])
def test_without_a_commit_of_the_objective_none_is_recorded(objective, monkeypatch, state):
    if state == "no commit":
        git(objective.parent, "init", "-q")
        git(objective.parent, "add", ".")
    if state == "no git":
        monkeypatch.setenv("PATH", "")
    name = "no_such_module" if state == "no module" else "my_descent"
    found = capture(objective=name)
    assert found.git == Git(UNKNOWN, of=name)
    assert "mlflow.source.git.commit" not in source_tags(found)


def changed(environment, *path, value):
    copy = json.loads(json.dumps(environment.to_json()))
    part = copy
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return Environment.from_json(copy)


DECISIVE = [
    (("python",), "3.12.1", "versions: Python was 3.11.7, is 3.12.1"),
    (("versions", "numpy"), "2.5.0", "versions: NumPy was 2.4.6, is 2.5.0"),
    (("blas", "library"), "mkl", "versions: BLAS library was openblas, is mkl"),
    (("blas", "version"), "0.4", "versions: BLAS was 0.3, is 0.4"),
    (("blas", "kernel"), "Zen", "kernel: BLAS kernel was Haswell, is Zen"),
    (("simd",), ["X86_V2"], "kernel: NumPy's SIMD lost X86_V3"),
    (("simd",), ["X86_V2", "X86_V4"], "kernel: NumPy's SIMD lost X86_V3 and gained X86_V4"),
    (("code", "nets"), "e" * 64, f"code: nets was {'c' * 12}, is {'e' * 12}"),
    (("code", "mine"), "e" * 64, f"code: mine was not recorded, is {'e' * 12}"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), DECISIVE)
def test_a_decisive_part_that_differs_is_a_difference(environment, path, value, sentence):
    other = changed(environment, *path, value=value)
    assert other.decisive() != environment.decisive()
    assert list(map(str, differences(environment, other))) == [sentence]


def test_other_data_and_threads_are_differences_but_not_of_the_machine(environment):
    data = changed(environment, "data", "digits", value="e" * 64)
    threads = changed(environment, "blas", "threads", value=2)
    assert differences(environment, data) == [Difference("data", "digits", "d" * 64, "e" * 64)]
    assert differences(environment, threads) == [Difference("threads", "BLAS threads", 1, 2)]
    assert data.decisive() == environment.decisive()


@pytest.mark.parametrize("key", ["host", "os", "cpu", "command", "captured", "git", "user"])
def test_what_cannot_change_a_result_is_no_difference(environment, key):
    other = replace(environment, **{key: "something else"})
    assert differences(environment, other) == []
    assert other.decisive() == environment.decisive()


def test_an_environment_that_is_not_known_differs_from_one_that_is(environment):
    kinds = {difference.kind for difference in differences(Environment(), environment)}
    assert kinds == {"data", "code", "versions", "threads", "kernel"}
    assert differences(Environment(), Environment()) == []


def test_two_captures_of_one_process_do_not_differ():
    assert differences(capture(), capture()) == []
