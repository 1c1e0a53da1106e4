"""Studies side by side: best values with intervals, what they cost, and how they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nets.errors import InputError
from studies.analysis.formatting import shown, shown_seconds
from studies.analysis.stored_study import StoredStudy
from studies.confirmation.intervals import proportion_of
from studies.display.tables import aligned, folded
from tracking.records import JsonObject, TrialRecord, Values, to_json
from tracking.records.confirmation import Estimate
from tracking.store.plain_values import flat

Basis = Literal["confirmed", "validation images"]
"""What an interval is of."""

_MEANINGS: dict[Basis, str] = {
    "confirmed": "the mean under fresh seeds (retrial confirm) with its 95 % interval, if any",
    "validation images": "one training, and the 95 % interval of a proportion of its validation "
    "images, which does not cover luck",
}
_SAME = "study.name", "study.metric", "study.direction"
"""Keys of a definition that are in other lines of a comparison."""


@dataclass(frozen=True)
class Compared:
    """One study: its best trial, its best value with an interval where there is one, and its cost.

    The value of a confirmed study is the mean of the winner under fresh seeds.
    """

    name: str
    best: TrialRecord | None
    value: Estimate | None
    by: Basis | None
    trials: int
    epochs: int
    seconds: float

    def to_json(self) -> JsonObject:
        """Return the facts as plain values."""
        return {
            "study": self.name,
            "best": None if self.best is None else self.best.number,
            "value": None if self.best is None else self.best.value,
            "estimate": None if self.value is None else to_json(self.value),
            "by": self.by,
            "trials": self.trials,
            "epochs": self.epochs,
            "seconds": self.seconds,
        }


def check_comparable(studies: Sequence[StoredStudy]) -> None:
    """Raise InputError unless all studies have the metric and direction of the first."""
    first = studies[0].study.section
    for other in (stored.study.section for stored in studies[1:]):
        if (other.metric, other.direction) != (first.metric, first.direction):
            raise InputError(
                "compare",
                problem=f"{first.name} {first.direction}s {first.metric}, "
                f"{other.name} {other.direction}s {other.metric}",
                expected="studies with the same metric and direction",
            )


def compared(stored: StoredStudy) -> Compared:
    """Return what a study has found, and what that has cost; failed trials count too."""
    estimate, by = _estimate(stored)
    spent = stored.spent()
    return Compared(
        name=stored.study.name,
        best=stored.best,
        value=estimate,
        by=by,
        trials=sum(trial.is_finished for trial in stored.trials),
        epochs=sum(epochs for epochs, _ in spent),
        seconds=sum(seconds for _, seconds in spent),
    )


def differences(studies: Sequence[StoredStudy]) -> dict[str, list[object]]:
    """Return the keys of the definitions that differ, with the value of each study; None if absent.

    A parameter's range is one value, as in a study file.
    """
    flats = [_keys(stored.record.definition) for stored in studies]
    keys = dict.fromkeys(key for one in flats for key in one)
    return {
        key: [one.get(key) for one in flats]
        for key in keys
        if key not in _SAME and any(one.get(key) != flats[0].get(key) for one in flats[1:])
    }


def lines(studies: Sequence[StoredStudy], found: Sequence[Compared], width: int) -> list[str]:
    """Return a table of the studies, what the intervals are, and the keys that differ."""
    section = studies[0].study.section
    rows = [("study", f"best {section.metric}", "interval", "trial", "trials", "epochs", "time")]
    for one in found:
        rows.append((
            one.name, "-" if one.value is None else shown(one.value.value), _interval(one.value),
            "-" if one.best is None else str(one.best.number), str(one.trials), str(one.epochs),
            shown_seconds(one.seconds),
        ))  # fmt: skip
    table = aligned(rows, left=[0])
    if max(map(len, table)) > width:  # a long name is above its numbers
        heading, *below = aligned([row[1:] for row in rows])
        names = [row[0] for row in rows[1:]]
        table = [heading, *(part for pair in zip(names, below, strict=True) for part in pair)]
    for by, meaning in _MEANINGS.items():
        if names := [one.name for one in found if one.by == by]:
            table += folded(f"{', '.join(names)}: {meaning}", width)
    if differ := differences(studies):
        table += ["", *(f"{key}: {_values(values, studies)}" for key, values in differ.items())]
    return table


def _estimate(stored: StoredStudy) -> tuple[Estimate | None, Basis | None]:
    confirmation = stored.confirmation
    if confirmation is not None and confirmation.winner is not None:
        mean = confirmation.candidate(confirmation.winner).mean
        if mean is not None:
            return mean, "confirmed"
    best = stored.best
    if best is None or best.value is None:
        return None, None
    count = best.settings.get("validation")
    is_proportion = stored.study.section.metric.endswith("accuracy") and 0 <= best.value <= 1
    if is_proportion and isinstance(count, int) and count > 0:
        interval = proportion_of(round(best.value * count), count)
        return Estimate(best.value, interval.low, interval.high), "validation images"
    return Estimate(best.value), None


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return "-"
    return f"{estimate.low:.4g} to {estimate.high:.4g}"


def _keys(definition: Values) -> Values:
    space = {f"space.{name}": table for name, table in definition["space"].items()}
    return {**flat({"study": definition["study"], **definition["fixed"]}), **space}


def _values(values: Sequence[object], studies: Sequence[StoredStudy]) -> str:
    """Return each value once, with the studies that have it where there are more than two."""
    texts = [_text(value) for value in values]
    if len(studies) == 2:
        return " | ".join(texts)
    names = [stored.study.name for stored in studies]
    return " | ".join(
        f"{text} ({', '.join(n for n, t in zip(names, texts, strict=True) if t == text)})"
        for text in dict.fromkeys(texts)
    )


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        if value.keys() <= {"low", "high", "log"} and {"low", "high"} <= value.keys():
            return (
                f"{shown(value['low'])} to {shown(value['high'])}{' log' * bool(value.get('log'))}"
            )
        if value.keys() == {"choices"}:
            return ", ".join(map(str, value["choices"]))
        return ", ".join(f"{name} {shown(item)}" for name, item in value.items())
    return shown(value)
