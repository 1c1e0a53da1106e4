"""Facts that Linux and macOS tell in different ways."""

import subprocess
import sys

import numpy as np
from programs import Program
from waiting import until

from tracking.provenance import environment, system
from tracking.records import UNKNOWN, Blas


def without_proc(monkeypatch):
    read = system.Path.read_text

    def missing(*_, **__):
        raise FileNotFoundError

    def read_text(path, *arguments, **options):
        return missing() if str(path).startswith("/proc") else read(path, *arguments, **options)

    monkeypatch.setattr(system.Path, "read_text", read_text)
    monkeypatch.setattr(system, "open", missing, raising=False)


def test_a_process_keeps_its_start_time_without_proc(monkeypatch):
    without_proc(monkeypatch)
    one, other = (Program("-c", "import signal; signal.pause()", folder="/") for _ in range(2))
    born = system.birth(one.pid)
    assert born is not None
    assert system.birth(one.pid) == born
    one.kill()
    until(lambda: system.birth(one.pid) is None)
    other.kill()


def test_the_processor_has_a_name_without_proc(monkeypatch):
    without_proc(monkeypatch)
    monkeypatch.setattr(system.platform, "processor", lambda: "arm")
    assert system.processor() == "arm"
    monkeypatch.setattr(system.platform, "processor", lambda: "")
    assert environment.capture().cpu == UNKNOWN


def test_macos_names_its_processor(monkeypatch):
    def run(command, **options):
        assert command == ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.CompletedProcess(command, 0, "Apple M2\n")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(system.subprocess, "run", run)
    assert system.processor() == "Apple M2"


def test_apples_blas_has_the_version_of_macos(monkeypatch):
    config = {"Build Dependencies": {"blas": {"name": "accelerate"}}, "SIMD Extensions": {}}
    monkeypatch.setattr(np, "show_config", lambda mode: config)
    monkeypatch.setattr("platform.mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    assert environment.capture().blas == Blas("accelerate", "15.1", UNKNOWN, UNKNOWN)
