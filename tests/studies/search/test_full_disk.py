"""A disk that is full, a store that can no longer be written: two clear lines, and nothing lost."""

import errno
import os
import resource
import shutil
import sqlite3

import pytest
from drivers import Driver, ledger_of, write_study
from programs import run_to_end
from searches import trials
from waiting import wait_until_ended

from studies.cli.main import main
from studies.definition import study_file


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (sqlite3.OperationalError("database or disk is full"), "database or disk is full"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "Read-only file system"),
    ],
)
def test_command_that_cannot_write_says_so_in_two_lines(error, said, monkeypatch, capsys):
    def run(options):
        raise error

    monkeypatch.setattr("studies.cli.show.run", run)
    assert main(["show", "digits", "--store", "there"]) == 1
    assert capsys.readouterr().err == (
        f"retrial: store: cannot write there: {said}\n"
        "once that is fixed, the same command continues: what was finished is kept\n"
    )


def test_other_errors_of_the_system_are_not_blamed_on_the_disk(monkeypatch):
    def run(options):
        raise OSError(errno.ECHILD, "no child")

    monkeypatch.setattr("studies.cli.show.run", run)
    with pytest.raises(OSError, match="no child"):
        main(["show", "digits"])


class LargestFile:
    """Files that cannot grow: every write beyond a size fails, for this driver and its workers."""

    reason = "disk I/O error"

    def __init__(self, store):
        self.options = {"preexec_fn": self._limit}

    def _limit(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    def strike(self, driver):
        pass

    def mend(self):
        self.options = {}

    def remove(self):
        pass


class SmallDisk:
    """A mounted file system with too little space."""

    reason = "database or disk is full"
    options = {}  # noqa: RUF012

    def __init__(self, store):
        self.store = store
        store.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=250k", "tmpfs", store]
        if shutil.which("mount") is None or run_to_end(command).returncode:
            pytest.skip("needs the right to mount a file system")

    def strike(self, driver):
        pass

    def mend(self):
        run_to_end(["mount", "-o", "remount,size=100m", self.store], check=True)

    def remove(self):
        run_to_end(["umount", self.store], check=True)


class Immutable:
    """Files that nobody may change any more, while they are open.

    All but the one that SQLite maps into memory: writing to a page of an immutable mapped file is
    a SIGBUS of the kernel's, which no program can answer with a message. Such a driver is as good
    as killed, and `test_kills` shows what a kill costs.
    """

    reason = "disk I/O error"
    options = {}  # noqa: RUF012

    def __init__(self, store):
        self.store = store
        store.mkdir()
        if shutil.which("chattr") is None or not self._set("+i", store):
            pytest.skip("needs the right to make files immutable")
        self._set("-i", store)

    def _set(self, flag, *paths):
        return run_to_end(["chattr", flag, *paths]).returncode == 0

    def strike(self, driver):
        driver.wait_for_trial()
        self._set("+i", *(self.store / name for name in ("ledger.db", "ledger.db-wal")))

    def mend(self):
        self._set("-i", *self.store.glob("ledger.db*"))

    def remove(self):
        self.mend()


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [LargestFile, SmallDisk, Immutable])
def test_search_ends_clearly_and_continues_when_the_store_can_be_written(trouble, tmp_path):
    path = write_study(tmp_path, trials=40, epochs=8, delay=0.02)
    store, undisturbed = tmp_path / "store", tmp_path / "undisturbed"
    trouble = trouble(store)
    try:
        driver = Driver(path, store, "--jobs", "2", "--no-record", **trouble.options)
        trouble.strike(driver)
        children = driver.children()
        code, _, errors = driver.finish()
        assert (code, errors) == (
            1,
            f"retrial: store: cannot write {store}: {trouble.reason}\n"
            "once that is fixed, the same command continues: what was finished is kept\n",
        )
        wait_until_ended(children)
        trouble.mend()
        finished = [trial for trial in everything(store, path) if trial["state"] != "running"]
        assert len(finished) < 40
        code, _, errors = Driver(
            path, store, "--jobs", "2", "--no-record", **trouble.options
        ).finish()
        assert (code, errors) == (0, "")
        found = everything(store, path)
    finally:
        trouble.remove()
    assert Driver(path, undisturbed, "--jobs", "2", "--no-record").finish()[0] == 0
    assert found == everything(undisturbed, path)


def everything(store, path):
    ledger = ledger_of(store)
    try:
        return trials(ledger, study_file.read(path))
    finally:
        ledger.close()


@pytest.mark.slow
def test_record_that_cannot_be_written_costs_no_trial(tmp_path):
    """The ledger is on a disk with space, MLflow's artifacts are not: it is caught up later."""
    path = write_study(tmp_path, trials=4)
    store = tmp_path / "store"
    store.mkdir()
    (store / "artifacts").write_text("no folder")
    code, output, errors = Driver(path, store, "--jobs", "2").finish()
    assert code == 0
    assert "curves: 4 of 4 trials" in output
    assert errors.startswith("retrial: not recorded yet: ")
    assert errors.count("\n") <= 2
    (store / "artifacts").unlink()
    code, output, errors = Driver(path, store, "--jobs", "2").finish()
    assert (code, errors) == (0, "")
    assert "nothing to do" not in output
    code, output, _ = Driver(path, store, "--jobs", "2").finish()
    assert output == "curves: nothing to do, 4 of 4 trials are finished\n"
