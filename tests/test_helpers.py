"""What the other tests rely on: default signals, programs that end, and waits that end."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import waiting
from programs import Program, killed_afterwards, run_to_end
from waiting import has_ended, until, wait_until_ended

CONFTEST = Path(__file__).with_name("conftest.py")
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]

# Loads conftest as pytest does, and starts a program that prints its signals.
IN_A_TEST = """
import runpy, sys
runpy.run_path(sys.argv[1])
from programs import run_to_end
print(run_to_end([sys.executable, "-c", sys.argv[2]], check=True).stdout, end="")
"""
PRINT_SIGNALS = """
import signal
print([signal.getsignal(number) for number in (2, 15, 1, 3)])
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def ignore_and_block():
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def test_programs_have_default_signals_where_the_tests_were_started_without():
    printed = run_to_end([sys.executable, "-c", PRINT_SIGNALS], check=True).stdout
    command = [sys.executable, "-c", PRINT_SIGNALS]
    ignored = run_to_end(command, check=True, preexec_fn=ignore_and_block).stdout
    assert ignored != printed
    command = [sys.executable, "-c", IN_A_TEST, CONFTEST, PRINT_SIGNALS]
    restored = run_to_end(command, check=True, preexec_fn=ignore_and_block).stdout
    assert restored == printed
    assert "default_int_handler" in printed
    assert printed.count("SIG_DFL") == 3
    assert printed.endswith("set()\n")


# Starts a child, and ends or waits.
WITH_A_CHILD = """
import signal, subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", "import signal; signal.pause()"], start_new_session=sys.argv[2] == "own",
    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
print(child.pid, flush=True)
if sys.argv[1] == "wait":
    signal.pause()
"""


@pytest.mark.parametrize(("parent", "group"), [("wait", "same"), ("end", "same"), ("wait", "own")])
def test_a_program_is_killed_with_its_children_after_its_test(parent, group):
    with pytest.raises(ZeroDivisionError), killed_afterwards():  # noqa: PT012
        program = Program("-c", WITH_A_CHILD, parent, group)
        child = psutil.Process(int(program.line()))
        assert not has_ended(child)
        raise ZeroDivisionError("a test that fails")
    wait_until_ended([child])
    assert has_ended(program.pid)


def test_a_process_that_nobody_has_reaped_has_ended():
    process = subprocess.Popen([sys.executable, "-c", ""])
    zombie = psutil.Process(process.pid)
    until(lambda: zombie.status() == psutil.STATUS_ZOMBIE)
    assert zombie.is_running()
    assert has_ended(zombie)
    assert has_ended(process.pid)
    process.wait()
    assert has_ended(zombie)
    assert has_ended(process.pid)


def test_a_wait_fails_with_what_was_waited_for(monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE", 0.1)
    monkeypatch.setattr("programs.PATIENCE", 0.1)
    with pytest.raises(pytest.fail.Exception, match=r"waited 0.1 s in vain for a miracle"):
        until(lambda: False, "a miracle")
    program = Program("-c", "import signal; print('here', flush=True); signal.pause()")
    program.line()
    with pytest.raises(pytest.fail.Exception, match=r"in vain for the pattern 'there'\nhere"):
        program.wait_for("there")
    with pytest.raises(AssertionError, match=r"it runs after 0.1 s\nhere"):
        program.wait()
    with pytest.raises(subprocess.TimeoutExpired):
        run_to_end([sys.executable, "-c", "import signal; signal.pause()"])
