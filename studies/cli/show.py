"""``retrial show``: print the best trials of a study, and what made the difference."""

import json
import math
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from nets import data
from studies.analysis.formatting import plural, shown, shown_seconds
from studies.cli.arguments import add_flag
from studies.definition.choices import decoded
from studies.display import confirmation_summary, suggestions
from studies.display.tables import aligned, console, listed, print_lines
from tracking.ledger import lock
from tracking.provenance.source_code import key
from tracking.records import JsonObject, TrialRecord, Values

if TYPE_CHECKING:
    from studies.analysis.stored_study import StoredStudy

MOST_ROWS = 10


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("study", help="name of a study in the store")
    add_flag(parser, "--json", "print everything as JSON")


def run(options: Namespace) -> int:
    """Print the best trials, what mattered, and why trials were pruned."""
    from studies.analysis.stored_study import open_study

    with open_study(options.store, options.study) as stored:
        if options.json:
            print(json.dumps(as_json(stored), indent=2))
        else:
            _print(stored, options)
    return 0


def as_json(stored: "StoredStudy") -> JsonObject:
    """Return the study as plain values; NaN and infinity become null."""
    best, confirmation = stored.best, stored.confirmation
    return {
        "study": stored.study.name,
        "best": None if best is None else best.number,
        "trials": [
            {
                "number": trial.number,
                "state": trial.state,
                "value": _finite(trial.value),
                "params": {name: decoded(value) for name, value in trial.parameters.items()},
                "run_id": trial.recorded_run,
                "parameter_count": trial.outcome.parameter_count,
                "epochs": [
                    {"epoch": epoch.number, **{k: _finite(v) for k, v in epoch.metrics.items()}}
                    for epoch in stored.epochs(trial.number)
                ],
            }
            for trial in stored.trials
        ],
        "confirmation": confirmation
        and confirmation_summary.as_json(confirmation, stored.notes.recorded_confirmation),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _print(stored: "StoredStudy", options: Namespace) -> None:
    screen = console()
    section = stored.study.section
    # Nothing runs without a driver: open trials wait for the next search.
    is_driven = section.name in lock.held(stored.ledger)
    words = {"running": "running" if is_driven else "open"}
    states = [trial.state for trial in stored.trials]
    counts = ", ".join(
        f"{states.count(state)} {words.get(state, state)}"
        for state in ("complete", "pruned", "failed", "running")
        if state in states
    )
    title = Text.assemble(
        (section.name, "bold"), f": {len(states)} of {plural(section.trials, 'trial')} ({counts})"
    )
    screen.print(title, soft_wrap=True)
    ranked = stored.ranked()
    if ranked:
        print_lines(screen, best_lines(stored, ranked[:MOST_ROWS], screen.width), headed=True)
    lines = code_lines(stored.trials)
    if importances := stored.importances():
        shares = ", ".join(f"{name} {share:.0%}" for name, share in importances.items())
        lines.append(f"importance: {shares}")
    print_lines(screen, [*lines, *(f"look next: {advice}" for advice in stored.advice())])
    pruned = [trial for trial in stored.trials if trial.outcome.pruned is not None]
    if pruned:
        lines = pruned_lines(pruned[:MOST_ROWS], section.metric)
        print_lines(screen, [*lines, *_more(pruned, "pruned")], headed=True)
    failed = [trial for trial in stored.trials if trial.state == "failed"]
    print_lines(screen, [*map(_why_failed, failed[:MOST_ROWS]), *_more(failed, "failed")])
    if known := stored.confirmation:
        since = sum(trial.is_finished for trial in stored.trials) - known.finished
        ago = confirmation_summary.ago(since)
        heading = f"confirmed with --top {known.top} --seeds {known.seeds}{ago}"
        recorded = stored.notes.recorded_confirmation
        summary = confirmation_summary.lines(known, recorded, options.store)
        print_lines(screen, [heading, *summary], headed=True)
    if ranked:
        # The store does not know the folder of the user's own images.
        is_here = data.are_here(stored.study.data_names, options.data or data.default_folder())
        where = [] if is_here else ["--data", "DIR"]
        again = suggestions.reproduce(options.store, options.data, "best", section.name, *where)
        print_lines(screen, [f"reproduce it: {again}"])


def code_lines(trials: Sequence[TrialRecord]) -> list[str]:
    """Return lines on trials trained with different code, whose values may not be comparable."""
    kinds: dict[str, tuple[dict[str, str], list[int]]] = {}
    for trial in trials:
        if digests := (trial.outcome.environment and trial.outcome.environment.code):
            kinds.setdefault(key(digests), (digests, []))[1].append(trial.number)
    if len(kinds) < 2:
        return []
    codes = [digests for digests, _ in kinds.values()]
    changed = sorted(
        name for name in set().union(*codes) if len({code.get(name) for code in codes}) > 1
    )
    lines = ["trained with different code, so values may not be comparable:"]
    for digests, numbers in kinds.values():
        what = ", ".join(f"{name} {digests.get(name, 'absent')[:12]}" for name in changed)
        lines.append(f"  {what}: {plural(len(numbers), 'trial')} from trial {min(numbers)} on")
    return lines


def best_lines(stored: "StoredStudy", trials: list[TrialRecord], width: int) -> list[str]:
    """Return a heading and the best trials; in a narrow terminal, parameters are below each."""
    names, parameters = _columns(stored, trials)
    heads: list[tuple[str, ...]] = [("trial", stored.study.section.metric, "epoch", "time")]
    for trial in trials:
        seconds = sum(epoch.seconds for epoch in stored.epochs(trial.number))
        epoch = shown(trial.outcome.epoch)
        heads.append((str(trial.number), shown(trial.value), epoch, shown_seconds(seconds)))
    if any(trial.outcome.parameter_count is not None for trial in trials):
        counts = [trial.outcome.parameter_count for trial in trials]
        numbers = ["" if count is None else f"{count:,}" for count in counts]
        heads = [(*head, n) for head, n in zip(heads, ["parameters", *numbers], strict=True)]
    cells = [names, *([shown(decoded(p.get(name))) for name in names] for p in parameters)]
    lines = aligned([(*head, *more) for head, more in zip(heads, cells, strict=True)])
    if max(map(cell_len, lines)) <= width:
        return lines
    heading, *lines = aligned(heads)
    found = [heading]
    for line, p in zip(lines, parameters, strict=True):
        found += [line, *listed({n: p[n] for n in names if n in p}, width, " " * 7)]
    return found


def pruned_lines(trials: list[TrialRecord], metric: str) -> list[str]:
    """Return a heading, and for each pruned trial its epoch, rule and the value it needed."""
    rows = [("pruned", "after epoch", metric, "needed", "by")]
    for trial in trials:
        why = trial.outcome.pruned
        assert why is not None
        needed = shown(why.survives_from)
        rows.append((str(trial.number), str(why.epoch), shown(why.value), needed, why.rule))
    return aligned(rows)


def _why_failed(trial: TrialRecord) -> str:
    error = trial.outcome.error
    reason = "no reason is recorded" if error is None else error.line
    return f"trial {trial.number} failed: {reason}"


def _more(trials: list[TrialRecord], state: str) -> list[str]:
    rest = len(trials) - MOST_ROWS
    return [f"... and {rest} more {state}"] if rest > 0 else []


def _columns(stored: "StoredStudy", trials: list[TrialRecord]) -> tuple[list[str], list[Values]]:
    """Return the searched settings, or for trainings those that differ, and the values of all."""
    if searched := stored.study.space.parameters:
        return [parameter.name for parameter in searched], [trial.parameters for trial in trials]
    settings = [trial.settings for trial in trials]
    differ = [name for name in settings[0] if any(s[name] != settings[0][name] for s in settings)]
    return differ, settings
