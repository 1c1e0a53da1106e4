"""Delivery: MLflow is brought up to date with the ledger.

One delivery belongs to one study and one thread. It may be interrupted anywhere, also by SIGKILL,
and a new one goes on where it ended: what MLflow has is remembered in the ledger, and where the
ledger may lag behind, MLflow is asked.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tracking.ledger import Ledger
from tracking.records import Environment, EpochRecord, StudyRecord, TrialRecord
from tracking.runs import trial_run
from tracking.runs.study_run import StudyRun
from tracking.store import names
from tracking.store.outage import is_outage
from tracking.store.store import Store, one_line

if TYPE_CHECKING:
    from mlflow.entities import Run


Draw = Callable[[str, Sequence[EpochRecord], int | None], "Future[bytes]"]
"""Draws `tracking.figures.curves.curves_png` in another process and returns its future."""

DRAWN_AHEAD = 16
"""How many trials' curves are drawn ahead of the trial that is being written."""

LONGEST_DRAWING = 30.0
"""Seconds to wait for a trial's curves before they are drawn here; drawing takes 0.1 s."""


class Delivery:
    """Writes one study of the ledger to MLflow.

    `environment` is that of the driver; the one that a trial's outcome has, of where it was
    trained, takes precedence. `draw` draws the curves of trials in another process; curves
    that it does not return are drawn here. Raises what MLflow raises.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        study: StudyRecord,
        environment: Environment,
        draw: Draw | None = None,
    ) -> None:
        self._client = store.client
        self._ledger = ledger
        self._study = study
        self._environment = environment
        self._draw = draw
        self._curves: dict[int, Future[bytes]] = {}
        self._parent = StudyRun(store, study, environment)
        self._failures: Counter[int] = Counter()
        """How often each trial has met an outage."""
        self._refused: dict[int, tuple[str, str]] = {}
        """What MLflow said of trials that it does not take, with the state they then had."""
        self._certain: set[int] = set()
        """Trials whose runs hold exactly what the ledger says they hold."""
        # The curve of the best value goes on from the trials that have finished already.
        finished = [trial for trial in ledger.trials(study.name) if trial.state != "running"]
        self._parent.count([trial for trial in finished if trial.state == trial.recorded_state])

    @property
    def refusal(self) -> str | None:
        """What MLflow refuses, in one line; it is not sent again but for a trial's end."""
        if not self._refused:
            return None
        number, (_, said) = min(self._refused.items())
        more = len(self._refused) - 1
        others = f" (and {more} more)" if more else ""
        return f"trial {number} is not taken as a whole{others}: {said}"

    def deliver(self) -> Exception | None:
        """Deliver everything MLflow lacks; return the first outage met on the way.

        What MLflow refuses of one trial does not hold up the others. After two outages in a row
        the rest waits; the next delivery begins with trials that have met the fewest, so that
        nothing taken for an outage can hold up the others for long either.
        """
        failure: Exception | None = None
        in_a_row = 0
        trials = self._ledger.trials(self._study.name, unrecorded=True)
        trials = [t for t in trials if self._refused.get(t.number, ("", ""))[0] != t.state]
        trials.sort(key=lambda trial: self._failures[trial.number])
        for place, trial in enumerate(trials):
            try:
                # While one trial is written, the curves of the next ones are drawn.
                for one in trials[place : place + DRAWN_AHEAD]:
                    self._begin_curves(one)
                self._deliver_trial(trial)
                self._refused.pop(trial.number, None)
                in_a_row = 0
            except Exception as error:
                self._certain.discard(trial.number)
                if not is_outage(error):
                    self._give_up(trial, error)
                    in_a_row = 0
                    continue
                self._failures[trial.number] += 1
                failure = failure or error
                in_a_row += 1
                if in_a_row == 2:
                    break
        return failure

    def _give_up(self, trial: TrialRecord, error: Exception) -> None:
        """Remember what MLflow said of a trial, and say so on its run where it has one."""
        said = names.plain(one_line(error))
        self._refused[trial.number] = (trial.state, said)
        self._curves.pop(trial.number, None)
        if trial.state != "running":
            with contextlib.suppress(Exception):  # `end` ends the run all the same
                self._parent.count([trial])
                if run_id := trial_run.find(self._client, self._parent, trial):
                    trial_run.give_up(self._client, trial, run_id, said)

    def end(self, status: str) -> None:
        """End the runs of trials that are still open as KILLED, then the study's run.

        Also those of trials that could not be delivered.
        """
        for trial in self._ledger.trials(self._study.name):
            run_id = trial.recorded_run
            if trial.state == "running" and run_id is not None:
                if _is_active(self._client.get_run(run_id)):
                    trial_run.kill(self._client, run_id)
                self._mark(trial, state=trial_run.KILLED)
        for run_id in self._parent.running_trials():
            trial_run.kill(self._client, run_id)
        self._parent.end(status)

    def _deliver_trial(self, trial: TrialRecord) -> None:
        environment = self._environment_of(trial)
        run_id = trial.recorded_run
        if run_id is None:
            run_id, is_new = trial_run.begin(self._client, self._parent, trial, environment)
            self._mark(trial, run=run_id, state="running")
            if is_new:
                self._certain.add(trial.number)
        run = None if trial.number in self._certain else self._client.get_run(run_id)
        if run is not None and not _is_active(run):
            self._mark(trial, state=trial.state, epoch=self._last_epoch(trial))
            return
        if run is not None and trial.state == "running" and run.info.status != "RUNNING":
            trial_run.reopen(self._client, run_id)
        if run is not None and names.REFUSED_TAG in run.data.tags:
            self._client.delete_tag(run_id, names.REFUSED_TAG)  # by an earlier delivery
        self._deliver_epochs(trial, run_id, run)
        if trial.state != "running":
            epochs = self._ledger.epochs(trial.study, trial.number)
            model = self._ledger.model(trial.study, trial.number)
            curves = self._curves_of(trial, epochs)
            trial_run.end(
                self._client, self._parent, trial, run_id, epochs, model, environment, curves
            )
            self._parent.count([trial])
            self._mark(trial, state=trial.state)
            self._certain.discard(trial.number)
            self._curves.pop(trial.number, None)

    def _begin_curves(self, trial: TrialRecord) -> None:
        """Begin to draw the curves of a finished trial in the other process, once."""
        if self._draw is None or trial.state == "running" or trial.number in self._curves:
            return
        if epochs := self._ledger.epochs(trial.study, trial.number):
            with contextlib.suppress(Exception):  # the other process may have been killed
                self._curves[trial.number] = self._draw(*self._drawing(trial, epochs))

    def _curves_of(self, trial: TrialRecord, epochs: list[EpochRecord]) -> bytes | None:
        """Return the curves of a trial as a PNG file, or None where there are none.

        A figure is never worth a trial's record: what cannot be drawn is left out.
        """
        if not epochs:
            return None
        if (drawn := self._curves.get(trial.number)) is not None:
            with contextlib.suppress(Exception):
                return drawn.result(timeout=LONGEST_DRAWING)
        with contextlib.suppress(Exception):
            from tracking.figures.curves import curves_png

            return curves_png(*self._drawing(trial, epochs))
        return None

    def _drawing(
        self, trial: TrialRecord, epochs: list[EpochRecord]
    ) -> tuple[str, list[EpochRecord], int | None]:
        title = trial_run.curves_title(trial, self._parent.metric)
        return title, epochs, trial.outcome.epoch

    def _deliver_epochs(self, trial: TrialRecord, run_id: str, run: "Run | None") -> None:
        """Send the epochs that MLflow lacks; `run` is what it has, where that is not certain."""
        epochs = self._ledger.epochs(trial.study, trial.number, after=trial.recorded_epoch)
        metrics = trial_run.epoch_metrics(epochs)
        if run is not None:
            metrics = trial_run.missing_metrics(self._client, run, metrics)
        self._client.log_batch(run_id, metrics=metrics)
        self._mark(trial, epoch=epochs[-1].number if epochs else None, state="running")
        self._certain.add(trial.number)

    def _last_epoch(self, trial: TrialRecord) -> int | None:
        epochs = self._ledger.epochs(trial.study, trial.number, after=trial.recorded_epoch)
        return epochs[-1].number if epochs else None

    def _mark(self, trial: TrialRecord, **what: Any) -> None:
        self._ledger.mark_recorded(trial.study, trial.number, **what)

    def _environment_of(self, trial: TrialRecord) -> Environment:
        """Return a trial's environment, with what makes its run complete in itself."""
        section = self._study.definition.get("study", {})
        study = {
            key: section[key]
            for key in ("metric", "direction", "objective", "settings", "seed")
            if isinstance(section, Mapping) and key in section
        }
        driver = self._environment.with_worker(self._environment.of_trial())
        began = driver.with_worker(Environment(data=self._study.environment.data))
        return replace(
            began.with_worker(trial.outcome.environment),
            study={"name": self._study.name, "trial": trial.number, **study},
        )


def _is_active(run: "Run") -> bool:
    """Tell whether a run is still wanted: who deleted it did not mean to get it back."""
    return bool(run.info.lifecycle_stage == "active")
