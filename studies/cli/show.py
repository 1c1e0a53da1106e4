"""``retrial show``: print the best trials of a study, and what made the difference."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from nets import data
from nets.files import write_new
from studies.analysis.formatting import plural, shown, shown_seconds
from studies.analysis.importances import Importance, are_ordered
from studies.cli.arguments import add_flag, stored_name
from studies.definition.choices import decoded
from studies.display import confirmation_summary, suggestions
from studies.display.study_export import CodeOfTrials, as_csv, as_json, differing_code
from studies.display.tables import aligned, console, filled, folded, listed, print_lines
from tracking.ledger import lock
from tracking.records import TrialRecord, Values

if TYPE_CHECKING:
    from studies.analysis.stored_study import StoredStudy

MOST_ROWS = 10


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("study", help="name of a study in the store, study file, or FILE.py[:NAME]")
    form = parser.add_mutually_exclusive_group()
    add_flag(form, "--json", "print everything as JSON")
    form.add_argument(
        "--csv",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write a row for each trial to a new CSV file (default: print the rows)",
    )


def run(options: Namespace) -> int:
    """Print the best trials, what mattered, and why trials were pruned."""
    from studies.analysis.stored_study import open_study

    name = stored_name(options, options.study)  # a script's study may have its own store
    with open_study(options.store, name) as stored:
        if options.json:
            print(json.dumps(as_json(stored), indent=2))
        elif options.csv == "-":
            print(as_csv(stored), end="")
        elif options.csv is not None:
            write_new(Path(options.csv), as_csv(stored).encode(), "show")
        else:
            _print(stored, options)
    return 0


def _print(stored: "StoredStudy", options: Namespace) -> None:
    screen = console()
    fold = partial(folded, width=screen.width)
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
    if (extends := stored.notes.extends) is not None:
        counts += f"; {extends.copies} copied from {extends.study}"
    title = Text.assemble(
        (section.name, "bold"), f": {len(states)} of {plural(section.trials, 'trial')} ({counts})"
    )
    if queued := len(stored.notes.queued or ()):
        title.append(f", {plural(queued, 'added trial')} queued")
    screen.print(title, soft_wrap=True)
    ranked = stored.ranked()
    if ranked:
        print_lines(screen, best_lines(stored, ranked[:MOST_ROWS], screen.width), headed=True)
    lines = code_lines(differing_code(stored.trials))
    lines += importance_lines(stored.importances, len(ranked), screen.width)
    lines += [part for advice in stored.advice() for part in fold(f"look next: {advice}")]
    print_lines(screen, lines)
    pruned = [trial for trial in stored.trials if trial.outcome.pruned is not None]
    if pruned:
        lines = pruned_lines(pruned[:MOST_ROWS], section.metric)
        print_lines(screen, [*lines, *_more(pruned, "pruned")], headed=True)
    failed = [trial for trial in stored.trials if trial.state == "failed"]
    lines = [part for trial in failed[:MOST_ROWS] for part in fold(_why_failed(trial))]
    print_lines(screen, [*lines, *_more(failed, "failed")])
    retried = [trial for trial in stored.trials if trial.earlier]
    lines = [part for trial in retried[:MOST_ROWS] for part in fold(_why_retried(trial, words))]
    print_lines(screen, [*lines, *_more(retried, "that were trained again")])
    if known := stored.confirmation:
        since = sum(trial.is_finished for trial in stored.trials) - known.finished
        ago = confirmation_summary.ago(since)
        heading = f"confirmed with {confirmation_summary.options_of(known)}{ago}"
        recorded = stored.notes.recorded_confirmation
        summary = confirmation_summary.lines(known, recorded, options.store, screen.width)
        print_lines(screen, [heading, *summary], headed=True)
    if ranked:
        # The store does not know the folder of the user's own images.
        is_here = data.are_here(stored.study.data_names, options.data or data.default_folder())
        where = [] if is_here else ["--data", "DIR"]
        again = suggestions.reproduce(options.store, options.data, "best", section.name, *where)
        print_lines(screen, [f"reproduce it: {again}"])


def code_lines(kinds: Sequence[CodeOfTrials]) -> list[str]:
    """Return lines on trials trained with different code, whose values may not be comparable."""
    lines = ["trained with different code, so values may not be comparable:"] if kinds else []
    for kind in kinds:
        what = ", ".join(f"{name} {(d or 'absent')[:12]}" for name, d in kind.differing.items())
        count = plural(len(kind.trials), "trial")
        lines.append(f"  {what}: {count} from trial {min(kind.trials)} on")
    return lines


def importance_lines(found: dict[str, Importance], trials: int, width: int) -> list[str]:
    """Return the share of each parameter with its interval, and a note if these leave it open."""
    if len(found) < 2:
        return []
    shares = [
        f"{name} {one.share:.0%} ({100 * one.low:.0f} to {100 * one.high:.0f})"
        for name, one in found.items()
    ]
    lines = ["importance, with 90 % intervals:", *filled(shares, width)]
    if not are_ordered(found):
        note = f"{trials} complete trials do not tell yet which parameter matters most"
        lines += folded(f"      the intervals overlap: {note}", width, " " * 6)
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


def _why_retried(trial: TrialRecord, words: dict[str, str]) -> str:
    errors = ", then ".join(dict.fromkeys(earlier.error.line for earlier in trial.earlier))
    now = words.get(trial.state, trial.state)
    return f"trial {trial.number} was trained again after {errors}; now {now}"


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
