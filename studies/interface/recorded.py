"""A study as a store has it: its trials, figures, reproduction and confirmation."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nets.errors import InputError
from studies.definition import importing
from studies.interface import modules

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from studies.analysis.importances import Importance
    from studies.analysis.stored_study import StoredStudy
    from studies.interface.results import TrialResult
    from tracking.records.confirmation import Confirmation
    from tracking.runs.verdict import Verdict

Folder = str | os.PathLike[str]


class StudyInStore:
    """What can be done with a study by its name in a store."""

    _store: Path | None

    @property
    def name(self) -> str:
        """The study's name, its key in a store."""
        raise NotImplementedError

    @property
    def store(self) -> Path:
        """The folder of the store."""
        from studies.display.suggestions import default_store

        return self._store or default_store()

    @property
    def trials(self) -> "list[TrialResult]":
        """All trials that the store has, by their numbers."""
        from studies.interface.results import result

        with self._opened() as stored:
            if stored is None:
                return []
            return [result(trial, stored.epochs(trial.number)) for trial in stored.trials]

    @property
    def best(self) -> "TrialResult | None":
        """The best complete trial; None if there is none yet."""
        from studies.interface.results import result

        with self._opened() as stored:
            if stored is None or (best := stored.best) is None:
                return None
            return result(best, stored.epochs(best.number))

    @property
    def importances(self) -> "dict[str, Importance]":
        """Each parameter's importance, largest first; empty with too few trials."""
        with self._opened() as stored:
            return {} if stored is None else stored.importances

    def frame(self, epochs: bool = False) -> "DataFrame":
        """Return a row for each trial as a data frame; with `epochs`, one for each epoch.

        Columns have the types of their values: a parameter that a trial does not have is missing.
        """
        from studies.interface import results

        trials = self.trials
        if epochs:
            return results.epochs_frame(trials)
        names = dict.fromkeys(name for trial in trials for name in trial.params)
        return results.frame(trials, list(names))

    @property
    def figures(self) -> list[str]:
        """The names of the figures that `figure` draws."""
        from studies.figures.drawing import FIGURES

        return list(FIGURES)

    def figure(self, name: str) -> "Figure":
        """Return a figure of the study; raises InputError where there is nothing to draw."""
        from nets.errors import did_you_mean, one_of
        from studies.display.notebook import show_figures
        from studies.figures.drawing import FIGURES

        show_figures()
        if name not in FIGURES:
            raise InputError("figure", name, one_of(FIGURES), did_you_mean(name, FIGURES))
        with self._needed() as stored:
            if (figure := FIGURES[name](stored)) is None:
                raise InputError("figure", problem=f"{self.name} has nothing to draw for {name!r}")
            return figure

    def reproduce(
        self,
        trial: int | str = "best",
        *,
        at: int | None = None,
        recorded_code: bool = False,
        data: Folder | None = None,
    ) -> "Verdict":
        """Train a recorded trial again in a fresh process and compare every epoch.

        Parameters
        ----------
        trial
            A number, "best", or an MLflow run id.
        at
            Stop after this epoch.
        recorded_code
            Run the source code recorded with the trial, not today's.
        data
            Folder of the datasets, as in `search`.
        """
        self._begin()
        from joblib import cpu_count

        from studies.display.messages import warn_if_read_only
        from studies.reproduction import recorded_program, rerun
        from tracking.runs import reader

        check_counts(at=at)
        with reader.open_with_trials(self.store) as store:
            recorded = reader.find_trial(store, self.name, trial)
            training = {"until": at, "threads": cpu_count()}
            if recorded_code:
                return recorded_program.verdict(store, recorded, data_folder(data), **training)
            verdict = rerun.certify(store, recorded, data_folder(data), **training)
            warn_if_read_only(store)
            return verdict

    def confirm(
        self,
        top: int = 3,
        seeds: int = 5,
        *,
        champions: int = 1,
        jobs: int | None = None,
        data: Folder | None = None,
    ) -> "Confirmation":
        """Train the best trials again under fresh seeds, then test the winner once.

        Parameters
        ----------
        top
            Number of trials.
        seeds
            Fresh seeds for each.
        champions
            Trainings of the winner on all images, each under another seed and tested once.
        jobs
            Worker processes; by default as many as there are cores.
        data
            Folder of the datasets, as in `search`.
        """
        self._begin()
        from nets import threads
        from studies.confirmation.procedure import confirm
        from studies.display.confirmation_summary import print_result
        from studies.display.messages import warn

        check_counts(top=top, seeds=seeds, champions=champions, jobs=jobs)
        with threads.pinned():
            found = confirm(
                self.store, self.name, top=top, seeds=seeds, champions=champions, jobs=jobs,
                data=data_folder(data), say=lambda line: print(line, flush=True), warn=warn,
            )  # fmt: skip
        if found.problem:
            warn(f"not recorded: {found.problem}; the same call records it")
        print_result(found, self.store, top, seeds, champions)
        return found.confirmation

    def add(self, /, **parameters: Any) -> None:
        """Add a trial with these values of searched settings, also while the study is searched.

        The next trial that is asked has them; the sampler chooses the values of the others. It
        counts as one of the study's trials. Raises StudyNotFound before the first search (use
        `first` then), and InputError for values outside the space.
        """
        self._begin()
        from studies.interface.spaces import plain
        from studies.search import adding

        values = {name: plain(value) for name, value in parameters.items()}
        adding.add(self.store, self.name, values)

    def load_model(self, trial: int | str = "best") -> Any:
        """Return the model of a trial as its library loads it; nothing is unpickled.

        Raises InputError for a trial without a model, or whose model has been changed.
        """
        self._begin()
        from studies.objective import stored_models
        from tracking.runs import reader

        with reader.open_with_trials(self.store) as store:
            recorded = reader.find_trial(store, self.name, trial)
            return stored_models.load_model(store, recorded.run_id)

    def delete(self) -> None:
        """Remove the study and its record from the store."""
        self._begin()
        from studies.recording import deletion

        with deletion.found(self.store, self.name) as holdings:
            holdings.remove()

    def _begin(self) -> None:
        """Begin to work on the study: the reading of a file for its definitions ends here."""
        importing.end_of_definitions(self)
        modules.note_work()

    @contextmanager
    def _needed(self) -> "Iterator[StoredStudy]":
        """Open the study in the store; raises StoreUnavailable or StudyNotFound without it."""
        self._begin()
        from studies.analysis.stored_study import open_study

        with open_study(self.store, self.name) as stored:
            yield stored

    @contextmanager
    def _opened(self) -> "Iterator[StoredStudy | None]":
        """Open the study in the store, or return None before its first search."""
        from studies.analysis.stored_study import stored_definition

        self._begin()
        if stored_definition(self.store, self.name) is None:
            yield None
            return
        with self._needed() as stored:
            yield stored


def check_counts(**counts: int | None) -> None:
    """Raise InputError for an argument that is neither None nor an integer of at least 1."""
    for key, count in counts.items():
        if count is not None and (type(count) is not int or count < 1):
            raise InputError(key, count, "an integer of at least 1")


def data_folder(data: Folder | None) -> Path | None:
    """Return the folder of the datasets: the given one, or `RETRIAL_DATA`; None is the cache."""
    from studies.display.suggestions import default_data

    return default_data() if data is None else Path(data)
