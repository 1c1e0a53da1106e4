"""Telling a store that cannot be reached from one that refuses what it was sent."""

import sqlite3

_PERHAPS_LATER = {401, 403, 407, 408, 429}
"""HTTP statuses below 500 that say nothing against what was sent."""


def is_outage(error: BaseException) -> bool:
    """Tell whether an error comes from the way to a store, its disk or its database.

    The same may then succeed later, and anything else would fail now. Everything else is about
    what was sent, and would be refused again.
    """
    from mlflow.exceptions import MlflowException, RestException
    from sqlalchemy import exc

    response = getattr(error, "response", None)
    if (status := getattr(response, "status_code", None)) is not None:
        return _is_outage(int(status))
    if isinstance(
        error,
        OSError | sqlite3.OperationalError | exc.OperationalError | exc.InterfaceError
        | exc.TimeoutError,
    ):  # fmt: skip
        return True
    # MLflow's own errors say 500 for all that it met and did not expect.
    inner = error.__cause__ or error.__context__
    if isinstance(error, MlflowException) and (isinstance(error, RestException) or inner is None):
        return _is_outage(error.get_http_status_code())  # type: ignore[no-untyped-call]
    return inner is not None and is_outage(inner)


def _is_outage(status: int) -> bool:
    return status >= 500 or status in _PERHAPS_LATER
