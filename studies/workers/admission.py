"""Which workers may train for a study: those that compute as its first worker did.

The first worker's environment is stored with the study. A worker whose fingerprint differs would
give a trial other bits, so it gets none, unless the study was told to mix; then the record says
so. The local engine has one kind of worker, this machine, and is its own first worker.
"""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nets.errors import InputError
from studies.definition.study_file import Study
from studies.workers import cpu_pinning
from tracking.ledger.access import Ledger, StudyRecord
from tracking.provenance import environment, source_code
from tracking.provenance.environment import Environment
from tracking.store import names

FIRST_WORKER = "first_worker"
"""Key of the study's notes: the environment of its first worker, as far as results depend on it."""

MIXED = names.MIXED
"""Key of the study's notes: what of the workers that were let in by ``--mixed`` differed."""


@dataclass(frozen=True)
class Description:
    """What a worker says of itself."""

    environment: Environment
    programs: dict[str, str]
    problem: str | None = None
    """Why it cannot train, for example because it does not have the data."""


def programs(modules: Sequence[str]) -> dict[str, str]:
    """Return what must be equal in driver and worker, however alike they compute.

    `modules` are the study's own. The worker also runs the pruner, so Optuna decides there too.
    """
    packages = ("nets", "studies", *modules)
    code = {f"the code of {name}": source_code.digest(name) for name in packages}
    return {**code, "Optuna": importlib.metadata.version("optuna")}


def check_data(record: StudyRecord, digests: Mapping[str, str]) -> None:
    """Raise InputError unless datasets, by SHA-256, are those that a study began with."""
    began = record.environment.get("data", digests)
    if changed := environment.differences({"data": began}, {"data": digests}):
        raise InputError(
            f"{changed[0]} since {record.name} began\n"
            "accepted is the same data, or another study.name: values of trials would not compare"
        )


class Admission:
    """Decides on the workers of one study, in the thread that owns the ledger."""

    def __init__(
        self, ledger: Ledger, study: Study, pinned: Mapping[str, str], *, mixed: bool = False
    ) -> None:
        record = ledger.study(study.name)
        assert record is not None
        self._ledger = ledger
        self._study = study
        self._pinned = pinned
        self._mixed = mixed
        self._first: Environment | None = record.notes.get(FIRST_WORKER)
        self._differences: list[str] = record.notes.get(MIXED, [])
        self._programs = programs(study.own_modules)

    def refusal(self, worker: Description) -> str | None:
        """Return why a worker may not train, in plain words, or None when it may."""
        if worker.problem is not None:
            return worker.problem
        for name, mine in self._programs.items():
            if worker.programs.get(name) != mine:
                return (
                    f"{name} is {worker.programs.get(name, 'unknown')[:12]} there and {mine[:12]} "
                    "here; start the worker with what the driver has"
                )
        differences = self.differences(worker)
        if not differences or self._mixed:
            self._remember(worker, differences)
            return None
        if wrong := self._unpinned(worker):
            return (
                f"the study pins its kernel, the worker computes with {', '.join(wrong)}; start it "
                f"with: {cpu_pinning.as_command(self._pinned)} dask worker ..."
            )
        return (
            f"it differs from the study's first worker: {'; '.join(differences)}; accepted are an "
            "equal worker, a study with portable = true (where the kernel differs), or --mixed"
        )

    def differences(self, worker: Description) -> list[str]:
        """Say what of a worker differs from the study's first one so that it can change results."""
        wrong = self._unpinned(worker)
        if self._first is None:
            return [f"kernel: not pinned: {', '.join(wrong)}"] if wrong else []
        return environment.differences(self._first, decisive(worker.environment))

    def record(self, worker: Description) -> Environment:
        """Return the environment to record with a trial of a worker."""
        differences = self.differences(worker)
        pinned = {cpu_pinning.PINNED: dict(self._pinned)} if self._pinned else {}
        return {**worker.environment, **pinned, **({MIXED: differences} if differences else {})}

    def _unpinned(self, worker: Description) -> list[str]:
        return cpu_pinning.unpinned(self._pinned, worker.environment) if self._pinned else []

    def _remember(self, worker: Description, differences: list[str]) -> None:
        """Store the first worker, and what differs in one that is let in all the same."""
        if self._first is None:
            self._first = decisive(worker.environment)
            self._ledger.note(self._study.name, FIRST_WORKER, self._first)
        if new := [text for text in differences if text not in self._differences]:
            self._differences += new
            self._ledger.note(self._study.name, MIXED, self._differences)


def decisive(described: Environment) -> Environment:
    """Return the part of an environment that results depend on, in the environment's own form.

    It has what `fingerprint` reads, so two of them are equal exactly when their fingerprints are.
    """
    return {
        "python": described["python"],
        "versions": {"numpy": described["versions"]["numpy"]},
        "blas": described["blas"],
        "simd": described["simd"],
        "code": described["code"],
    }
