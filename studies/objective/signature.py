"""The form of an objective, and the settings of one in the simple form: its own parameters.

A function with parameters ``settings`` and ``report`` has the full form; every other function has
the simple form.
"""

from collections.abc import Callable
from dataclasses import field, fields, make_dataclass
from inspect import Parameter, signature
from typing import Any, get_type_hints

from nets.errors import InputError
from nets.settings import Settings, check_fields

SUPPLIED = ("trial", "seed", "data")
"""Parameters that the trial supplies; all others are settings."""

_OF_DATA = ("data", "validation", "split_seed")
"""Settings, as those of nets, of a function that has the parameter ``data``."""


def is_full(function: Callable[..., Any]) -> bool:
    """Return whether a function has the full form: ``(settings, data, report[, resume])``.

    >>> is_full(lambda settings, data, report: None), is_full(lambda C, gamma: 0.0)
    (True, False)
    """
    return {"settings", "report"} <= signature(function).parameters.keys()


def settings_class(function: Callable[..., Any]) -> type[Any]:
    """Return the settings class of a function in the simple form.

    A parameter without a default is required: it must be fixed or searched. It is None in a trial
    in which the condition that it is searched under does not apply. A parameter without an
    annotation may have any plain value; the space decides whether a range is one of integers.

    Raises InputError for a parameter that has no name to be given by.

    >>> def objective(trial, C, gamma: float = 0.1): ...
    >>> settings_class(objective)(C=1)
    Settings(C=1, gamma=0.1, seed=0)
    """
    try:
        hints = get_type_hints(function)
    except Exception as error:  # whatever is written there is evaluated
        raise InputError(
            "objective",
            problem=f"the annotations of {function.__name__} cannot be read: {error}",
            expected="types that its module knows",
        ) from error
    items: list[tuple[str, Any, Any]] = []
    for parameter in signature(function).parameters.values():
        if parameter.kind not in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
            raise InputError(
                "objective",
                problem=f"{function.__name__} has the parameter {parameter}",
                expected="parameters with names, each of which is a setting",
            )
        if parameter.name not in SUPPLIED:
            items.append(_field(parameter, hints.get(parameter.name, Any)))
    if "data" in signature(function).parameters:
        own = {item.name: item for item in fields(Settings)}
        items += [(name, own[name].type, field(default=own[name].default)) for name in _OF_DATA]
    items.append(("seed", int, field(default=0)))
    return make_dataclass(
        "Settings", items, frozen=True, kw_only=True, namespace={"__post_init__": check_fields}
    )


def is_required(item: Any) -> bool:
    """Return whether a field of a settings class has to be fixed or searched."""
    return bool(item.metadata.get("required"))


def _field(parameter: Parameter, hint: Any) -> tuple[str, Any, Any]:
    if parameter.default is parameter.empty:
        optional = hint if hint is Any else hint | None
        return parameter.name, optional, field(default=None, metadata={"required": True})
    default = parameter.default
    kept = tuple(default) if isinstance(default, list) else default
    return parameter.name, hint, field(default=kept)
