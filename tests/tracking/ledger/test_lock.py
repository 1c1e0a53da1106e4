"""One process per study: the error names the holder, and a dead holder keeps nothing."""

import json
import os
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest
from programs import Program
from waiting import PATIENCE, until

from tracking.ledger import lock
from tracking.ledger.access import Ledger
from tracking.provenance.system import birth
from tracking.records import Environment
from tracking.store.errors import StudyLocked


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ledger.db"
    Ledger(path).close()
    return path


def holder_of(path, study="digits"):
    ledger = Ledger(path)
    with ledger.transaction() as connection:
        row = connection.execute("SELECT holder FROM lock WHERE study = ?", (study,)).fetchone()
    ledger.close()
    return None if row is None else json.loads(row[0])


def held_by(path, **changes):
    """Write the lock of another process; return its holder."""
    holder = {**lock._this_process(), "doing": "confirmed", **changes}
    ledger = Ledger(path)
    with ledger.transaction() as connection:
        connection.execute("INSERT INTO lock VALUES ('digits', ?)", (json.dumps(holder),))
    ledger.close()
    return holder


@pytest.fixture
def process():
    """Another process, which runs until the test ends."""
    return Program("-c", "import signal; signal.pause()")


def process_holding(path, process):
    return held_by(path, pid=process.pid, born=birth(process.pid), since=0.0)


def unused(path):
    with Ledger(path) as ledger:
        return ledger.unused_bytes()


def leave_space(path, kept):
    """Store some bytes, and remove many."""
    with Ledger(path) as ledger:
        for study, size in (("digits", kept), ("letters", 8_000_000)):
            ledger.add_study(study, {}, Environment())
            ledger.attach(study, "kept", bytes(size))
        ledger.detach("letters")


def test_space_that_removed_rows_left_is_released_by_the_holder_of_the_lock(path):
    leave_space(path, 1_000_000)
    assert unused(path) > 7_900_000
    with lock.hold(path, "digits", "searched"):
        assert unused(path) > 7_900_000
    assert unused(path) == 0
    assert path.stat().st_size < 1_100_000
    with Ledger(path) as ledger:
        assert ledger.attachment("digits", "kept") == bytes(1_000_000)


def test_a_ledger_that_others_use_is_left_as_it_is(path, process):
    leave_space(path, 1_000_000)
    process_holding(path, process)
    with lock.hold(path, "letters", "searched"):
        pass
    assert unused(path) > 7_900_000


def test_a_ledger_that_is_mostly_used_is_left_as_it_is(path):
    leave_space(path, 30_000_000)
    with lock.hold(path, "digits", "searched"):
        pass
    assert unused(path) > 7_900_000


def test_space_that_cannot_be_released_now_is_left(path, monkeypatch):
    leave_space(path, 1_000_000)
    full = sqlite3.OperationalError("database or disk is full")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "vacuum", Mock(side_effect=full))
        with lock.hold(path, "digits", "searched"):
            pass
    assert holder_of(path) is None
    assert unused(path) > 7_900_000


def test_lock_is_held_inside_the_context_only(path):
    with lock.hold(path, "digits", "searched"):
        assert holder_of(path)["pid"] == os.getpid()
    assert holder_of(path) is None


def test_lock_is_gone_after_an_exception(path):
    with pytest.raises(ZeroDivisionError), lock.hold(path, "digits", "searched"):
        raise ZeroDivisionError
    assert holder_of(path) is None


def test_error_of_a_second_process_names_the_holder(path, process):
    process_holding(path, process)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(0.0))
    with pytest.raises(StudyLocked) as refused, lock.hold(path, "digits", "searched"):
        pass
    assert str(refused.value) == (
        f"study: digits is being confirmed by process {process.pid} on {socket.gethostname()} "
        f"since {since}; wait until it has ended, or stop it"
    )
    assert holder_of(path)["pid"] == process.pid


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_holder_survives_a_correction_of_the_clock(path, process, monkeypatch):
    process_holding(path, process)
    for clock in ("create_time", "boot_time"):
        target = psutil.Process if clock == "create_time" else psutil
        monkeypatch.setattr(target, clock, lambda *_: 0.0)
    with pytest.raises(StudyLocked), lock.hold(path, "digits", "searched"):
        pass


def test_other_study_is_not_held(path, process):
    process_holding(path, process)
    with lock.hold(path, "mnist-mlp", "searched"):
        assert holder_of(path, "mnist-mlp")["pid"] == os.getpid()


def test_lock_of_a_dead_process_is_taken_immediately(path, process):
    process_holding(path, process)
    process.kill()
    with lock.hold(path, "digits", "searched"):
        assert holder_of(path)["pid"] == os.getpid()


def test_lock_of_a_killed_process_that_was_not_reaped_is_taken_immediately(path, process):
    process_holding(path, process)
    process.signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    with lock.hold(path, "digits", "searched"):
        assert holder_of(path)["pid"] == os.getpid()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_another_process_with_the_id_of_a_dead_holder_holds_nothing(path, process):
    boot, ticks = birth(process.pid).split()
    held_by(path, pid=process.pid, born=f"{boot} {int(ticks) - 1}")
    with lock.hold(path, "digits", "searched"):
        assert holder_of(path)["pid"] == os.getpid()


@pytest.mark.parametrize(("silent_for", "is_dead"), [(10.0, False), (61.0, True)])
def test_holder_on_another_machine_is_alive_while_it_sends_heartbeats(path, silent_for, is_dead):
    held_by(path, host="elsewhere", beat=time.time() - silent_for)
    if is_dead:
        with lock.hold(path, "digits", "searched"):
            assert holder_of(path)["pid"] == os.getpid()
    else:
        with (
            pytest.raises(StudyLocked, match="on elsewhere since"),
            lock.hold(path, "digits", "searched"),
        ):
            pass


def taken_over(path):
    """Let a process on another machine take the lock; return its holder."""
    ledger = Ledger(path)
    with ledger.transaction() as connection:
        connection.execute("DELETE FROM lock")
    ledger.close()
    return held_by(path, host="elsewhere", token="theirs")


def test_process_suspended_while_another_took_over_is_interrupted_and_keeps_off_the_lock(
    path, monkeypatch, capsys
):
    monkeypatch.setattr(lock, "_BEAT_SECONDS", 0.1)
    with pytest.raises(KeyboardInterrupt), lock.hold(path, "digits", "searched"):  # noqa: PT012
        theirs = taken_over(path)
        threading.Event().wait(PATIENCE)
    assert holder_of(path) == theirs
    assert capsys.readouterr().err == "retrial: digits was taken over by another process\n"


def test_holder_sends_heartbeats(path, monkeypatch):
    monkeypatch.setattr(lock, "_BEAT_SECONDS", 0.01)
    with lock.hold(path, "digits", "searched"):
        first = holder_of(path)["beat"]
        until(lambda: holder_of(path)["beat"] != first, "a heartbeat")


def test_lock_can_be_released_when_the_disk_is_full(path):
    """The row stays, as the lock of a dead process, and no other error is hidden."""
    ledger = Ledger(path)
    with ledger.transaction() as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE DELETE ON lock BEGIN SELECT RAISE(FAIL, 'full'); END"
        )
    ledger.close()
    with pytest.raises(ZeroDivisionError), lock.hold(path, "digits", "searched"):
        raise ZeroDivisionError
    assert holder_of(path) is not None
