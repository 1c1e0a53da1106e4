"""The trial that an objective in the simple form receives, and its adaptation to the full form."""

import hashlib
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import Any

import optuna

from nets.errors import InputError
from nets.outcome import Epoch, Model, Outcome, Report, State
from nets.state import pack
from studies.objective import seeding, states
from tracking.store import names

MOST_FOLDER_BYTES = 100_000_000
"""Limit on the files in a trial's folder."""


class Pruned(optuna.TrialPruned):
    """Raised by an objective that prunes its own trial, after an epoch."""

    outcome: Outcome | None = None
    """What the trial has to keep; set for an objective in the simple form."""


class Trial:
    """A trial as its objective sees it.

    Attributes
    ----------
    number
        The trial's number in its study, from 0.
    seed
        Its seed, below 2^31, so that every library takes it.
    final
        Whether it is the champion's final training, on all data but the test data.
    """

    def __init__(
        self,
        number: int,
        seed: int,
        metric: str,
        report: Report,
        resume: State | None = None,
        *,
        final: bool = False,
        keep_model: bool = True,
    ) -> None:
        self.number = number
        self.seed = seed % 2**31
        self.final = final
        self._base = seed
        self._metric = metric
        self._send = report
        self._keep_model = keep_model
        self._thread = threading.get_ident()
        self._epoch = 0
        self._values: dict[int, float] = {}
        self._pending: dict[str, float] | None = None
        self._digests: dict[str, str] = {}
        self._inputs: dict[str, str] = {}
        self._state: Any = None
        self._objects: tuple[Any, ...] | None = None
        self._model: Model | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._resumed = resume
        self._is_checked = resume is not None
        if resume is not None:
            self._continue_from(resume)
        seeding.seed_all(self._base, 0)
        self._began = time.perf_counter()

    # What an objective calls

    @property
    def resumed(self) -> Any:
        """The `state` of the last report before an interruption, or None.

        Once it has been read, the global generators continue where they were at that report.
        """
        if self._resumed is None or self._resumed["state"] is None:
            return None
        seeding.seed_all(self._base, self._epoch + 1)
        return states.restored(self._resumed["state"])

    @property
    def folder(self) -> Path:
        """A folder for files, which become ``files/`` of the trial's run."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="retrial-")
        return Path(self._folder.name)

    def input(self, path: str | os.PathLike[str]) -> Path:
        """Return the path of a file, or of a folder of files, that decides the trial's result.

        Its SHA-256 is recorded with the epoch, so a reproduction names it if it has changed.
        """
        place = Path(path)
        key, digest = f"{names.INPUT_PREFIX}{names.plain(place.name)}", _digest(place.resolve())
        if self._inputs.get(key) != digest:  # a trial that continues has recorded it before
            self._inputs[key] = self._digests[key] = digest
        return place

    def epochs(self, count: int, *objects: Any) -> Iterator[int]:
        """Yield the numbers of the epochs still to train, from 1 to `count`.

        `objects` are what an interrupted trial continues with; they are restored in place. Each
        epoch must call `report`, and ends when the loop's body does.
        """
        if self._objects is not None:
            raise RuntimeError("trial.epochs was called twice, expected one loop over the epochs")
        states.check(objects)
        self._objects = objects
        if self._resumed is not None:
            known = self._resumed["user"]
            if len(known) != len(objects):
                raise RuntimeError(
                    f"trial.epochs: got {len(objects)} objects, expected {len(known)}, as before "
                    "the interruption"
                )
            states.restore(objects, known)
        for number in range(self._epoch + 1, count + 1):
            seeding.seed_all(self._base, number)
            self._began = time.perf_counter()
            yield number
            if self._pending is None:
                raise RuntimeError(
                    f"epoch {number} ended without a report, expected trial.report("
                    f"{self._metric}=...) in each"
                )
            self._end_epoch()

    def report(
        self,
        metrics: Mapping[str, float] | None = None,
        /,
        *,
        state: Any = None,
        digests: Mapping[str, str] | None = None,
        **more: float,
    ) -> None:
        """Report metrics of this epoch; outside of a loop over `epochs`, each call is an epoch.

        `state` is what the trial needs to continue from here, besides the objects of `epochs`: see
        `resumed`. `digests` are strings that must be equal when the trial is reproduced.
        """
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "trial.report was called in another thread, expected the one that runs the "
                "objective"
            )
        values = {**dict(metrics or {}), **more}
        if not values:
            raise TypeError(f"trial.report: got no metric, expected {self._metric}=...")
        pending = self._pending or {}
        if twice := sorted(values.keys() & pending.keys()):
            raise ValueError(f"trial.report: {twice[0]} was reported twice in an epoch")
        self._pending = {**pending, **{name: _number(name, v) for name, v in values.items()}}
        self._digests |= dict(digests or {})
        self._state = state if state is not None else self._state
        if self._objects is None:
            self._end_epoch()
            seeding.seed_all(self._base, self._epoch + 1)

    def save_model(self, model: Any, *, example: Any = None) -> None:
        """Keep a model, as it is now, as the trial's; of several calls the last one counts.

        `example` is a batch of its inputs. Raises ModelRefused for a model that cannot be stored
        without pickle.
        """
        if self._keep_model:
            from studies.objective.models import saved

            self._model = saved(model, example)

    # What the adaptation calls

    def outcome(self, returned: Any) -> Outcome:
        """Return how the trial has ended, by what its objective returned."""
        if self._pending is not None:
            self._end_epoch()  # left by `break`
        if isinstance(returned, Outcome):
            return returned
        if isinstance(returned, Mapping):
            if self._epoch:
                raise TypeError(
                    "the objective returned metrics and reported epochs, expected one of the two"
                )
            self._pending = {name: _number(name, value) for name, value in returned.items()}
            self._end_epoch()
        elif returned is not None:
            return self._kept(_number("the returned value", returned))
        elif not self._epoch:
            raise RuntimeError(
                "the objective returned None and reported nothing, expected a number or "
                f"trial.report({self._metric}=...)"
            )
        return self._at(self._epoch)

    def pruned(self) -> Outcome | None:
        """Return what a trial keeps whose objective has raised `Pruned`; None before an epoch."""
        if self._pending is not None:
            self._end_epoch()
        return self._at(self._epoch) if self._epoch else None

    def close(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            self._folder.cleanup()

    # Epochs

    def _end_epoch(self) -> None:
        """Send the epoch that has been reported; a pruner's exception ends the objective here."""
        metrics, digests = self._pending or {}, self._digests
        self._pending, self._digests = None, {}
        self._epoch += 1
        if self._metric in metrics:
            self._values[self._epoch] = metrics[self._metric]
        is_resumable = bool(self._objects) or self._state is not None
        if is_resumable and not self._is_checked:
            pack(self._checkpoint())  # a state that cannot be stored fails in the first epoch
            self._is_checked = True
        epoch = Epoch(
            self._epoch,
            metrics,
            time.perf_counter() - self._began,
            digests,
            self._checkpoint if is_resumable else None,
            lambda: self._at(self._epoch),
        )
        self._send(epoch)
        self._state = None
        self._began = time.perf_counter()

    def _checkpoint(self) -> State:
        state = self._state() if callable(self._state) else self._state
        return {
            "epoch": self._epoch,
            "values": {str(number): value for number, value in self._values.items()},
            "user": states.state_of(self._objects or ()),
            "state": states.plain(state),
            "model": self._model and vars(self._model),
            "files": self._files(),
            "inputs": self._inputs,
        }

    def _continue_from(self, state: State) -> None:
        """Set what `_checkpoint` returned; raises InputError for anything else.

        The ledger may be from elsewhere.
        """
        try:
            self._epoch = int(state["epoch"])
            self._values = {int(number): float(v) for number, v in state["values"].items()}
            self._model = Model(**state["model"]) if state["model"] else None
            self._inputs = dict(state.get("inputs", {}))
            files = dict(state["files"])
            if not all(names.is_file_path(n) and type(c) is bytes for n, c in files.items()):
                raise ValueError(f"files {list(files)!r:.100}")
            list(state["user"]), state["state"]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            problem = f"a damaged training state ({error!s:.150})"
            raise InputError("state", problem=problem) from error
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    # Ends

    def _kept(self, value: float) -> Outcome:
        """Return the outcome of an objective that returned a number."""
        if not self._epoch:
            self._pending = {self._metric: value}
            self._end_epoch()
            return self._at(self._epoch)
        same = [
            number
            for number, reported in self._values.items()
            if reported == value or (math.isnan(reported) and math.isnan(value))
        ]
        if not same:
            raise ValueError(
                f"the objective returned {value!r}, which is no {self._metric} that it reported, "
                "expected nothing or the value of the epoch that counts"
            )
        return self._at(same[-1])

    def _at(self, epoch: int) -> Outcome:
        return Outcome(epoch, model=self._model, files=self._files())

    def _files(self) -> dict[str, bytes]:
        """Return the files in the folder by their paths; raises ValueError above the limit."""
        if self._folder is None:
            return {}
        paths = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        size = sum(path.stat().st_size for path in paths)
        if size > MOST_FOLDER_BYTES:
            raise ValueError(
                f"trial.folder: got {size:,} bytes, expected at most {MOST_FOLDER_BYTES:,}"
            )
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}


def adapted(
    function: Callable[..., Any],
    number: int,
    metric: str,
    *,
    final: bool = False,
    keep_model: bool = True,
) -> Callable[..., Outcome]:
    """Return an objective in the simple form as one in the full form, for one trial."""
    wanted = signature(function).parameters.keys()

    def objective(settings: Any, data: Any, report: Report, resume: State | None = None) -> Outcome:
        trial = Trial(
            number, settings.seed, metric, report, resume, final=final, keep_model=keep_model
        )
        supplied = {"trial": trial, "seed": trial.seed, "data": data}
        values = {**vars(settings), **supplied}
        try:
            return trial.outcome(function(**{name: values[name] for name in wanted}))
        except optuna.TrialPruned as error:
            pruned = Pruned(*error.args)
            pruned.outcome = trial.pruned()
            raise pruned.with_traceback(error.__traceback__) from None
        finally:
            trial.close()

    return objective


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, or that of the names and contents of a folder's files."""
    if not path.is_dir():
        stat = path.stat()
        return _digest_of_file(path, stat.st_size, stat.st_mtime_ns)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = [f"{_digest(file)}  {file.relative_to(path).as_posix()}\n" for file in files]
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


@lru_cache(maxsize=10_000)
def _digest_of_file(path: Path, size: int, modified: int) -> str:
    """Return the SHA-256 of a file; a worker reads each file once, while it stays as it is."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _number(name: str, value: Any) -> float:
    """Return a metric as a float; raises TypeError for anything else."""
    try:
        if not isinstance(value, str | bytes):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(f"{name}: got {value!r:.100}, expected a number")
