"""Learning rate schedules: the factor of the learning rate at each step.

Steps count mini-batches from 0; ``steps`` is their number in the whole training. Every function
here returns a factor, 1 for the full learning rate; `learning_rate` combines those that `Settings`
select. In a constant schedule only the warm-up has one. A schedule has no state, so a resumed
training needs only the number of the step.
"""

import math

from nets.settings import Settings

RISE = 0.3
"""Fraction of a one-cycle schedule in which the learning rate rises."""
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = ONE_CYCLE_START / 10_000


def staircase(step: int, every: int, factor: float) -> float:
    """Return ``factor ** (step // every)``: constant for ``every`` steps, then scaled.

    >>> [staircase(step, every=2, factor=0.5) for step in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """
    return factor ** (step // every)


def cosine(step: int, steps: int) -> float:
    """Return ``(1 + cos(pi * step / steps)) / 2``: from 1 slowly, then faster, slowly to 0.

    Source: Loshchilov and Hutter, SGDR (ICLR 2017), equation 5, without restarts.

    >>> [round(cosine(step, 4), 4) for step in range(5)]
    [1.0, 0.8536, 0.5, 0.1464, 0.0]
    """
    return (1 + math.cos(math.pi * step / steps)) / 2


def one_cycle(step: int, steps: int) -> float:
    """Rise from 1/25 to 1 in the first 30 % of the steps, then fall to 1/250,000; both by cosines.

    Source: Smith and Topin, Super-Convergence (2018); the cosines, in place of
    straight lines, are those of PyTorch's ``OneCycleLR``, which gives the same factors.

    >>> [round(one_cycle(step, 10), 4) for step in range(10)]
    [0.04, 0.52, 1.0, 0.9505, 0.8117, 0.6113, 0.3887, 0.1883, 0.0495, 0.0]
    """
    peak = RISE * steps - 1
    if step < peak:
        return _between(ONE_CYCLE_START, 1.0, step / peak)
    return _between(1.0, ONE_CYCLE_END, (step - peak) / (steps - 1 - peak))


def warm_up(step: int, warm_up_steps: int) -> float:
    """Return ``(step + 1) / warm_up_steps``, at most 1: a straight line from almost 0.

    >>> [warm_up(step, 4) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    >>> warm_up(0, 0)
    1.0
    """
    return (step + 1) / warm_up_steps if step < warm_up_steps else 1.0


def learning_rate(settings: Settings, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate at a step: the settings' times the schedule's times the warm-up's.

    >>> settings = Settings(learning_rate=0.1, schedule="step", step_epochs=10, warmup=0.1)
    >>> [round(learning_rate(settings, step, steps_per_epoch=1), 4) for step in (0, 1, 9, 10)]
    [0.05, 0.1, 0.1, 0.01]
    """
    steps = settings.epochs * steps_per_epoch
    factor = warm_up(step, round(settings.warmup * steps))
    match settings.schedule:
        case "step":
            factor *= staircase(step, settings.step_epochs * steps_per_epoch, settings.step_factor)
        case "cosine":
            factor *= cosine(step, steps)
        case "one_cycle":
            factor *= one_cycle(step, steps)
    return settings.learning_rate * factor


def _between(start: float, end: float, progress: float) -> float:
    """Interpolate from start to end along half a cosine as progress goes from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
