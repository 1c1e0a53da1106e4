"""The interface between the search and the processes that train."""

from collections.abc import Iterable
from typing import Protocol

from studies.workers.messages import Event, Job


class EngineLost(RuntimeError):
    """The engine can start nothing and receive nothing any more; what is committed is safe."""


class Engine(Protocol):
    """Starts trials on workers and reports their events.

    Contract: every started job ends in exactly one `TrialDone`, `TrialStopped` or `WorkerCrashed`;
    its epochs come before, in order. Events of different trials come in any order: nothing behind
    this interface may depend on it. An engine never starts a job again by itself. A `Notice`
    belongs to no job. Everything but `free` raises EngineLost once the engine cannot be reached.
    """

    @property
    def free(self) -> int:
        """How many jobs can be started now."""

    def start(self, job: Job) -> str:
        """Start a job on a free worker and return the worker's name."""

    def events(self, timeout: float) -> Iterable[Event]:
        """Return what happened; wait up to `timeout` seconds for the first event."""

    def stop_trials(self) -> None:
        """Request that all running trials stop at the end of their epoch."""

    def close(self) -> None:
        """End all workers, at once."""
