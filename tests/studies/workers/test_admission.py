"""Which workers may train for a study, told from what they say of themselves."""

import copy
from dataclasses import replace

import pytest
from searches import a_study, admit

from nets.errors import InputError
from studies.workers import cpu_pinning, dask_worker
from studies.workers.admission import (
    FIRST_WORKER,
    MIXED,
    Admission,
    Description,
    check_data,
    decisive,
    programs,
)
from tracking.provenance.environment import capture, differences, fingerprint

HERE = capture()


@pytest.fixture
def study(ledger):
    study = a_study()
    admit(study, ledger)
    return study


def a_worker(**changes):
    """A worker like this process, with some of what it computes with changed."""
    return Description({**copy.deepcopy(HERE), **changes}, programs(["curves"]))


def an_older_numpy():
    return a_worker(versions={**HERE["versions"], "numpy": "2.0.0"})


def test_only_the_data_that_a_study_began_with_goes_on_with_it(ledger, study):
    record = ledger.study(study.name)
    began = replace(record, environment={"data": {"cells": "a" * 64}})
    check_data(began, {"cells": "a" * 64})
    check_data(replace(record, environment={}), {"cells": "a" * 64})  # of an old store
    with pytest.raises(InputError) as refused:
        check_data(began, {"cells": "b" * 64})
    assert str(refused.value).splitlines() == [
        f"data: cells was aaaaaaaaaaaa, is bbbbbbbbbbbb since {study.name} began",
        "accepted is the same data, or another study.name: values of trials would not compare",
    ]


def test_the_first_worker_is_what_others_must_equal(ledger, study):
    admission = Admission(ledger, study, {})
    assert admission.rejection(a_worker()) is None
    assert ledger.study(study.name).notes[FIRST_WORKER] == decisive(HERE)
    assert admission.rejection(a_worker(host="another", cpu="another", cores=64)) is None
    # Also for the next driver.
    refusal = Admission(ledger, study, {}).rejection(an_older_numpy())
    assert refusal == (
        "it differs from the study's first worker: versions: NumPy was "
        f"{HERE['versions']['numpy']}, is 2.0.0; accepted are an equal worker, a study with "
        "portable = true (where the kernel differs), or --mixed"
    )


def test_a_mixed_study_admits_and_remembers_what_differs(ledger, study):
    admission = Admission(ledger, study, {}, mixed=True)
    assert admission.rejection(a_worker()) is None
    assert MIXED not in ledger.study(study.name).notes
    assert admission.rejection(an_older_numpy()) is None
    assert admission.rejection(an_older_numpy()) is None
    [said] = ledger.study(study.name).notes[MIXED]
    assert said.startswith("versions: NumPy was")
    # The record of a trial says it of the worker that trained it, and of no other.
    assert admission.record(an_older_numpy())[MIXED] == [said]
    assert MIXED not in admission.record(a_worker())


def test_other_code_is_refused_even_by_a_mixed_study(ledger, study):
    worker = a_worker()
    other = replace(worker, programs={**worker.programs, "the code of nets": "f" * 64})
    refusal = Admission(ledger, study, {}, mixed=True).rejection(other)
    assert refusal.startswith("the code of nets is ffffffffffff there and ")


def test_a_portable_study_takes_no_first_worker_that_is_not_pinned(ledger, study):
    variables = {cpu_pinning.BLAS: "Haswell", cpu_pinning.NUMPY: "X86_V4"}
    admission = Admission(ledger, study, variables)
    native = a_worker(blas={**HERE["blas"], "kernel": "Zen"}, simd=["X86_V3", "X86_V4"])
    assert admission.rejection(native) == (
        "the study pins its kernel, the worker computes with Zen, X86_V4; start it with: "
        "OPENBLAS_CORETYPE=Haswell NPY_DISABLE_CPU_FEATURES=X86_V4 dask worker ..."
    )
    assert FIRST_WORKER not in ledger.study(study.name).notes
    pinned = a_worker(blas={**HERE["blas"], "kernel": "Haswell"}, simd=["X86_V3"])
    assert admission.rejection(pinned) is None
    assert admission.record(pinned)[cpu_pinning.PINNED] == variables


def test_a_worker_describes_what_it_computes_with_but_not_its_own_command():
    described = dask_worker.describe([], ["curves"])
    assert described.problem is None
    assert differences(described.environment, HERE | {"code": described.environment["code"]}) == []
    assert not {"command", "git"} & described.environment.keys()


def test_a_worker_says_that_it_lacks_the_data(ledger, study, tmp_path, monkeypatch):
    monkeypatch.setenv("RETRIAL_DATA", str(tmp_path))
    described = dask_worker.describe([("mnist", "ab", str(tmp_path / "not here"))], [])
    refusal = Admission(ledger, study, {}).rejection(described)
    assert "mnist" in refusal
    assert str(tmp_path) in refusal


def test_what_is_decisive_is_what_the_fingerprint_reads():
    assert fingerprint(decisive(HERE)) == fingerprint(HERE)
