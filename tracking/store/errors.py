"""Errors about a store and its studies; all are `nets.errors.InputError`.

InputError
├── StoreUnavailable      the store cannot be opened, read or written
├── StudyNotFound         the store has no study of that name
└── StudyLocked           another process works on the study
"""

from collections.abc import Iterable
from pathlib import Path

from nets.errors import InputError, did_you_mean


class StoreUnavailable(InputError):
    """A store that cannot be opened, read or written."""

    @classmethod
    def without_studies(cls, root: Path) -> "StoreUnavailable":
        """Return the error for a folder that is no store."""
        return cls(
            "store",
            problem=f"{root} has no studies",
            expected="a store (--store, or RETRIAL_STORE) that `retrial search` has filled",
        )

    @classmethod
    def read_only(cls, path: Path) -> "StoreUnavailable":
        """Return the error for a store, or a file of it, that this user can only read."""
        return cls(
            "store",
            problem=f"cannot write {path} (Permission denied)",
            expected="a folder that this user can write to",
        )


class StudyNotFound(InputError):
    """A study that a store does not have."""

    @classmethod
    def among(cls, name: str, known: Iterable[str], store: Path | str) -> "StudyNotFound":
        """Return the error for a name, with the names that the store has.

        >>> print(StudyNotFound.among("digit", ["digits", "mnist"], "mlruns"))
        study: no study 'digit' in mlruns; did you mean 'digits'?
        >>> print(StudyNotFound.among("x", ["digits"], "mlruns"))
        study: no study 'x' in mlruns; it has digits
        """
        names = list(known)
        has = f"it has {', '.join(names)}" if names else "it has none yet"
        return cls(
            "study",
            problem=f"no study {name!r} in {store}",
            hint=did_you_mean(name, names) or has,
        )


class StudyLocked(InputError):
    """A study that another process works on; the problem names it and what it is doing."""
