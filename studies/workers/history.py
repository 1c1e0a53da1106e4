"""What stands in the ledger, as the view, a pruner and Optuna's storage want it."""

import math
from collections.abc import Sequence

from studies.workers.messages import Result
from tracking.ledger.access import EpochRecord, TrialRecord


def result_of(record: TrialRecord, epochs: Sequence[EpochRecord], metric: str) -> Result:
    """Return the result of a finished trial; the value of a diverged one is none."""
    value = record.value
    if value is not None and not math.isfinite(value):
        value = None
    return Result(
        state=record.state,
        value=value,
        intermediate={epoch.number: epoch.metrics[metric] for epoch in epochs},
        attributes=record.outcome.get("attributes", {}),
    )
