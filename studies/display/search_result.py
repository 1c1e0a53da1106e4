"""The result of a search as `retrial search` and `Study.search` print it."""

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console

from studies.analysis.formatting import plural, shown, shown_seconds
from studies.definition.study_file import Study
from studies.display import suggestions
from studies.display.progress import Lines, Progress, Status, display
from studies.display.tables import aligned, console, listed
from studies.search.procedure import Searched
from studies.search.session import Screen
from tracking.ledger import Ledger


@dataclass(frozen=True)
class Again:
    """How a search is repeated: what it was, and its options."""

    what: str
    retry_failed: str
    trials: str

    def retry(self, failed: int) -> str:
        """Return how failed trials are trained again, in words."""
        what = "it" if failed == 1 else "them"
        return f"{self.what} with {self.retry_failed} trains {what} again"


COMMAND = Again("the same command", "--retry-failed", "--trials ")
CALL = Again("the same call", "retry_failed=True", "trials=")


class Shown:
    """The display of one search; `again` is how it is repeated.

    `store` and `data` are those of the search, which suggested commands name. A `silent` one prints
    warnings alone.
    """

    def __init__(
        self, store: Path, data: Path | None, again: Again, *, silent: bool = False
    ) -> None:
        self._store, self._data, self._again, self._silent = store, data, again, silent
        self._progress: Progress | None = None
        self.status = Status(Console(file=io.StringIO()) if silent else None)

    def screen(self, study: Study, total: int, ledger: Ledger, workers: str) -> Screen:
        """Print what the search will do, and return its display; `workers` are those that train."""
        self._progress = Progress(study, total, ledger)
        if self._silent:
            return Lines()
        print(_beginning(study, total, ledger, f"{workers}, in {self._store}"), flush=True)
        return display(self._progress)

    def result(self, found: Searched) -> str | None:
        """Print the result; return why the search has failed, or None.

        The traceback of a failure that all of the first trials share is printed once.
        """
        problem = why_failed(found, self._store, self._again)
        if self._silent:
            return problem
        if found.end == "nothing to do":
            if problem is None:
                print(_nothing_to_do(found, self._again))
        elif found.failure is not None:
            print(found.failure.traceback, file=sys.stderr, end="")
        else:
            for line in self._lines(found):
                print(line)
        return problem

    def _lines(self, found: Searched) -> Iterator[str]:
        assert self._progress is not None
        study, best = found.study, self._progress.best
        yield f"{study.name}: {self._progress.summary()}, in {shown_seconds(found.seconds)}"
        if best is not None:
            yield f"best: trial {best.number}  {study.section.metric} {shown(best.value)}"
            yield from listed(best.parameters, console().width)
            again = suggestions.reproduce(self._store, self._data, "best", study.name)
            yield f"reproduce it: {again}"
        if found.end in ("stopped", "timeout"):
            yield f"{found.end}: {self._again.what} continues it"
            return
        if best is not None:
            yield from _next(self._store, self._data, study.name, console().width)
        if found.failed:
            yield f"{plural(found.failed, 'trial')} failed: {self._again.retry(found.failed)}"
        if found.queued:
            yield _queued(found, self._again)


def _beginning(study: Study, total: int, ledger: Ledger, where: str) -> str:
    """Return what a search will do, in one line: new trials, or those that are left."""
    section, notes = study.section, ledger.notes(study.name)
    trials = [trial for trial in ledger.trials(study.name) if trial.number < total]
    finished = sum(trial.is_finished for trial in trials)
    begun = len(trials) - finished
    count = plural(total, "trial")
    what = f"{total - finished} of {count} left" + (f" ({begun} begun)" if begun else "")
    if notes.extends is not None and finished == notes.extends.copies and not begun:
        what = f"begins with the trials of {notes.extends.study}, {what}"
    elif trials:
        what = f"continues, {what}"
    else:
        what = count
    return f"{study.name}: {what}, {section.direction} {section.metric}, {where}"


def _next(store: Path, data: Path | None, name: str, width: int) -> list[str]:
    """Return the commands that are useful after a search, and what each is for if that fits."""
    commands = [
        (("show", name), None, "what mattered, where to look next"),
        (("confirm", name), data, "how much was luck, then the test"),
        (("ui",), None, "every trial in MLflow"),
    ]
    first = ["next: ", *["      "] * (len(commands) - 1)]
    rows = [
        (before + suggestions.command(store, *words, data=used), what)
        for before, (words, used, what) in zip(first, commands, strict=True)
    ]
    lines = aligned(rows, left=(0, 1))
    return lines if max(map(cell_len, lines)) <= width else [row[0] for row in rows]


def why_failed(found: Searched, store: Path, again: Again) -> str | None:
    """Return why a search has failed and what can be done, in one sentence; None if it has not."""
    study = found.study
    nothing = found.end == "nothing to do"
    begin = f"{study.name}: nothing to do, " if nothing else ""
    if (error := found.failure) is not None:
        count = f"{found.failed} of {len(found.finished)} finished trials failed; "
        return (
            f"{begin}{count if nothing else ''}"
            f"the first trials all failed with {error.type} at {error.place}, so the study has "
            f"stopped: fix the cause, then {again.retry(found.failed)}, or search under another "
            "study.name"
        )
    if found.has_value or not (nothing or found.end == "finished"):
        return None
    trials = found.finished if nothing else found.trials
    failed = all(trial.state == "failed" for trial in trials)
    what = "every trial failed" if failed else "no trial has a value: all failed or diverged"
    see = suggestions.command(store, "show", study.name)
    end = f"; once the cause is fixed, {again.retry(found.failed)}" if found.failed else ""
    return f"{begin or f'{study.name}: '}{what}; see `{see}`{end}"


def _nothing_to_do(found: Searched, again: Again) -> str:
    finished, failed = len(found.finished), found.failed
    known = f"{finished} of {found.total} trials are finished"
    if finished > found.total:
        known = f"{finished} trials are finished, {found.total} were requested"
    end = f"; {failed} failed: {again.retry(failed)}" if failed else ""
    end += f"; {_queued(found, again)}" if found.queued else ""
    return f"{found.study.name}: nothing to do, {known}{end}"


def _queued(found: Searched, again: Again) -> str:
    """Return how the trials are trained that users have added to a study without room for them."""
    option = f"{again.trials}{len(found.trials) + found.queued}"
    what = "it" if found.queued == 1 else "them"
    return f"{plural(found.queued, 'added trial')} left: {again.what} with {option} trains {what}"
