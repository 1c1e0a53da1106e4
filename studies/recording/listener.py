"""What a search writes in addition to the ledger: MLflow's record, Optuna's storage, figures."""

import contextlib
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from studies.definition.study_file import Study
from studies.figures.process import DrawingProcess
from studies.recording.optuna_storage import OptunaFeed
from studies.recording.remaining import Remaining
from tracking.records import Environment, SearchEnd, TrialRecord
from tracking.runs.recorder import WAITING, Recorder
from tracking.runs.study_run import log_study_figures
from tracking.store import names
from tracking.store.store import one_line, open_store


class Record:
    """Records a search in MLflow and in Optuna's storage; a `Listener` of the search.

    `now` is the environment of the processes that train. With `figures` the study's figures are
    drawn and recorded at the end.
    """

    def __init__(
        self,
        ledger: Path,
        store: Path,
        study: Study,
        now: Environment,
        *,
        figures: bool = True,
    ) -> None:
        self._ledger, self._store, self._study = ledger, store, study.name
        self._figures = figures
        self._drawing = DrawingProcess(ledger, study.name)
        self._is_drawing = False
        self._feed = OptunaFeed(ledger, study, study.section.storage or names.optuna_uri(store))
        self._recorder = Recorder(ledger, store, study.name, now, self._drawing.curves)
        self._feed.start()
        self._recorder.start()

    def opened(self) -> None:
        """Wait until the store is open; raises InputError if it cannot be."""
        self._recorder.wait_until_open()

    @property
    def problems(self) -> list[str]:
        """What keeps the record from being complete, each in one line."""
        return [p for p in (self._feed.problem, self._recorder.problem) if p is not None]

    def finish(
        self,
        end: SearchEnd | None,
        show: Callable[[str], None] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Deliver everything and end the study's run; without an end the search has crashed.

        `show` gets a line on what is waited for, again and again. Once `stopped`, the rest is left
        to the next search; raises KeyboardInterrupt then.
        """
        remaining = Remaining(self._ledger, self._study)

        def waiting() -> None:
            if stopped():
                self._feed.stop()
                self._recorder.stop()
            show(remaining.line(self._recorder.problem))

        # Closed first: the thread then waits for no figure any more.
        with ThreadPoolExecutor(1) as thread, contextlib.closing(self._drawing):
            drawn: Future[dict[str, bytes]] | None = None
            if end is not None and self._figures:
                drawn = thread.submit(self._drawing.study)
            self._feed.finish(waiting)
            self._recorder.finish(end or "stopped", 5.0 if end is None else 60.0, waiting)
            if self._recorder.notice:
                print(f"retrial: {self._recorder.notice}", file=sys.stderr)
            for problem in self.problems:
                print(f"retrial: not recorded yet: {problem}", file=sys.stderr)
            while drawn is not None and not stopped() and wait([drawn], WAITING).not_done:
                show("recording: the study's figures are being drawn")
            if stopped():
                raise KeyboardInterrupt
            if drawn is not None:
                self._log(drawn)

    def _log(self, drawn: "Future[dict[str, bytes]]") -> None:
        """Attach the study's figures; an error here costs the search nothing."""
        try:
            figures = drawn.result()
            if self._recorder.problem is None:
                with open_store(self._store) as store:
                    log_study_figures(store, self._study, figures)
        except Exception as error:
            print(f"retrial: no figures of the study: {one_line(error)}", file=sys.stderr)

    def started(self, trial: TrialRecord) -> None:
        """Handle an attempt that has started."""
        self._notify()

    def epoch(self, trial: TrialRecord, epoch: Any) -> None:
        """Do nothing: the recorder looks for epochs by itself, once a second."""

    def finished(self, trial: TrialRecord) -> None:
        """Handle a trial that is complete, pruned or failed."""
        if not self._is_drawing:
            self._is_drawing = True
            self._drawing.prepare()
        self._notify()

    def warned(self, message: str) -> None:
        """Do nothing: warnings are not recorded."""

    def waited(self) -> None:
        """Do nothing: the recorder has a thread."""

    def _notify(self) -> None:
        self._feed.notify()
        self._recorder.notify()
