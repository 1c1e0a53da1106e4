"""Delivery: writing to MLflow what the ledger has and MLflow lacks.

One delivery belongs to one study and one thread. It may be interrupted anywhere, even by SIGKILL,
and a new one continues: the ledger stores what MLflow has, and where the ledger may be out of
date, the delivery asks MLflow.
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
from tracking.runs.content import params_of, write_inputs
from tracking.runs.lost import missing_trials
from tracking.runs.study_run import StudyRun
from tracking.store import names
from tracking.store.client import files_of
from tracking.store.errors import StoreUnavailable
from tracking.store.outage import is_outage
from tracking.store.store import Store, one_line

if TYPE_CHECKING:
    from mlflow.entities import Run


Draw = Callable[[str, Sequence[EpochRecord], int | None], "Future[bytes]"]
"""Draws `tracking.figures.curves.curves_png` in another process and returns its future."""

DRAWN_AHEAD = 16
"""Maximum number of trials whose curves are being drawn or wait to be written."""

BEST_VALUES = 16
"""Number of points of the curve of the best value that one request carries."""

LONGEST_DRAWING = 30.0
"""Seconds to wait for a trial's curves before drawing them here; drawing takes 0.1 s."""


class Delivery:
    """Writes one study of the ledger to MLflow.

    `environment` is the driver's; the environment in a trial's outcome, where it was trained, takes
    precedence. `draw` draws the curves of trials in other processes; curves that it does not
    return are drawn here. Raises what MLflow raises.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        study: StudyRecord,
        environment: Environment,
        draw: Draw | None = None,
    ) -> None:
        self._store = store
        self._client = store.client
        self._ledger = ledger
        self._study = study
        self._environment = environment
        self._draw = draw
        self._curves: dict[int, Future[bytes]] = {}
        self._parent = StudyRun(store, study, environment)
        self._failures: Counter[int] = Counter()
        """Number of outages during the delivery of each trial."""
        self._rejected: dict[int, tuple[str, str]] = {}
        """For each trial that MLflow rejected: its state at that time, and MLflow's message."""
        self.missing = [trial.number for trial in missing_trials(store, ledger, study.name)]
        """Trials that MLflow had and has lost, which are delivered again without their models."""
        ledger.mark_unrecorded(study.name, self.missing)
        self._certain: dict[int, Run] = {}
        """Runs with exactly the epochs that the ledger says, by their trials, as they began."""
        self._created: set[int] = set()
        """Trials whose runs this delivery has created, and which have no model yet."""
        trials = ledger.trials(study.name)
        self._in_doubt = self._unknown_runs(trials)
        """Numbers of trials that may have a run whose id the ledger lacks."""
        # The curve of the best value continues after the trials that have already finished.
        finished = [trial for trial in trials if trial.state != "running"]
        self._parent.count([trial for trial in finished if trial.state == trial.recorded_state])
        self._parent.send_best_values()

    @property
    def problem(self) -> str | None:
        """What MLflow rejects, in one line; it is sent again only when the trial ends."""
        if not self._rejected:
            return None
        number, (_, message) = min(self._rejected.items())
        more = len(self._rejected) - 1
        others = f" (and {more} more)" if more else ""
        return f"trial {number} was rejected in part{others}: {message}"

    def deliver(self, stopped: Callable[[], bool] = lambda: False) -> Exception | None:
        """Deliver everything MLflow lacks, until `stopped`; return the first outage, if any.

        A rejected trial does not delay the others. After two outages in a row the rest waits; the
        next delivery begins with the trials that have had the fewest outages, so that a trial
        whose rejection looks like an outage cannot delay the others for long either.
        """
        failure: Exception | None = None
        in_a_row = 0
        self._store.check_in_place()
        trials = self._ledger.trials(self._study.name, unrecorded=True)
        trials = [t for t in trials if self._rejected.get(t.number, ("", ""))[0] != t.state]
        trials.sort(key=lambda trial: self._failures[trial.number])
        for place, trial in enumerate(trials):
            if stopped():
                break
            try:
                self._store.check_in_place()
                # While one trial is written, the curves of the next ones are drawn.
                for one in trials[place : place + DRAWN_AHEAD]:
                    self._begin_curves(one)
                self._deliver_trial(trial)
                self._parent.send_best_values(at_least=BEST_VALUES)
                self._rejected.pop(trial.number, None)
                in_a_row = 0
            except StoreUnavailable:
                raise
            except Exception as error:
                self._certain.pop(trial.number, None)
                self._created.discard(trial.number)
                self._in_doubt.add(str(trial.number))
                if not is_outage(error):
                    self._give_up(trial, error)
                    in_a_row = 0
                    continue
                self._failures[trial.number] += 1
                failure = failure or error
                in_a_row += 1
                if in_a_row == 2:
                    break
        if failure is None:
            self._parent.send_best_values()
        return failure

    def _unknown_runs(self, trials: list[TrialRecord]) -> set[str]:
        """Return the numbers of trials with a run whose id the ledger lacks, as in its tag.

        A kill or a lost response leaves such runs, of trials that the ledger has, and a power cut
        may also leave those of trials that the ledger has lost, which began after all others. On a
        server, a copy of this store may have recorded any trial at any time.
        """
        if self._parent.is_new:
            return set()
        since = 0.0
        if self._store.is_own:
            since = min(
                [trial.asked for trial in trials if trial.recorded_run is None],
                default=max((trial.asked for trial in trials), default=0.0),
            )
        known = {trial.recorded_run for trial in trials}
        runs = [run for run in self._parent.trials_since(since) if run.info.run_id not in known]
        return {run.data.tags.get(names.TRIAL_TAG, "") for run in runs}

    def _give_up(self, trial: TrialRecord, error: Exception) -> None:
        """Keep MLflow's rejection of a trial, and write it to the trial's run if there is one."""
        message = names.plain(one_line(error))
        self._rejected[trial.number] = (trial.state, message)
        self._curves.pop(trial.number, None)
        if trial.state != "running":
            with contextlib.suppress(Exception):  # `end` ends the run anyway
                self._parent.count([trial])
                if run := trial_run.find(self._client, self._parent, trial):
                    trial_run.give_up(self._client, trial, run.info.run_id, message)

    def end(self, status: str) -> None:
        """End the runs of trials that are still open as KILLED, then the study's run.

        That includes the runs of trials that could not be delivered.
        """
        for trial in self._ledger.trials(self._study.name):
            run_id = trial.recorded_run
            if trial.state == "running" and run_id is not None:
                if _is_active(self._client.get_run(run_id)):
                    trial_run.kill(self._client, run_id)
                self._mark(trial, state=trial_run.KILLED)
        for run in self._parent.running_trials():
            trial_run.kill(self._client, run.info.run_id)
        self._parent.end(status)

    def _deliver_trial(self, trial: TrialRecord) -> None:
        environment = self._environment_of(trial)
        run = self._certain.get(trial.number)
        is_certain = run is not None
        is_new = False
        if run is None:
            run, is_new = self._run_of(trial, environment)
            if not _is_active(run):
                self._mark(trial, state=trial.state, epoch=self._last_epoch(trial))
                return
            self._prepare(trial, run, environment)
        unsent = self._ledger.epochs(trial.study, trial.number, after=trial.recorded_epoch)
        metrics = trial_run.epoch_metrics(unsent)
        if not (is_certain or is_new):
            since = trial.earlier[-1].retried if trial.earlier else 0.0
            metrics = trial_run.missing_metrics(self._client, run, metrics, since)
        last = unsent[-1].number if unsent else None
        if trial.state == "running":
            params = [] if is_certain else params_of(trial.settings, self._parent.definition)
            self._client.log_batch(run.info.run_id, metrics=metrics, params=params)
            self._mark(trial, epoch=last, state="running")
            self._certain[trial.number] = run
            return
        epochs = self._ledger.epochs(trial.study, trial.number)
        trial_run.end(
            self._store,
            self._parent,
            trial,
            run,
            epochs,
            self._ledger.model(trial.study, trial.number),
            environment,
            self._curves_of(trial, epochs),
            kept=self._ledger.files(trial.study, trial.number),
            unsent=metrics,
            is_new=trial.number in self._created,
        )
        self._parent.count([trial])
        self._mark(trial, epoch=last, state=trial.state)
        self._certain.pop(trial.number, None)
        self._created.discard(trial.number)
        self._curves.pop(trial.number, None)

    def _run_of(self, trial: TrialRecord, environment: Environment) -> tuple["Run", bool]:
        """Return the run of a trial, and whether it has just been created."""
        if trial.recorded_run is not None:
            return self._client.get_run(trial.recorded_run), False
        found = None
        if str(trial.number) in self._in_doubt:
            found = trial_run.find(self._client, self._parent, trial)
        run = found or trial_run.create(self._client, self._parent, trial, environment)
        if found is None:
            self._created.add(trial.number)
        self._mark(trial, run=run.info.run_id, state="running")
        return run, found is None

    def _prepare(self, trial: TrialRecord, run: "Run", environment: Environment) -> None:
        """Write what a run needs once in a delivery, in addition to its trial's values."""
        if trial.state == "running":  # `end` writes these files with the others
            if run.info.status != "RUNNING":
                trial_run.reopen(self._client, run.info.run_id)
            files = trial_run.files_of_start(trial, environment)
            files_of(self._store, run).write(files)
        if names.REFUSED_TAG in run.data.tags:
            self._client.delete_tag(run.info.run_id, names.REFUSED_TAG)  # by an earlier delivery
        write_inputs(self._client, run.info.run_id, environment)

    def _begin_curves(self, trial: TrialRecord) -> None:
        """Begin to draw the curves of a finished trial in another process, once."""
        if self._draw is None or trial.state == "running" or trial.number in self._curves:
            return
        if epochs := self._ledger.epochs(trial.study, trial.number):
            with contextlib.suppress(Exception):  # the process may have been killed
                self._curves[trial.number] = self._draw(*self._drawing(trial, epochs))

    def _curves_of(self, trial: TrialRecord, epochs: list[EpochRecord]) -> bytes | None:
        """Return the curves of a trial as a PNG file, or None where there are none.

        A record matters more than its figure: curves that cannot be drawn are left out.
        """
        if not epochs:
            return None
        if (drawing := self._curves.get(trial.number)) is not None:
            with contextlib.suppress(Exception):
                return drawing.result(timeout=LONGEST_DRAWING)
        with contextlib.suppress(Exception):
            from tracking.figures.curves import curves_png

            return curves_png(*self._drawing(trial, epochs))
        return None

    def _drawing(
        self, trial: TrialRecord, epochs: list[EpochRecord]
    ) -> tuple[str, list[EpochRecord], int | None]:
        title = trial_run.curves_title(trial, self._parent.metric)
        return title, epochs, trial.outcome.epoch

    def _last_epoch(self, trial: TrialRecord) -> int | None:
        epochs = self._ledger.epochs(trial.study, trial.number, after=trial.recorded_epoch)
        return epochs[-1].number if epochs else None

    def _mark(self, trial: TrialRecord, **what: Any) -> None:
        self._store.check_in_place()  # else it was perhaps written to where the store was
        self._store.sync()  # else a power cut could take it from MLflow, and not from the ledger
        self._ledger.mark_recorded(trial.study, trial.number, **what)

    def _environment_of(self, trial: TrialRecord) -> Environment:
        """Return a trial's environment, with all that its run needs to stand alone."""
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
    """Return whether a run was not deleted; a delivery does not restore deleted runs."""
    return bool(run.info.lifecycle_stage == "active")
