"""Errors that the caller can correct.

ValueError
└── InputError            an invalid request
    └── ModuleMissing     it needs a module or a package that cannot be imported here
"""

import difflib
from collections.abc import Iterable
from typing import Any, Self, TypeVar

_ABSENT = object()
"""Default of an argument that was not given, because None may be a received value."""

_Error = TypeVar("_Error", bound="InputError")


class InputError(ValueError):
    """An invalid request: what is wrong, what was received, what is expected.

    The command line prints the message unchanged and exits with code 2. It has one form,
    ``KEY: got RECEIVED, expected EXPECTED; HINT``, of which any part may be missing.

    Parameters
    ----------
    key
        Name of what is wrong: a setting, a key of a study file, an option.
    received
        The value received, shown by `repr`.
    expected
        What is expected instead, as a phrase that completes "expected ...".
    hint
        What to do about it, as a separate clause.
    problem
        What is wrong, in place of "got RECEIVED", for example when no value was received.

    Examples
    --------
    >>> print(InputError("dropout", 1.5, "a number in [0, 1)"))
    dropout: got 1.5, expected a number in [0, 1)
    >>> print(InputError("trainz", problem="unknown key", hint="did you mean 'train'?"))
    trainz: unknown key; did you mean 'train'?
    """

    def __init__(
        self,
        key: str = "",
        received: Any = _ABSENT,
        expected: str = "",
        hint: str = "",
        *,
        problem: str = "",
    ) -> None:
        self.key = key
        self.received = None if received is _ABSENT else received
        self.expected = expected
        self.hint = hint
        self.problem = problem or ("" if received is _ABSENT else f"got {received!r}")
        clauses = [self.problem, f"expected {expected}" if expected else ""]
        sentence = "; ".join(filter(None, [", ".join(filter(None, clauses)), hint]))
        super().__init__(": ".join(filter(None, [key, sentence])))

    def with_key(self, key: str) -> Self:
        """Return the same error under another key, such as its full name in a study file."""
        error = _rebuilt(type(self), key, self.received, self.expected, self.hint, self.problem)
        return error.with_traceback(self.__traceback__)

    def __reduce__(self) -> Any:
        """Pickle the parts, so that a worker's error reaches the driver unchanged."""
        parts = (self.key, self.received, self.expected, self.hint, self.problem)
        return _rebuilt, (type(self), *parts)


class ModuleMissing(InputError):
    """A user's module, or an optional package, cannot be imported here."""


def _rebuilt(
    kind: type[_Error], key: str, received: Any, expected: str, hint: str, problem: str
) -> _Error:
    error = kind(key, expected=expected, hint=hint, problem=problem)
    error.received = received  # already in the problem, unless there was none
    return error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name, or '' if no known name is similar.

    >>> did_you_mean("trails", ["trials", "window"]), did_you_mean("x", ["trials"])
    ("did you mean 'trials'?", '')
    """
    similar = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {similar[0]!r}?" if similar else ""


def one_of(known: Iterable[Any]) -> str:
    """Return a list of names as text, for `InputError.expected`.

    >>> one_of(["adam", "sgd"]), one_of(["adam"]), one_of([])
    ('adam or sgd', 'adam', '')
    """
    *first, last = [str(name) for name in known] or [""]
    return f"{', '.join(first)} or {last}" if first else last
