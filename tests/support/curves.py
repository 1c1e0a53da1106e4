"""Objectives that compute a curve instead of training: cheap, exact, and with random delays.

Each epoch's value depends on all earlier ones through a state: a trial that resumes from a wrong
state has a wrong result. The time of an epoch is drawn from the operating system: no two runs have
their events in the same order.
"""

import hashlib
import math
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nets import threads
from nets.outcome import Epoch, Model, Outcome
from nets.settings import check_fields

_CLOCK = random.SystemRandom()

Fault = Literal["none", "nan", "raise", "always", "exit", "die", "each", "huge"]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A curve that rises towards a height, with a rate, a ripple and noise."""

    rate: float = 0.1
    height: float = 0.5
    waves: int = 3
    kind: str = "plain"
    ripple: float = 0.0
    epochs: int = 6
    delay: float = 0.0
    """The longest time of an epoch in seconds."""
    fault: Fault = "none"
    """What goes wrong in some trials: in those whose seed is divisible by 3, or always."""
    seed: int = 0

    def __post_init__(self):
        """Check the types."""
        check_fields(self)

    @property
    def has_fault(self):
        """Whether this trial has the fault; none has it once the variable CURVES_FIXED is set."""
        return "CURVES_FIXED" not in os.environ and self._may_have_fault

    @property
    def _may_have_fault(self):
        return self.fault in ("always", "each") or self.seed % 3 == 0


@dataclass(frozen=True, kw_only=True)
class Picky(Curve):
    """A curve that may not be steep and high at once."""

    def __post_init__(self):
        """Check the values together."""
        super().__post_init__()
        if self.rate + self.height > 1.2:
            raise ValueError(f"rate + height: got {self.rate + self.height}, expected at most 1.2")


@dataclass(frozen=True, kw_only=True)
class Placed(Curve):
    """A curve with a path among its settings."""

    folder: Path = Path("/data")


def climb(settings, data, report, resume=None):
    """Report one value an epoch, as `value` and as `loss` (1 - value)."""
    state = resume or {"epoch": 0, "level": 0.0, "trace": np.zeros(4)}
    for number in range(state["epoch"] + 1, settings.epochs + 1):
        time.sleep(_CLOCK.uniform(0, settings.delay))
        state = _next(state, settings, number)
        value = state["level"]
        if settings.has_fault:
            if settings.fault == "nan" and number > settings.epochs // 2:
                value = math.nan
            _go_wrong(settings.fault, number)
        report(
            Epoch(
                number=number,
                metrics={"value": value, "loss": 1.0 - value},
                seconds=0.001,
                digests={"weights": hashlib.sha256(state["trace"].tobytes()).hexdigest()},
                state=lambda state=state: state,
                outcome=lambda state=state: _outcome(state),
            )
        )
    return _outcome(state)


def climb_from_the_start(settings, data, report):
    """Do the same as an objective that cannot resume, and returns no model."""

    def without_state(epoch):
        report(Epoch(epoch.number, epoch.metrics, epoch.seconds))

    return Outcome(climb(settings, data, without_state).epoch)


def count_threads(settings, data, report):
    """Report the number of threads that a network would train with."""
    report(Epoch(1, {"value": float(threads.count())}, 0.001))
    return Outcome(1)


WEIGHTS = 40_000_000
"""Bytes of the model of `climb_with_weights`."""


def climb_with_weights(settings, data, report):
    """Report the peak of this process's memory too, and return a large model.

    With the fault "huge", some are larger than any that can be stored; they take no memory.
    """

    def with_memory(epoch):
        metrics = {**epoch.metrics, "memory": peak_memory()}
        report(Epoch(epoch.number, metrics, epoch.seconds))

    outcome = climb(settings, data, with_memory)
    weights = np.ones(WEIGHTS // 8)
    if settings.fault == "huge" and settings.has_fault:
        weights = np.broadcast_to(1.0, 10**9)
    return Outcome(outcome.epoch, model=Model("# no network", {"weights": weights}))


def peak_memory():
    """Return the most memory that this process has had, in bytes."""
    (line,) = [s for s in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in s]
    return 1024 * int(line.split()[1])


def climb_to_nothing(settings, data, report):
    """Report values that are not finite."""
    report(Epoch(1, {"value": math.nan}, 0.001))
    return Outcome(1)


def _next(state, settings, number):
    noise = np.random.default_rng([settings.seed, number]).standard_normal(4)
    bonus = {"plain": 0.0, "wavy": 0.05, "steep": -0.05}[settings.kind]
    target = settings.height * (1 - (settings.rate - 0.2) ** 2) + bonus
    target += settings.ripple * math.sin(settings.waves * settings.rate)
    trace = state["trace"] * 0.9 + noise
    level = state["level"] + 0.5 * (target - state["level"]) + 0.01 * float(trace.sum())
    return {"epoch": number, "level": level, "trace": trace}


def _outcome(state):
    return Outcome(state["epoch"], model=Model("# no network", {"trace": state["trace"]}))


def _go_wrong(fault, number):
    if fault == "always" or (fault == "raise" and number == 2):
        raise ZeroDivisionError("a mistake in the objective")
    if fault == "each":  # a different mistake in each trial
        raise type(f"Mistake{time.monotonic_ns()}", (Exception,), {})("of this trial")
    if fault == "exit" and number == 2:
        raise SystemExit(3)
    if fault == "die" and number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
