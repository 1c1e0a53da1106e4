"""Which workers may train for a study, decided from their descriptions."""

from dataclasses import replace

import pytest
from searches import a_study, admit

from nets.errors import InputError
from studies.workers import cpu_pinning, dask_worker
from studies.workers.admission import (
    Admission,
    Description,
    check_data,
    programs,
)
from tracking.provenance.environment import capture
from tracking.records import Environment, differences

HERE = capture()


@pytest.fixture
def study(ledger):
    study = a_study()
    admit(study, ledger)
    return study


def a_worker(**changes):
    """A worker like this process, with some of what it computes with changed."""
    return Description(replace(HERE, **changes), programs(["curves"]))


def an_older_numpy():
    return a_worker(versions={**HERE.versions, "numpy": "2.0.0"})


def test_only_the_data_that_a_study_began_with_goes_on_with_it(ledger, study):
    record = ledger.study(study.name)
    began = replace(record, environment=Environment(data={"cells": "a" * 64}))
    check_data(began, {"cells": "a" * 64})
    check_data(replace(record, environment=Environment()), {"cells": "a" * 64})  # of an old store
    with pytest.raises(InputError) as refused:
        check_data(began, {"cells": "b" * 64})
    assert str(refused.value) == (
        f"data: cells was aaaaaaaaaaaa, is bbbbbbbbbbbb since {study.name} began, expected the "
        "same data, or another study.name; values of trials would not compare"
    )


def test_the_first_worker_is_what_others_must_equal(ledger, study):
    admission = Admission(ledger, study, {})
    assert admission.rejection(a_worker()) is None
    assert ledger.notes(study.name).first_worker == HERE.decisive()
    assert admission.rejection(a_worker(host="another", cpu="another", cores=64)) is None
    # Also for the next driver.
    rejection = Admission(ledger, study, {}).rejection(an_older_numpy())
    assert rejection == (
        "it differs from the study's first worker: versions: NumPy was "
        f"{HERE.versions['numpy']}, is 2.0.0; use an equal worker, a study with "
        "portable = true (where the BLAS kernel differs), or --mixed"
    )


def test_a_mixed_study_admits_and_remembers_what_differs(ledger, study):
    admission = Admission(ledger, study, {}, mixed=True)
    assert admission.rejection(a_worker()) is None
    assert ledger.notes(study.name).mixed is None
    assert admission.rejection(an_older_numpy()) is None
    assert admission.rejection(an_older_numpy()) is None
    [said] = ledger.notes(study.name).mixed
    assert said.startswith("versions: NumPy was")
    # The record of a trial says it of the worker that trained it, and of no other.
    assert admission.record(an_older_numpy()).mixed == (said,)
    assert admission.record(a_worker()).mixed is None


def test_other_code_is_refused_even_by_a_mixed_study(ledger, study):
    worker = a_worker()
    other = replace(worker, programs={**worker.programs, "the code of nets": "f" * 64})
    rejection = Admission(ledger, study, {}, mixed=True).rejection(other)
    assert rejection.startswith("the code of nets is ffffffffffff there and ")


def test_a_portable_study_takes_no_first_worker_that_is_not_pinned(ledger, study):
    variables = {cpu_pinning.BLAS: "Haswell", cpu_pinning.NUMPY: "X86_V4"}
    admission = Admission(ledger, study, variables)
    native = a_worker(blas=replace(HERE.blas, kernel="Zen"), simd=("X86_V3", "X86_V4"))
    assert admission.rejection(native) == (
        "the study pins its BLAS kernel, but the worker computes with Zen, X86_V4; start it with: "
        "OPENBLAS_CORETYPE=Haswell NPY_DISABLE_CPU_FEATURES=X86_V4 dask worker ..."
    )
    assert ledger.notes(study.name).first_worker is None
    pinned = a_worker(blas=replace(HERE.blas, kernel="Haswell"), simd=("X86_V3",))
    assert admission.rejection(pinned) is None
    assert admission.record(pinned).pinned == variables


def test_a_worker_describes_what_it_computes_with_but_not_its_own_command():
    described = dask_worker.describe([], ["curves"])
    assert described.problem is None
    here = replace(HERE, code=described.environment.code)
    assert differences(described.environment, here) == []
    assert (described.environment.command, described.environment.git) == (None, None)


def test_a_worker_says_that_it_lacks_the_data(ledger, study, tmp_path, monkeypatch):
    monkeypatch.setenv("RETRIAL_DATA", str(tmp_path))
    described = dask_worker.describe([("mnist", "ab", str(tmp_path / "not here"))], [])
    rejection = Admission(ledger, study, {}).rejection(described)
    assert "mnist" in rejection
    assert str(tmp_path) in rejection
