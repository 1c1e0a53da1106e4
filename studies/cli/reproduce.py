"""``retrial reproduce``: train a recorded trial again and compare every epoch."""

import json
import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from studies.analysis.formatting import plural, shown, shown_seconds
from studies.cli.arguments import add_flag, add_threads, positive
from studies.display import suggestions
from studies.display.messages import warn_if_read_only

if TYPE_CHECKING:
    from tracking.runs.verdict import Verdict

INTERRUPTED = "no verdict was recorded"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("trial", help="best, a trial number, or an MLflow run id")
    parser.add_argument(
        "--study", metavar="NAME", help="name of the study; not needed with a run id"
    )
    parser.add_argument(
        "--at", type=positive, metavar="EPOCH", help="stop after this epoch (default: the last one)"
    )
    add_threads(parser)
    add_flag(parser, "--recorded-code", "run the source code recorded with the trial, not today's")
    add_flag(parser, "--json", "print the verdict as JSON")


def run(options: Namespace) -> int:
    """Reproduce the trial; exit 0 for exact and close, 1 for diverged."""
    from joblib import cpu_count

    from nets.errors import InputError, ModuleMissing
    from studies.reproduction import recorded_program, rerun
    from tracking.runs import reader, recorded_code

    with reader.open_with_trials(options.store) as store:
        recorded = reader.find_trial(store, options.study, options.trial)
        try:
            rerun.check_until(recorded, options.at)
        except InputError as error:
            raise error.with_key("--at") from None
        count = len(recorded.epochs)
        training = {"until": options.at, "threads": options.threads or cpu_count()}
        if options.recorded_code:
            return recorded_program.reproduce(
                store, recorded, options.data, **training, as_json=options.json
            )
        if not options.json:
            what = reader.champion_result(store, recorded) or (
                f"trial {recorded.number} ({recorded.state}), "
                f"{recorded.metric} {shown(recorded.value)}"
            )
            print(
                f"{recorded.study}: {what}, {plural(count, 'epoch')}, run {recorded.run_id}",
                flush=True,
            )
        began = time.monotonic()
        with_code = suggestions.reproduce(
            options.store, options.data, options.trial, options.study, "--recorded-code"
        )
        try:
            verdict = rerun.certify(store, recorded, options.data, **training)
        except ModuleMissing as error:
            hint = error.hint.partition(";")[0]
            if recorded_code.has(store, recorded):
                hint = f"{hint}; or run `{with_code}`"
            raise ModuleMissing(
                error.key, problem=error.problem, expected=error.expected, hint=hint
            ) from error
        warn_if_read_only(store)
        if options.json:
            print(json.dumps({**verdict.to_json(), "run_id": recorded.run_id}, indent=2))
        else:
            _print(verdict, options.at or count, time.monotonic() - began)
            if verdict.is_other_code and recorded_code.has(store, recorded):
                print(f"with the recorded code: {with_code}")
        return 1 if verdict.verdict == "diverged" else 0


def _print(verdict: "Verdict", epochs: int, took: float) -> None:
    from tracking.store.plain_values import visible

    where = f"differs from epoch {verdict.epoch} on ({verdict.metric})"
    summary = {
        "exact": f"all metrics and digests of {plural(epochs, 'epoch')} are equal to the last bit",
        "close": f"{where}, within the error",
        "diverged": where,
    }[verdict.verdict]
    print(f"{verdict.verdict}: {summary}, in {shown_seconds(took)}")
    for difference in verdict.differences:
        print(f"  {visible(difference)}")
