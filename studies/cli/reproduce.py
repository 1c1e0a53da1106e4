"""``retrial reproduce``: train a recorded trial again and print the verdict."""

import json
import time
from argparse import Namespace

from nets.errors import InputError, ModuleMissing
from studies.analysis.formatting import plural, shown, shown_seconds
from studies.cli import suggestions
from studies.reproduction import recorded_program
from studies.reproduction.rerun import reproduce
from tracking.runs import recorded_code
from tracking.runs.reader import RecordedRun, find_trial, open_with_trials
from tracking.runs.verdict import write_certificate


def run(options: Namespace) -> int:
    """Try the trial again; exit 0 for exact and close, 1 for diverged."""
    store = open_with_trials(options.store)
    recorded = find_trial(store, options.study, options.trial)
    _check_at(recorded, options.at)
    if options.recorded_code:
        return recorded_program.reproduce(store, recorded, options)
    if not options.json:
        print(
            f"{recorded.study}: trial {recorded.number} ({recorded.state}), {recorded.metric} "
            f"{shown(recorded.value)}, {plural(len(recorded.epochs), 'epoch')}, "
            f"run {recorded.run_id}",
            flush=True,
        )
    began = time.monotonic()
    as_it_was_then = suggestions.reproduce(options, options.trial, options.study, "--recorded-code")
    try:
        verdict, environment = reproduce(
            store, recorded, options.data, until=options.at, threads=options.threads
        )
    except ModuleMissing as error:
        if not recorded_code.has(store, recorded):
            raise
        raise InputError(f"{error}; or `{as_it_was_then}`") from error
    write_certificate(store, recorded.run_id, verdict, environment=environment)
    if options.json:
        print(
            json.dumps(
                {
                    "verdict": verdict.verdict,
                    "run_id": recorded.run_id,
                    "epoch": verdict.epoch,
                    "metric": verdict.metric,
                    "differences": verdict.differences,
                },
                indent=2,
            )
        )
    else:
        count = plural(options.at or len(recorded.epochs), "epoch")
        said = {
            "exact": f"all metrics and digests of {count} are equal to the last bit",
            "close": f"differs from epoch {verdict.epoch} on ({verdict.metric}), within the error",
            "diverged": f"differs from epoch {verdict.epoch} on ({verdict.metric})",
        }[verdict.verdict]
        print(f"{verdict.verdict}: {said}, in {shown_seconds(time.monotonic() - began)}")
        for difference in verdict.differences:
            print(f"  {difference}")
        is_other = any(difference.startswith("code:") for difference in verdict.differences)
        if is_other and recorded_code.has(store, recorded):
            print(f"with the code it was trained with: {as_it_was_then}")
    return 1 if verdict.verdict == "diverged" else 0


def _check_at(recorded: RecordedRun, at: int | None) -> None:
    """Raise InputError for an epoch that there is nothing to compare with."""
    if at is not None and recorded.epochs and at > len(recorded.epochs):
        raise InputError(
            f"--at: got {at}, accepted is 1 to {len(recorded.epochs)}, the epochs recorded of "
            f"trial {recorded.number}"
        )
