"""One driver a study: who holds it is said, and a dead holder keeps nothing."""

import json
import os
import socket
import subprocess
import sys
import time

import psutil
import pytest

from nets.errors import InputError
from studies import lock
from tracking.ledger import Ledger


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
    """Write a lock as another driver would have left it; returns it."""
    holder = {**lock._myself(), "doing": "confirmed", **changes}
    ledger = Ledger(path)
    with ledger.transaction() as connection:
        connection.execute("INSERT INTO lock VALUES ('digits', ?)", (json.dumps(holder),))
    ledger.close()
    return holder


@pytest.fixture
def process():
    """Another process that lives until the test ends."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def process_holding(path, process):
    started = psutil.Process(process.pid).create_time()
    return held_by(path, pid=process.pid, started=started, since=0.0)


def test_lock_is_held_inside_and_gone_behind_it(path):
    with lock.hold(path, "digits", "searched"):
        assert holder_of(path)["pid"] == os.getpid()
    assert holder_of(path) is None


def test_lock_is_gone_after_an_exception(path):
    with pytest.raises(ZeroDivisionError), lock.hold(path, "digits", "searched"):
        raise ZeroDivisionError
    assert holder_of(path) is None


def test_second_driver_hears_who_holds_the_study(path, process):
    process_holding(path, process)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(0.0))
    with (
        pytest.raises(
            InputError,
            match=f"^study: digits is being confirmed by process {process.pid} on "
            f"{socket.gethostname()} since {since}; accepted is one driver at a time$",
        ),
        lock.hold(path, "digits", "searched"),
    ):
        pass
    assert holder_of(path)["pid"] == process.pid


def test_other_study_is_not_held(path, process):
    process_holding(path, process)
    with lock.hold(path, "mnist-mlp", "searched"):
        assert holder_of(path, "mnist-mlp")["pid"] == os.getpid()


def test_lock_of_a_dead_driver_is_taken_at_once(path, process):
    process_holding(path, process)
    process.kill()
    process.wait()
    with lock.hold(path, "digits", "searched"):
        assert holder_of(path)["pid"] == os.getpid()


def test_lock_of_a_killed_driver_that_nobody_has_missed_is_taken_at_once(path, process):
    process_holding(path, process)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    with lock.hold(path, "digits", "searched"):
        assert holder_of(path)["pid"] == os.getpid()


def test_another_process_with_the_number_of_a_dead_driver_holds_nothing(path, process):
    started = psutil.Process(process.pid).create_time()
    held_by(path, pid=process.pid, started=started - 3600)
    with lock.hold(path, "digits", "searched"):
        assert holder_of(path)["pid"] == os.getpid()


@pytest.mark.parametrize(("silent_for", "is_dead"), [(10.0, False), (61.0, True)])
def test_driver_on_another_machine_lives_as_long_as_it_gives_signs(path, silent_for, is_dead):
    held_by(path, host="elsewhere", beat=time.time() - silent_for)
    if is_dead:
        with lock.hold(path, "digits", "searched"):
            assert holder_of(path)["pid"] == os.getpid()
    else:
        with (
            pytest.raises(InputError, match="on elsewhere since"),
            lock.hold(path, "digits", "searched"),
        ):
            pass


def test_driver_that_slept_while_another_took_over_leaves_the_lock_alone(path, monkeypatch):
    monkeypatch.setattr(lock, "_BEAT_SECONDS", 0.01)
    with lock.hold(path, "digits", "searched"):
        mine = holder_of(path)
        ledger = Ledger(path)
        with ledger.transaction() as connection:
            connection.execute("DELETE FROM lock")
        ledger.close()
        held_by(path, host="elsewhere", token="theirs")
        beats = holder_of(path)["beat"]
    assert holder_of(path)["token"] == "theirs" != mine["token"]
    assert holder_of(path)["beat"] == beats


def test_holder_gives_signs_of_life(path, monkeypatch):
    monkeypatch.setattr(lock, "_BEAT_SECONDS", 0.01)
    with lock.hold(path, "digits", "searched"):
        first = holder_of(path)["beat"]
        while holder_of(path)["beat"] == first:
            pass


def test_study_can_be_let_go_when_the_disk_is_full(path):
    """The lock stays behind as a dead driver's, and hides no other error."""
    ledger = Ledger(path)
    with ledger.transaction() as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE DELETE ON lock BEGIN SELECT RAISE(FAIL, 'full'); END"
        )
    ledger.close()
    with pytest.raises(ZeroDivisionError), lock.hold(path, "digits", "searched"):
        raise ZeroDivisionError
    assert holder_of(path) is not None
