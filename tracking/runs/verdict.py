"""The verdict: whether a repeated training is the training that was recorded.

**exact**: every metric and digest of every epoch is equal to the last bit. **close**: data,
recorded code and imported files are equal, the environment differs, and the accuracy lies within
two standard errors. **diverged**: anything else. The settings are always those of the record, whose
parts agree (see `consistency`).
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tracking.models.registry import certify
from tracking.records import (
    Difference,
    Environment,
    EpochRecord,
    JsonObject,
    Training,
    differences,
    no_longer_imported,
)
from tracking.runs.consistency import is_same, shown
from tracking.store import names
from tracking.store.client import files_of
from tracking.store.store import Store

_ALL_EQUAL = "the recorded code and all else that is recorded are equal"


@dataclass(frozen=True)
class Verdict:
    """What comparing a training with its record found.

    `epoch` and `metric` name the first difference (`metric` may be a digest: weights, batches or
    generators); both are None for an exact one. `findings` are sentences on what differs in the
    results, `causes` what may explain it, the likeliest first. `stated` are all differences of a
    verdict that another process has come to.
    """

    verdict: Literal["exact", "close", "diverged"]
    epoch: int | None = None
    metric: str | None = None
    findings: tuple[str, ...] = ()
    causes: tuple[Difference, ...] = ()
    stated: tuple[str, ...] | None = None

    @property
    def differences(self) -> list[str]:
        """Everything that differs, as sentences."""
        if self.stated is not None:
            return list(self.stated)
        unknown = not self.causes and self.verdict != "exact"
        return [
            *self.findings,
            *map(str, self.causes),
            *([f"cause unknown: {_ALL_EQUAL}"] if unknown else []),
        ]

    @property
    def is_other_code(self) -> bool:
        """Whether the recorded code differs."""
        return any(cause.kind == "code" for cause in self.causes)

    @classmethod
    def from_json(cls, content: JsonObject) -> "Verdict":
        """Return the verdict that another process has come to."""
        stated = tuple(content["differences"])
        return cls(content["verdict"], content["epoch"], content["metric"], stated=stated)

    def to_json(self) -> JsonObject:
        """Return the verdict as a JSON object."""
        return {
            "verdict": self.verdict,
            "epoch": self.epoch,
            "metric": self.metric,
            "differences": self.differences,
        }


class _Finding(NamedTuple):
    """The first thing that differs: at which epoch, in which metric or digest, and in words."""

    epoch: int
    name: str
    sentence: str


def compare(recorded: Training, again: Training, until: int | None = None) -> Verdict:
    """Compare a recorded training with its repetition, up to the epoch `until` or to the end.

    Notes
    -----
    For *close* the accuracies p and q of n images may differ by two standard errors of a
    proportion, 2 √(r (1 - r) / n), where r is the one of p and q that makes it larger (at p = 1
    the other would allow nothing). They are the study's metric where that is an accuracy, else
    ``val_accuracy``, at the epoch whose weights are kept; n is the setting ``validation``.
    """
    one, two = (
        [e for e in t.epochs if until is None or e.number <= until] for t in (recorded, again)
    )
    found = _first_difference(one, two) or (
        _end_difference(recorded, again) if until is None else None
    )
    causes = [*_inputs(one, two), *differences(recorded.environment, again.environment)]
    if found is None:
        return Verdict("exact", causes=tuple(causes))
    causes = causes or no_longer_imported(recorded.environment, again.environment)
    findings = [found.sentence]
    if again.outcome is not None and again.outcome.error is not None:
        findings.insert(0, f"it failed: {again.outcome.error.summary}")
    inputs = [cause for cause in causes if cause.kind in ("data", "code", "imported")]
    verdict: Literal["close", "diverged"] = "diverged"
    if causes and not inputs:
        is_close, distance = _is_close(recorded, again, one, two)
        verdict = "close" if is_close else "diverged"
        findings.append(distance)
    return Verdict(verdict, found.epoch, found.name, tuple(findings), tuple(causes))


def write_certificate(
    store: Store, run_id: str, verdict: Verdict, *, environment: Environment
) -> None:
    """Write a verdict to the run that was reproduced: `certificate.json`, and tags.

    `environment` is that of the reproduction. A later certificate replaces an earlier one. Model
    versions that come from the run get the verdict as a tag.
    """
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    facts = {"run_id": run_id, "at": at, "environment": environment.to_json()}
    certificate = {**verdict.to_json(), **facts}
    run = store.client.get_run(run_id)
    files_of(store, run).write({names.CERTIFICATE_FILE: certificate})
    store.client.set_tag(run_id, names.VERDICT_TAG, verdict.verdict)
    store.client.set_tag(run_id, names.VERDICT_TIME_TAG, at)
    certify(store, run_id, verdict.verdict)


def _first_difference(
    recorded: Sequence[EpochRecord], again: Sequence[EpochRecord]
) -> _Finding | None:
    """Return the first difference in epochs, metrics or digests, or None."""
    by_number = {epoch.number: epoch for epoch in again}
    for epoch in recorded:
        number, other = epoch.number, by_number.get(epoch.number)
        if other is None:
            return _Finding(
                number, "epochs", f"epoch {number}: recorded, but training ended before it"
            )
        for name in {**epoch.metrics, **other.metrics}:
            one, two = epoch.metrics.get(name), other.metrics.get(name)
            if not is_same(one, two):
                return _Finding(
                    number, name, f"epoch {number}: {name} was {shown(one)}, is {shown(two)}"
                )
        for name in {**epoch.digests, **other.digests}:
            if epoch.digests.get(name) != other.digests.get(name):
                return _Finding(number, name, f"epoch {number}: the digest of {name} differs")
    known = {epoch.number for epoch in recorded}
    for epoch in again:
        if (number := epoch.number) not in known:
            return _Finding(
                number, "epochs", f"epoch {number}: not recorded, but training went on to it"
            )
    return None


def _inputs(recorded: Sequence[EpochRecord], again: Sequence[EpochRecord]) -> list[Difference]:
    """Return the files that an objective has read and that differ."""
    before, after = (
        {
            name.removeprefix(names.INPUT_PREFIX): digest
            for epoch in reversed(epochs)
            for name, digest in epoch.digests.items()
            if name.startswith(names.INPUT_PREFIX)
        }
        for epochs in (recorded, again)
    )
    return [
        Difference("data", name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _end_difference(recorded: Training, again: Training) -> _Finding | None:
    """Return the first difference in how two trainings ended, or None.

    A pruned trial is trained again without its pruner, so only the ends of complete ones compare.
    """
    one, two = recorded.outcome, again.outcome
    if one is None or two is None or not one.is_complete:
        return None
    if one.reason != two.reason:
        sentence = f"the reason for its end was {one.reason}, is {two.reason}"
        return _Finding(one.epoch or 0, "reason", sentence)
    if one.epoch != two.epoch:
        sentence = f"the epoch whose weights are kept was {one.epoch}, is {two.epoch}"
        return _Finding(one.epoch or 0, "epoch", sentence)
    return None


def _is_close(
    recorded: Training,
    again: Training,
    one: Sequence[EpochRecord],
    two: Sequence[EpochRecord],
) -> tuple[bool, str]:
    """Return whether the accuracies are within two standard errors, and a sentence on that.

    `one` and `two` are the epochs that are compared.
    """
    name = recorded.metric if recorded.metric.endswith("accuracy") else "val_accuracy"
    count = again.settings.get("validation", 0)
    kept = recorded.outcome.epoch if recorded.outcome is not None else None
    numbers = [epoch.number for epoch in one]
    number = kept if kept in numbers else numbers[-1] if numbers else None
    p, q = (
        next((epoch.metrics.get(name) for epoch in side if epoch.number == number), None)
        for side in (one, two)
    )
    if p is None or q is None or count < 1:
        return False, f"{name}: not known on both sides, so it cannot be called close"
    if not (0 <= p <= 1 and 0 <= q <= 1):
        return False, f"{name}: was {shown(p)}, is {shown(q)} at epoch {number}, no proportions"
    allowed = 2 * max(math.sqrt(r * (1 - r) / count) for r in (p, q))
    return abs(p - q) <= allowed, (
        f"{name}: was {p:.6g}, is {q:.6g} at epoch {number}; two standard errors over {count} "
        f"images allow {allowed:.2g}"
    )
