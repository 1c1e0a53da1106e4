"""The pinned kernel: chosen once, in force in other processes, followed by a reproduction."""

import os
import sys

import pytest
from programs import run_to_end

from nets.errors import InputError
from studies.cli.main import main
from studies.workers import cpu_pinning
from tracking.ledger import Ledger
from tracking.records import Blas, Environment
from tracking.store import names


def test_a_pinned_process_computes_with_what_all_machines_have():
    variables = cpu_pinning.choose()
    pinned = cpu_pinning.capture(variables)
    assert pinned.blas.kernel.lower() == variables[cpu_pinning.BLAS].lower()
    assert not [name for name in pinned.simd if name.startswith(("AVX512", "X86_V4", "SVE"))]
    assert cpu_pinning.unpinned(variables, pinned) == []
    assert pinned.pinned == variables
    # This process has not changed.
    assert cpu_pinning.BLAS not in os.environ


def test_without_variables_this_process_is_described():
    described = cpu_pinning.capture({}, data={"digits": "ab"})
    assert described.pinned is None
    assert described.data == {"digits": "ab"}


def test_a_machine_that_cannot_be_pinned_is_refused(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(InputError, match="got a machine of architecture riscv64, expected x86_64"):
        cpu_pinning.choose()


def test_a_blas_that_does_not_follow_is_refused(monkeypatch):
    other = Environment(blas=Blas(kernel="Accelerate"), simd=())
    monkeypatch.setattr(cpu_pinning, "capture", lambda variables: other)
    with pytest.raises(InputError, match="computes with Accelerate here despite OPENBLAS_CORE"):
        cpu_pinning.choose()


@pytest.mark.slow
def test_a_portable_trial_is_recorded_with_its_kernel_and_reproduced_with_it(tmp_path):
    retrial("search", "digits", "--trials", "2", "--jobs", "1", "--portable", store=tmp_path)
    ledger = Ledger(tmp_path / names.LEDGER)
    stored = ledger.study("digits")
    ledger.close()
    pinned = stored.notes.pinned
    assert stored.environment.blas.kernel == pinned[cpu_pinning.BLAS]
    assert stored.definition["study"]["portable"] is True
    output = retrial("reproduce", "best", "--study", "digits", store=tmp_path)
    assert "exact: all metrics and digests" in output


def retrial(*arguments, store):
    """Run a command in another process; return what it prints."""
    command = [sys.executable, "-m", "studies.cli.main", *arguments, "--store", str(store)]
    return run_to_end(command, check=True).stdout


def test_a_study_is_not_continued_with_another_kernel(tmp_path, capsys):
    arguments = ["search", "digits", "--jobs", "1", "--no-record", "--store", str(tmp_path)]
    assert main([*arguments, "--trials", "1", "--portable"]) == 0
    assert main([*arguments, "--trials", "2"]) == 2
    assert "study.portable" in capsys.readouterr().err
