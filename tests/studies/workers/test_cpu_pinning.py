"""The pinned kernel: chosen once, in force in other processes, followed by a reproduction."""

import os
import sys
from types import SimpleNamespace

import pytest
from programs import run_to_end

from nets.errors import InputError
from studies.cli.main import main
from studies.search.session import Session
from studies.workers import cpu_pinning
from tracking.ledger import Ledger
from tracking.records import Blas, Environment
from tracking.store import names


def test_a_pinned_process_computes_with_what_all_machines_have():
    before = dict(os.environ)
    variables = cpu_pinning.choose()
    pinned = cpu_pinning.capture(variables)
    assert pinned.blas.kernel.lower() == variables[cpu_pinning.BLAS].lower()
    assert not [name for name in pinned.simd if name.startswith(("AVX512", "X86_V4", "SVE"))]
    assert cpu_pinning.unpinned(variables, pinned) == []
    assert pinned.pinned == variables
    assert os.environ == before


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


@pytest.mark.parametrize("recorded", [None, {}, cpu_pinning.choose()])
def test_what_was_chosen_may_be_set_again(recorded):
    assert cpu_pinning.checked(recorded) == (recorded or {})


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        ({"PYTHONPATH": "/tmp"}, "the record sets 'PYTHONPATH' to '/tmp' for the training"),
        ({cpu_pinning.BLAS: "Haswell", "LD_PRELOAD": "x.so"}, "the record sets 'LD_PRELOAD'"),
        ({cpu_pinning.BLAS: "SkylakeX"}, "the record sets 'OPENBLAS_CORETYPE' to 'SkylakeX'"),
        ({cpu_pinning.BLAS: "Haswell\n"}, "the record sets 'OPENBLAS_CORETYPE'"),
        ({cpu_pinning.BLAS: "Haswell", cpu_pinning.NUMPY: "X86_V2"}, "to 'X86_V2'"),
        ({cpu_pinning.BLAS: "Haswell", cpu_pinning.NUMPY: "AVX512F;x"}, "to 'AVX512F;x'"),
        ({cpu_pinning.BLAS: "Haswell", cpu_pinning.NUMPY: ""}, "sets 'NPY_DISABLE_CPU_FEATURES'"),
        ({cpu_pinning.NUMPY: "X86_V4"}, "the record does not name a BLAS kernel"),
    ],
)
def test_no_other_variable_of_a_record_reaches_a_process(recorded, message):
    study = SimpleNamespace(own_modules=[])
    with pytest.raises(InputError, match=message):
        Session.prepare(study, {}, recorded)


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
