"""`Study`: define, search and read a study in Python."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from nets.errors import InputError
from studies.definition import importing
from studies.interface import sources
from studies.interface.recorded import Folder, StudyInStore, check_counts, data_folder
from studies.interface.spaces import Parameter
from tracking.records import Values

if TYPE_CHECKING:
    from studies.definition.pruners import Pruner
    from studies.definition.samplers import Sampler


class SearchFailed(RuntimeError):
    """A search in which all of the first trials failed alike, or no trial has a value."""


class Study(StudyInStore):
    """A search for the best settings of an objective.

    Everything is checked here, as a study file is: a study that can be constructed can be searched.

    Parameters
    ----------
    objective
        A function of a module or of the script that is run, or ``"package.module:function"``; None
        for the networks of nets.
    space
        What is searched: a `Float`, `Integer` or `Choice` for each name of a setting.
    name
        The study's key in a store; by default the name of the objective's module.
    metric, direction, trials, first, stop, window, seed, warm_start, test, models, portable
        As the keys of the section ``[study]`` of a study file; `keep_state`, `memory`,
        `trial_seconds` and `storage` too.
    fixed
        Values of settings that are not searched.
    sampler, pruner
        A name, or one of `samplers` or `pruners`, such as ``pruners.Median(warmup_epochs=2)``.
    settings
        The settings class of an objective in the full form, or its name.
    store
        Folder of the store; by default ``RETRIAL_STORE``, or ``mlruns`` in the current folder.

    Raises
    ------
    InputError
        What is wrong, what was received and what is expected.

    Examples
    --------
    >>> from studies import Float
    >>> study = Study(
    ...     space={"learning_rate": Float(1e-4, 1e-1, log=True)},
    ...     name="digits-quick",
    ...     fixed={"epochs": 5},
    ... )
    >>> print(study.to_toml())
    [study]
    name = "digits-quick"
    <BLANKLINE>
    [training]
    epochs = 5
    <BLANKLINE>
    [space]
    learning_rate = { low = 0.0001, high = 0.1, log = true }
    <BLANKLINE>
    """

    def __init__(
        self,
        objective: Callable[..., Any] | str | None = None,
        space: Mapping[str, Parameter] | None = None,
        *,
        name: str | None = None,
        metric: str | None = None,
        direction: Literal["minimize", "maximize"] | None = None,
        trials: int = 20,
        fixed: Mapping[str, Any] | None = None,
        first: Sequence[Mapping[str, Any]] = (),
        sampler: "str | Sampler" = "tpe",
        pruner: "str | Pruner" = "none",
        stop: Mapping[str, Any] | None = None,
        window: int = 8,
        seed: int = 0,
        warm_start: str | None = None,
        test: Callable[..., Any] | str | None = None,
        models: Literal["all", "champion"] = "all",
        keep_state: bool = False,
        portable: bool = False,
        memory: str | None = None,
        trial_seconds: float | None = None,
        settings: type[Any] | str | None = None,
        storage: str | None = None,
        store: Folder | None = None,
    ) -> None:
        given = {
            "name": name, "metric": metric, "direction": direction, "trials": trials,
            "first": first, "sampler": sampler, "pruner": pruner, "stop": stop, "window": window,
            "seed": seed, "warm_start": warm_start, "test": test, "models": models,
            "portable": portable, "memory": memory, "trial_seconds": trial_seconds,
            "storage": storage, "keep_state": keep_state,
        }  # fmt: skip
        section = {key: value for key, value in given.items() if value != _DEFAULTS[key]}
        self._source: sources.Source = sources.Arguments(
            objective, settings, space or {}, fixed or {}, section
        )
        self._store = None if store is None else Path(store)
        if not importing.is_reading():
            self.check()

    @classmethod
    def _of(cls, source: sources.Source, store: Folder | None) -> Self:
        study = cls.__new__(cls)
        study._source = source
        study._store = None if store is None else Path(store)
        return study

    @property
    def name(self) -> str:
        """The study's name, its key in a store."""
        return self._source.name

    @property
    def tables(self) -> Values:
        """The values of a study file that says the same."""
        return self._source.tables()

    def check(self) -> None:
        """Raise InputError for what is wrong with the definition, as the constructor does."""
        self._source.definition()

    def __repr__(self) -> str:
        return f"<Study {self.name!r} in {str(self.store)!r}>"

    def search(
        self,
        jobs: int | None = None,
        *,
        trials: int | None = None,
        timeout: float | None = None,
        cluster: str | None = None,
        extends: str | None = None,
        threads: int = 1,
        retry_failed: bool = False,
        data: Folder | None = None,
        progress: bool = True,
    ) -> Self:
        """Search the study, or continue it from where the store has it; return the study.

        Parameters
        ----------
        jobs
            Worker processes; by default as many as the cores can keep busy.
        trials
            Total number of trials, in place of the study's own.
        timeout
            Seconds after which no trial is started; running ones save a checkpoint.
        cluster
            Address of a Dask cluster to train on: ``"tcp://..."``.
        extends
            Name of a study in the store whose trials a new study begins with: see `retrial extend`.
        threads
            Threads inside a trial of retrial's own networks; they change no result.
        retry_failed
            Whether to train failed trials again, with their settings and seeds.
        data
            Folder of the datasets; by default ``RETRIAL_DATA``, or a cache folder of the user.
        progress
            Whether to print trials and the result, as `retrial search` does; warnings always are.

        Raises
        ------
        InputError
            Before anything is stored.
        SearchFailed
            All of the first trials failed alike, no trial has a value, or no worker can be started.
        KeyboardInterrupt
            After Ctrl-C has stopped the search. Running trials have saved a checkpoint: the same
            call continues them. A second Ctrl-C stops at once.
        """
        self._begin()
        from studies.definition.study_file import check_searchable
        from studies.display import messages
        from studies.display.search_result import CALL, Shown
        from studies.search.procedure import search
        from studies.workers.engine import EngineLost

        check_counts(jobs=jobs, trials=trials, threads=threads)
        if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0):
            raise InputError("timeout", timeout, "a number of seconds above 0")
        study = self._source.definition(trials)
        check_searchable(study)
        shown = Shown(self.store, data_folder(data), CALL, silent=not progress)
        try:
            found = search(
                study,
                self.store,
                jobs=jobs,
                timeout=timeout,
                cluster=cluster,
                extends=extends,
                threads=threads,
                retry_failed=retry_failed,
                data=data_folder(data),
                display=shown.screen,
                status=shown.status,
                warn=messages.warn,
            )
        except EngineLost as error:
            raise SearchFailed(str(error)) from error
        if (problem := shown.result(found)) is not None:
            raise SearchFailed(problem)
        if found.end == "stopped":
            raise KeyboardInterrupt
        return self

    def to_toml(self) -> str:
        """Return a study file with the same definition."""
        from studies.interface.toml import written
        from tracking.store.store import without_secrets

        tables = self.tables
        if storage := tables["study"].get("storage"):
            study = {**tables["study"], "storage": without_secrets(storage)}
            tables = {**tables, "study": study}
        return written(tables)


_DEFAULTS = {
    name: parameter.default for name, parameter in inspect.signature(Study).parameters.items()
}
