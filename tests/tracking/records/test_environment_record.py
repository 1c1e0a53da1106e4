"""Environments: which parts decide a result, and how two differ, as sentences."""

from dataclasses import replace

import pytest

from tracking.records import (
    UNKNOWN,
    Blas,
    Difference,
    Environment,
    Git,
    differences,
    no_longer_imported,
)

environment = Environment(
    command="retrial search digits",
    python="3.11.7",
    versions={"numpy": "2.3.0", "optuna": "5.0.0"},
    blas=Blas("openblas", "0.3.30", "SkylakeX", 1),
    simd=("X86_V2", "X86_V3"),
    code={"nets": "c" * 64},
    git=Git("2258", True, "diff", 7),
    data={"digits": "d" * 64},
    extra={"later": 1},
)


def sentences(now, recorded=environment):
    return [str(difference) for difference in differences(recorded, now)]


def test_equal_environments_do_not_differ():
    assert differences(environment, environment) == []
    assert differences(Environment(), Environment()) == []


def test_what_cannot_change_a_result_is_no_difference():
    now = replace(
        environment, command="x", cores=64, host="other", git=None,
        versions={"numpy": "2.3.0", "optuna": "6.0.0"}, extra={},
    )  # fmt: skip
    assert differences(environment, now) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"data": {"digits": "e" * 64}}, "data: digits was dddddddddddd, is eeeeeeeeeeee"),
        ({"data": None}, "data: digits was dddddddddddd, is not recorded"),
        ({"code": {"nets": "a" * 64}}, "code: nets was cccccccccccc, is aaaaaaaaaaaa"),
        ({"python": "3.12.0"}, "versions: Python was 3.11.7, is 3.12.0"),
        ({"versions": {"numpy": "2.4.1"}}, "versions: NumPy was 2.3.0, is 2.4.1"),
        ({"versions": None}, "versions: NumPy was 2.3.0, is not recorded"),
        ({"simd": ("X86_V2",)}, "kernel: NumPy's SIMD lost X86_V3"),
        ({"simd": ("X86_V2", "X86_V3", "X86_V4")}, "kernel: NumPy's SIMD gained X86_V4"),
        ({"simd": ("X86_V2", "SVE")}, "kernel: NumPy's SIMD lost X86_V3 and gained SVE"),
        ({"simd": UNKNOWN}, "kernel: NumPy's SIMD was X86_V2, X86_V3, is unknown"),
        ({"simd": None}, "kernel: NumPy's SIMD was X86_V2, X86_V3, is not recorded"),
    ],
)
def test_a_difference_is_a_clause(change, sentence):
    assert sentences(replace(environment, **change)) == [sentence]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"library": "mkl"}, "versions: BLAS library was openblas, is mkl"),
        ({"version": "0.3.31"}, "versions: BLAS was 0.3.30, is 0.3.31"),
        ({"threads": 4}, "threads: BLAS threads was 1, is 4"),
        ({"kernel": "Zen"}, "kernel: BLAS kernel was SkylakeX, is Zen"),
        ({"kernel": None}, "kernel: BLAS kernel was SkylakeX, is not recorded"),
    ],
)
def test_a_difference_of_the_blas_is_a_clause(change, sentence):
    assert sentences(replace(environment, blas=replace(environment.blas, **change))) == [sentence]


def test_differences_have_kind_name_and_both_values():
    now = replace(environment, code={"nets": "c" * 64, "valley": "b" * 64}, simd=("X86_V3",))
    assert differences(environment, now) == [
        Difference("code", "valley", None, "b" * 64),
        Difference("kernel", "NumPy's SIMD", ("X86_V2", "X86_V3"), ("X86_V3",)),
    ]
    assert sentences(now)[0] == "code: valley was not recorded, is bbbbbbbbbbbb"


def imports(**digests):
    """The environment of a worker that had imported files of these names."""
    return replace(environment, imported={f"{name}.py": digests[name] for name in digests})


@pytest.mark.parametrize(
    ("recorded", "now", "expected"),
    [
        (imports(a="1"), imports(a="1"), []),
        (imports(a="1"), imports(a="2"), ["imported: a.py was 1, is 2"]),
        (imports(), imports(a="2"), ["imported: a.py was not imported, is 2"]),
        # The same file under another name, as one that was loaded by its path may have.
        (imports(a="1"), imports(b="1"), []),
        # A worker has imported more if it has trained other trials before.
        (imports(a="1", b="1"), imports(a="1"), []),
        # Older records do not say, and a driver does not know.
        (environment, imports(a="1"), []),
        (imports(a="1"), environment, []),
    ],
)
def test_an_imported_file_that_has_changed_is_named(recorded, now, expected):
    assert sentences(now, recorded) == expected


def test_files_that_only_the_recorded_training_imported_are_listed_apart():
    recorded, now = imports(b="2", a="1", c="3"), imports(c="4")
    assert list(map(str, no_longer_imported(recorded, now))) == [
        "imported: a.py was 1, is not imported",
        "imported: b.py was 2, is not imported",
    ]
    assert no_longer_imported(recorded, environment) == []
    assert no_longer_imported(environment, now) == []


def test_differences_come_in_the_order_of_likely_causes():
    now = Environment(
        python="3.12.0",
        versions={"numpy": "2.4.1"},
        blas=Blas("mkl", "1", "Zen", 2),
        simd=("SVE",),
        code={"nets": "1", "a": "2"},
        data={"digits": "3", "z": "4"},
        imported={"b.py": "5"},
    )
    recorded = replace(environment, imported={})
    found = [(difference.kind, difference.name) for difference in differences(recorded, now)]
    assert found == [
        ("data", "digits"),
        ("data", "z"),
        ("code", "a"),
        ("code", "nets"),
        ("imported", "b.py"),
        ("versions", "Python"),
        ("versions", "NumPy"),
        ("versions", "BLAS library"),
        ("versions", "BLAS"),
        ("threads", "BLAS threads"),
        ("kernel", "BLAS kernel"),
        ("kernel", "NumPy's SIMD"),
    ]


def test_an_environment_whose_facts_could_not_be_read_still_compares():
    now = replace(environment, blas=UNKNOWN, git=UNKNOWN)
    assert {difference.after for difference in differences(environment, now)} == {None}
    assert now.of_trial().git is None


def test_a_trial_keeps_what_decides_its_result_and_the_commit():
    assert environment.of_trial() == Environment(
        python="3.11.7",
        versions={"numpy": "2.3.0", "optuna": "5.0.0"},
        blas=environment.blas,
        simd=("X86_V2", "X86_V3"),
        code={"nets": "c" * 64},
        git=Git("2258", True),
    )


def test_the_decisive_parts_are_equal_where_results_are():
    elsewhere = replace(environment, host="other", git=None, data={}, extra={})
    assert elsewhere.decisive() == environment.decisive()
    assert environment.decisive().versions == {"numpy": "2.3.0"}
    assert Environment().decisive().versions == {"numpy": UNKNOWN}
    assert replace(environment, simd=("X86_V2",)).decisive() != environment.decisive()


def test_a_worker_takes_the_place_of_the_driver_part_by_part():
    worker = Environment(python="3.12.0", mixed=("x",), extra={"new": 2})
    merged = environment.with_worker(worker)
    assert merged == replace(
        environment, python="3.12.0", mixed=("x",), extra={"later": 1, "new": 2}
    )
    assert environment.with_worker(None) is environment
