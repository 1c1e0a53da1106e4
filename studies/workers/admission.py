"""Which workers may train for a study: those that compute as its first worker did.

The first worker's environment is stored with the study. A worker that differs in its decisive parts
would compute other bits, so it gets no trial unless ``--mixed`` is given; the record then says so.
The local engine has one kind of worker, this machine, and is its own first worker.
"""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nets.errors import InputError
from studies.definition.study_file import Study
from studies.workers import cpu_pinning
from tracking.ledger import Ledger
from tracking.provenance import source_code
from tracking.records import Environment, StudyRecord, differences


@dataclass(frozen=True)
class Description:
    """A worker's description of itself."""

    environment: Environment
    programs: dict[str, str]
    problem: str | None = None
    """Why it cannot train, for example because it lacks the data."""


def programs(modules: Sequence[str]) -> dict[str, str]:
    """Return what must be equal in driver and worker, however alike they compute.

    `modules` are the study's own. The worker also runs the pruner, so Optuna decides there too.
    """
    packages = ("nets", "studies", *modules)
    code = {f"the code of {name}": source_code.digest(name) for name in packages}
    return {**code, "Optuna": importlib.metadata.version("optuna")}


def check_data(record: StudyRecord, digests: Mapping[str, str]) -> None:
    """Raise InputError unless datasets, by SHA-256, are those that a study began with."""
    began = record.environment.data
    if began is None:
        return
    if changed := differences(Environment(data=began), Environment(data=dict(digests))):
        raise InputError(
            problem=f"{changed[0]} since {record.name} began",
            expected="the same data, or another study.name",
            hint="values of trials would not compare",
        )


class Admission:
    """Admits the workers of one study, in the thread that owns the ledger."""

    def __init__(
        self, ledger: Ledger, study: Study, pinned: Mapping[str, str], *, mixed: bool = False
    ) -> None:
        notes = ledger.notes(study.name)
        self._ledger = ledger
        self._study = study
        self._pinned = pinned
        self._mixed = mixed
        self._first = notes.first_worker
        self._differences = notes.mixed or ()
        self._programs = programs(study.own_modules)

    def rejection(self, worker: Description) -> str | None:
        """Return why a worker may not train, or None when it may."""
        if worker.problem is not None:
            return worker.problem
        for name, mine in self._programs.items():
            if worker.programs.get(name) != mine:
                return (
                    f"{name} is {worker.programs.get(name, 'unknown')[:12]} there and {mine[:12]} "
                    "here; start the worker with what the driver has"
                )
        found = self.differences(worker)
        if not found or self._mixed:
            self._remember(worker, found)
            return None
        if wrong := self._unpinned(worker):
            return (
                f"the study pins its BLAS kernel, but the worker computes with {', '.join(wrong)}; "
                f"start it with: {cpu_pinning.as_command(self._pinned)} dask worker ..."
            )
        return (
            f"it differs from the study's first worker: {'; '.join(found)}; use an equal "
            "worker, a study with portable = true (where the BLAS kernel differs), or --mixed"
        )

    def differences(self, worker: Description) -> list[str]:
        """Return how a worker differs from the study's first one in ways that change results."""
        wrong = self._unpinned(worker)
        if self._first is None:
            return [f"kernel: not pinned: {', '.join(wrong)}"] if wrong else []
        found = differences(self._first, worker.environment.decisive())
        return [str(difference) for difference in found]

    def record(self, worker: Description) -> Environment:
        """Return the environment to record with a trial of a worker."""
        return replace(
            worker.environment,
            pinned=dict(self._pinned) or None,
            mixed=tuple(self.differences(worker)) or None,
        )

    def _unpinned(self, worker: Description) -> list[str]:
        return cpu_pinning.unpinned(self._pinned, worker.environment) if self._pinned else []

    def _remember(self, worker: Description, found: list[str]) -> None:
        """Store the first worker, and how one differs that is admitted nevertheless."""
        if self._first is None:
            self._first = worker.environment.decisive()
            self._ledger.update_notes(self._study.name, first_worker=self._first)
        if new := [text for text in found if text not in self._differences]:
            self._differences += tuple(new)
            self._ledger.update_notes(self._study.name, mixed=self._differences)
