"""exact, close or diverged, from which epoch on, and why."""

import json
import math
from dataclasses import replace

import pytest

from tracking.records import (
    Difference,
    Environment,
    EpochRecord,
    Failure,
    Training,
    TrialOutcome,
    to_json,
)
from tracking.runs.verdict import Verdict, compare, write_certificate
from tracking.store import names


def epochs(*accuracies, weights="w"):
    return [
        EpochRecord(
            number,
            {"train_loss": 1.0 / number, "val_accuracy": accuracy},
            {"weights": f"{weights}{number}", "batches": f"b{number}"},
            0.1 * number,
        )
        for number, accuracy in enumerate(accuracies, start=1)
    ]


@pytest.fixture
def judge(environment):
    """Compare with environments equal unless said otherwise."""

    def judge(
        recorded, again, *, now=None, metric="val_accuracy", count=100, ends=(None, None),
        until=None, recorded_in=environment,
    ):  # fmt: skip
        settings = {"validation": count}
        return compare(
            Training(metric, settings, recorded_in, recorded, ends[0]),
            Training(metric, settings, now or environment, again, ends[1]),
            until,
        )

    return judge


@pytest.fixture
def another_kernel(environment):
    return replace(environment, blas=replace(environment.blas, kernel="SkylakeX"))


KERNEL = Difference("kernel", "BLAS kernel", "Haswell", "SkylakeX")


def test_equal_epochs_are_exact(judge):
    assert judge(epochs(0.8, 0.9), epochs(0.8, 0.9)) == Verdict("exact")


def test_seconds_are_not_compared(judge):
    again = [replace(epoch, seconds=99.0) for epoch in epochs(0.8)]
    assert judge(epochs(0.8), again).verdict == "exact"


def test_equal_epochs_are_exact_in_another_environment_too_and_it_is_named(judge, another_kernel):
    verdict = judge(epochs(0.8), epochs(0.8), now=another_kernel)
    assert verdict == Verdict("exact", causes=(KERNEL,))
    assert verdict.differences == ["kernel: BLAS kernel was Haswell, is SkylakeX"]


def test_no_epochs_on_both_sides_are_exact(judge):
    assert judge([], []).verdict == "exact"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.1 + 0.2, 5e-324, 0.0])
def test_a_value_is_equal_to_itself_after_json(judge, value):
    stored = json.loads(json.dumps(to_json(epochs(value))))
    assert judge(list(map(EpochRecord.from_json, stored)), epochs(value)).verdict == "exact"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.3, 0.1 + 0.2),
        (0.0, -0.0),
        (math.nan, 0.5),
        (math.inf, -math.inf),
        (1.0, math.nextafter(1.0, 2)),
    ],
)
def test_the_last_bit_counts(judge, one, other):
    verdict = judge(epochs(0.5, one), epochs(0.5, other))
    assert (verdict.verdict, verdict.epoch, verdict.metric) == ("diverged", 2, "val_accuracy")
    assert verdict.differences[0] == f"epoch 2: val_accuracy was {one!r}, is {other!r}"


def test_a_whole_number_equals_the_float_it_stands_for(judge):
    assert judge(epochs(1), epochs(1.0)).verdict == "exact"


def test_the_first_epoch_that_differs_is_named(judge):
    verdict = judge(epochs(0.1, 0.2, 0.3), epochs(0.1, 0.9, 0.9))
    assert (verdict.epoch, verdict.metric) == (2, "val_accuracy")


def test_a_digest_that_differs_is_a_difference_though_all_metrics_are_equal(judge):
    verdict = judge(epochs(0.5), epochs(0.5, weights="v"))
    assert (verdict.verdict, verdict.epoch, verdict.metric) == ("diverged", 1, "weights")
    assert verdict.differences[0] == "epoch 1: the digest of weights differs"


@pytest.mark.parametrize("key", ["metrics", "digests"])
@pytest.mark.parametrize("side", ["recorded", "again"])
def test_what_only_one_side_has_is_a_difference(judge, key, side):
    short, long = epochs(0.5), epochs(0.5)
    getattr(long[0], key)["extra"] = "x" if key == "digests" else 1.0
    verdict = judge(long, short) if side == "recorded" else judge(short, long)
    assert (verdict.verdict, verdict.metric) == ("diverged", "extra")


def test_a_training_that_ended_early_diverged(judge):
    verdict = judge(epochs(0.1, 0.2), epochs(0.1))
    assert (verdict.verdict, verdict.epoch, verdict.metric) == ("diverged", 2, "epochs")
    assert verdict.differences[0] == "epoch 2: recorded, but training ended before it"


def test_a_training_that_went_on_diverged(judge):
    verdict = judge(epochs(0.1), epochs(0.1, 0.2))
    assert (verdict.epoch, verdict.metric) == (2, "epochs")
    assert verdict.differences[0] == "epoch 2: not recorded, but training went on to it"


@pytest.mark.parametrize(
    ("end", "sentences"),
    [
        (
            TrialOutcome(epoch=1, reason="finished"),
            ["the epoch whose weights are kept was 2, is 1"],
        ),
        (
            TrialOutcome(epoch=2, reason="diverged"),
            ["the reason for its end was finished, is diverged"],
        ),
        (
            TrialOutcome(error=Failure("ValueError", "no")),
            ["it failed: ValueError: no", "the reason for its end was finished, is None"],
        ),
    ],
)
def test_a_training_of_equal_epochs_that_ended_otherwise_diverged(judge, end, sentences):
    recorded = TrialOutcome(epoch=2, reason="finished")
    found = judge(epochs(0.8, 0.9), epochs(0.8, 0.9), ends=(recorded, end))
    assert (found.verdict, found.epoch, list(found.findings)) == ("diverged", 2, sentences)
    same = judge(epochs(0.8, 0.9), epochs(0.8, 0.9), ends=(recorded, recorded))
    assert same == Verdict("exact")


def test_the_end_of_a_pruned_trial_is_not_compared(judge):
    pruned, finished = TrialOutcome(epoch=1, reason="pruned"), TrialOutcome(epoch=1)
    assert judge(epochs(0.8), epochs(0.8), ends=(pruned, finished)).verdict == "exact"


def test_only_epochs_up_to_the_one_asked_for_are_compared(judge):
    assert judge(epochs(0.1, 0.2, 0.3), epochs(0.1, 0.2), until=2).verdict == "exact"
    assert judge(epochs(0.1, 0.2, 0.3), epochs(0.1, 0.9), until=1).verdict == "exact"
    assert judge(epochs(0.1, 0.2, 0.3), epochs(0.1, 0.9), until=2).verdict == "diverged"


# Two standard errors at 0.9 of 100 images: 2 sqrt(0.9 * 0.1 / 100) = 0.06.
@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [(0.9 + 0.01, "close"), (0.9 - 0.05, "close"), (0.81, "diverged"), (0.97, "diverged")],
)
def test_close_is_within_two_standard_errors(judge, another_kernel, accuracy, verdict):
    found = judge(epochs(0.5, 0.9), epochs(0.5, accuracy), now=another_kernel)
    assert found.verdict == verdict
    assert (found.epoch, found.metric) == (2, "val_accuracy")
    assert found.differences[-1] == "kernel: BLAS kernel was Haswell, is SkylakeX"


def test_the_proportion_that_allows_more_decides(judge, another_kernel):
    # At 1.0 the standard error is zero; at 0.98 of 100 two of them are 0.028.
    assert judge(epochs(1.0), epochs(0.98), now=another_kernel).verdict == "close"
    assert judge(epochs(0.98), epochs(1.0), now=another_kernel).verdict == "close"


def test_more_images_allow_less(judge, another_kernel):
    args = (epochs(0.90), epochs(0.88))
    assert judge(*args, now=another_kernel, count=100).verdict == "close"
    assert judge(*args, now=another_kernel, count=10_000).verdict == "diverged"


def test_close_looks_at_the_epoch_whose_weights_are_kept(judge, another_kernel):
    recorded, again = epochs(0.9, 0.5), epochs(0.91, 0.9)
    for kept, verdict in ((1, "close"), (2, "diverged")):
        ends = (TrialOutcome(epoch=kept, reason="finished"), None)
        assert judge(recorded, again, now=another_kernel, ends=ends).verdict == verdict


def test_an_accuracy_stands_in_for_a_metric_that_is_no_proportion(judge, another_kernel):
    found = judge(epochs(0.90), epochs(0.91), now=another_kernel, metric="val_loss")
    assert found.verdict == "close"


def test_without_an_accuracy_nothing_is_close(judge, another_kernel):
    def loss(value):
        return [EpochRecord(1, {"val_loss": value}, {}, 1.0)]

    found = judge(loss(1.0), loss(1.0000001), now=another_kernel, metric="val_loss")
    assert found.verdict == "diverged"
    assert "not known on both sides" in found.differences[1]


@pytest.mark.parametrize("accuracy", [math.nan, 1.5, -0.1])
def test_what_is_no_proportion_is_not_close(judge, another_kernel, accuracy):
    assert judge(epochs(0.9), epochs(accuracy), now=another_kernel).verdict == "diverged"


def test_without_validation_images_nothing_is_close(judge, another_kernel):
    found = judge(epochs(0.9), epochs(0.9000001), now=another_kernel, count=0)
    assert found.verdict == "diverged"


def test_in_an_equal_environment_nothing_is_close(judge):
    found = judge(epochs(0.9), epochs(0.9000001))
    assert found.verdict == "diverged"
    assert found.causes == ()
    assert found.differences[-1] == (
        "cause unknown: the recorded code and all else that is recorded are equal"
    )


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"code": {"nets": "e" * 64}}, f"code: nets was {'c' * 12}, is {'e' * 12}"),
        ({"data": {"digits": "e" * 64}}, f"data: digits was {'d' * 12}, is {'e' * 12}"),
        ({"imported": {"a.py": "e" * 64}}, f"imported: a.py was {'c' * 12}, is {'e' * 12}"),
    ],
)
def test_other_code_or_data_is_never_close(judge, environment, change, cause):
    environment = replace(environment, imported={"a.py": "c" * 64})
    now = replace(environment, **change)
    found = judge(epochs(0.9), epochs(0.9000001), recorded_in=environment, now=now)
    assert found.verdict == "diverged"
    assert cause in found.differences
    assert found.is_other_code == (change.keys() == {"code"})


def test_a_file_that_is_imported_no_more_is_the_cause_only_if_no_other_is_known(judge, environment):
    before = replace(environment, imported={"fast.py": "f" * 64, "a.py": "a" * 64})
    now = replace(environment, imported={"a.py": "a" * 64})
    found = judge(epochs(0.9), epochs(0.8), recorded_in=before, now=now)
    assert found.verdict == "diverged"
    assert found.differences[1:] == ["imported: fast.py was ffffffffffff, is not imported"]

    other_code = replace(now, code={"nets": "e" * 64})
    found = judge(epochs(0.9), epochs(0.8), recorded_in=before, now=other_code)
    assert [cause.kind for cause in found.causes] == ["code"]
    found = judge(epochs(0.9), epochs(0.9), recorded_in=before, now=now)
    assert found == Verdict("exact")


def test_causes_stand_in_the_order_data_code_versions_threads_kernel(judge, environment):
    now = replace(
        environment,
        data={"digits": "e" * 64},
        code={"nets": "e" * 64},
        python="3.12.0",
        blas=replace(environment.blas, threads=2, kernel="Zen"),
    )
    found = judge(epochs(0.9), epochs(0.8), now=now)
    causes = [cause.kind for cause in found.causes]
    assert causes == ["data", "code", "versions", "threads", "kernel"]


def test_the_certificate_is_written_to_the_run(store):
    experiment = store.client.create_experiment("any", store.artifact_location)
    run_id = store.client.create_run(experiment).info.run_id

    write_certificate(store, run_id, Verdict("exact"), environment=Environment())
    diverged = Verdict("diverged", 3, "weights", ("why",), (KERNEL,))
    write_certificate(store, run_id, diverged, environment=Environment(host="here"))

    path = store.client.download_artifacts(run_id, names.CERTIFICATE_FILE)
    with open(path, encoding="utf-8") as file:
        certificate = json.load(file)
    tags = store.client.get_run(run_id).data.tags
    assert certificate.pop("at") == tags[names.VERDICT_TIME_TAG]
    assert certificate == {
        "verdict": "diverged", "epoch": 3, "metric": "weights",
        "differences": ["why", "kernel: BLAS kernel was Haswell, is SkylakeX"],
        "run_id": run_id, "environment": {"host": "here"},
    }  # fmt: skip
    assert tags[names.VERDICT_TAG] == "diverged"


def test_a_file_that_an_objective_has_read_is_a_cause(judge):
    def read(*digests):
        found = epochs(*(0.9 for _ in digests))
        return [
            replace(epoch, digests={**epoch.digests, **digest})
            for epoch, digest in zip(found, digests, strict=True)
        ]

    one, two = {"input train.csv": "a" * 64}, {"input train.csv": "b" * 64}
    found = judge(read(one, {}), read(two, {}))
    assert found.differences == [
        "epoch 1: the digest of input train.csv differs",
        "data: train.csv was aaaaaaaaaaaa, is bbbbbbbbbbbb",
    ]
    assert found.verdict == "diverged"
    assert judge(read(one, {}), read(one, {})).verdict == "exact"
    (cause,) = judge(read(one, {}), read({}, {})).causes
    assert str(cause) == "data: train.csv was aaaaaaaaaaaa, is not recorded"
