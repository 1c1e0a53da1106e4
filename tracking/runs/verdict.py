"""The verdict: whether a trial that was tried again is the trial that was recorded.

**exact**: every metric and digest of every epoch is equal to the last bit. **close**: settings,
data and code are equal, the environment differs, and the accuracy lies within two standard errors.
**diverged**: anything else.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tracking.models.registry import certify
from tracking.provenance.environment import differences
from tracking.runs.content import as_params
from tracking.store import names
from tracking.store.client import write_files
from tracking.store.store import Store

_END = {"reason": "the reason for its end", "epoch": "the epoch whose weights are kept"}
"""What is compared of the ends of two trainings, in words."""


@dataclass(frozen=True)
class Verdict:
    """What comparing a trial with its record found.

    `epoch` and `metric` say where the first difference is (`metric` may name a digest: weights,
    batches or generators); both are None for an exact one. `differences` are sentences: first
    what differs in the numbers, then the possible causes.
    """

    verdict: Literal["exact", "close", "diverged"]
    epoch: int | None = None
    metric: str | None = None
    differences: list[str] = field(default_factory=list)


def compare(
    recorded: Sequence[Mapping[str, Any]],
    again: Sequence[Mapping[str, Any]],
    *,
    recorded_environment: Mapping[str, Any],
    environment: Mapping[str, Any],
    metric: str,
    validation_count: int,
    kept: int | None = None,
    recorded_settings: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    recorded_outcome: Mapping[str, Any] | None = None,
    outcome: Mapping[str, Any] | None = None,
    until: int | None = None,
) -> Verdict:
    """Compare the recorded epochs of a trial with those of trying it again.

    Parameters
    ----------
    recorded, again
        Entries of ``epochs.json`` in order: ``epoch``, ``metrics``, ``digests`` (``seconds`` is
        not compared).
    recorded_environment, environment
        As `tracking.provenance.environment.capture` describes them.
    metric
        The study's metric.
    validation_count
        Number of images the validation accuracy is a proportion of.
    kept
        The epoch whose value counts for *close*; None is the last one compared.
    recorded_settings, settings
        As dictionaries, or as the parameters of a run; compared where both are given.
    recorded_outcome, outcome
        How the trial ended, ``epoch`` and ``reason``; compared where both are given.
    until
        Compare up to this epoch only.

    Notes
    -----
    For *close* the accuracies p and q of n images may differ by two standard errors of a
    proportion, 2 √(r (1 - r) / n), where r is the one of p and q that makes it larger (at p = 1
    the other would allow nothing). It is the study's metric where that is an accuracy, else
    ``val_accuracy`` of the same epoch.
    """
    if until is not None:
        recorded = [entry for entry in recorded if entry["epoch"] <= until]
        again = [entry for entry in again if entry["epoch"] <= until]
    first = _first_difference(recorded, again) or _end_difference(recorded_outcome, outcome)
    if first is None:
        return Verdict("exact", differences=differences(recorded_environment, environment))
    epoch, name, sentence = first
    changed = _settings_differences(recorded_settings, settings)
    causes = differences(recorded_environment, environment)
    inputs_equal = not changed and not any(c.startswith(("data:", "code:")) for c in causes)
    if inputs_equal and causes:
        close, distance = _is_close(recorded, again, metric, validation_count, kept)
        verdict: Literal["close", "diverged"] = "close" if close else "diverged"
        found = [sentence, distance]
    else:
        verdict, found = "diverged", [sentence]
    if not changed and not causes:
        causes = [
            "settings, data, code, versions, threads and kernel are equal: "
            "what differs is not among what is recorded"
        ]
    order = [cause for cause in causes if cause.startswith(("data:", "code:"))]
    rest = [cause for cause in causes if cause not in order]
    return Verdict(verdict, epoch, name, [*found, *order, *changed, *rest])


def write_certificate(store: Store, run_id: str, verdict: Verdict, **facts: Any) -> None:
    """Write a verdict to the run that was tried again: `certificate.json`, and tags.

    `facts` are recorded beside it (the environment of the reproduction, how long it took). A
    later certificate takes the place of an earlier one. Model versions that came of the run get
    the verdict as a tag.
    """
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    certificate = {**asdict(verdict), "run_id": run_id, "at": at, **facts}
    write_files(store.client, run_id, {names.CERTIFICATE_FILE: certificate})
    store.client.set_tag(run_id, names.VERDICT_TAG, verdict.verdict)
    store.client.set_tag(run_id, names.VERDICT_TIME_TAG, at)
    certify(store, run_id, verdict.verdict)


def _first_difference(
    recorded: Sequence[Mapping[str, Any]], again: Sequence[Mapping[str, Any]]
) -> tuple[int, str, str] | None:
    """Return epoch, name and sentence of the first thing that differs, or None."""
    by_number = {entry["epoch"]: entry for entry in again}
    for entry in recorded:
        number = entry["epoch"]
        other = by_number.get(number)
        if other is None:
            return number, "epochs", f"epoch {number}: recorded, but training ended before it"
        for name, one, two in _pairs(entry, other, "metrics"):
            if not _is_same(one, two):
                return number, name, f"epoch {number}: {name} was {_shown(one)}, is {_shown(two)}"
        for name, one, two in _pairs(entry, other, "digests"):
            if one != two:
                return number, name, f"epoch {number}: the digest of {name} differs"
    known = {entry["epoch"] for entry in recorded}
    for entry in again:
        if entry["epoch"] not in known:
            number = entry["epoch"]
            return number, "epochs", f"epoch {number}: not recorded, but training went on to it"
    return None


def _end_difference(
    recorded: Mapping[str, Any] | None, again: Mapping[str, Any] | None
) -> tuple[int, str, str] | None:
    """Return epoch, name and sentence of the first thing that differs in two ends, or None."""
    if recorded is None or again is None:
        return None
    epoch = int(recorded.get("epoch") or 0)
    for name, what in _END.items():
        one, two = recorded.get(name), again.get(name)
        if one != two:
            return epoch, name, f"{what} was {one}, is {two}"
    return None


def _pairs(
    entry: Mapping[str, Any], other: Mapping[str, Any], key: str
) -> list[tuple[str, Any, Any]]:
    """Return name and both values of everything either side has, in the recorded order."""
    one, two = entry.get(key) or {}, other.get(key) or {}
    return [(name, one.get(name), two.get(name)) for name in {**one, **two}]


def _is_same(one: float | None, two: float | None) -> bool:
    """Tell whether two numbers are equal to the last bit; NaN equals NaN, -0 is not 0.

    >>> _is_same(math.nan, math.nan), _is_same(0.0, -0.0), _is_same(1.0, None)
    (True, False, False)
    """
    if one is None or two is None:
        return one is two
    return float(one).hex() == float(two).hex()


def _shown(value: float | None) -> str:
    return "missing" if value is None else repr(float(value))


def _settings_differences(
    recorded: Mapping[str, Any] | None, now: Mapping[str, Any] | None
) -> list[str]:
    if recorded is None or now is None:
        return []
    one, two = as_params(recorded), as_params(now)
    return [
        f"settings: {name} was {one.get(name, 'missing')}, is {two.get(name, 'missing')}"
        for name in {**one, **two}
        if one.get(name) != two.get(name)
    ]


def _is_close(
    recorded: Sequence[Mapping[str, Any]],
    again: Sequence[Mapping[str, Any]],
    metric: str,
    count: int,
    kept: int | None,
) -> tuple[bool, str]:
    """Tell whether the accuracies are within two standard errors, and say how far apart."""
    name = metric if metric.endswith("accuracy") else "val_accuracy"
    numbers = [entry["epoch"] for entry in recorded]
    number = kept if kept in numbers else numbers[-1] if numbers else None
    p, q = (
        next((e["metrics"].get(name) for e in side if e["epoch"] == number), None)
        for side in (recorded, again)
    )
    if p is None or q is None or count < 1:
        return False, f"{name}: not known on both sides, so it cannot be called close"
    if not (0 <= p <= 1 and 0 <= q <= 1):
        return False, f"{name}: was {_shown(p)}, is {_shown(q)} at epoch {number}, no proportions"
    allowed = 2 * max(math.sqrt(r * (1 - r) / count) for r in (p, q))
    is_close = abs(p - q) <= allowed
    return is_close, (
        f"{name}: was {p:.6g}, is {q:.6g} at epoch {number}; two standard errors over {count} "
        f"images allow {allowed:.2g}"
    )
