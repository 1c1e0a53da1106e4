"""Distinguish a store that cannot be reached from one that rejects a request."""

import sqlite3

_PERHAPS_LATER = {401, 403, 407, 408, 429}
"""HTTP statuses below 500 that do not mean that the request itself is wrong."""


def is_outage(error: BaseException) -> bool:
    """Return whether an error is due to the connection to a store, its disk or its database.

    After an outage the same request may succeed, and until then any other would fail too. All
    other errors are due to the request, which would be rejected again.
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
    # MLflow's own errors have status 500 for every exception that it did not expect.
    inner = error.__cause__ or error.__context__
    if isinstance(error, MlflowException) and (isinstance(error, RestException) or inner is None):
        return _is_outage(error.get_http_status_code())  # type: ignore[no-untyped-call]
    return inner is not None and is_outage(inner)


def _is_outage(status: int) -> bool:
    return status >= 500 or status in _PERHAPS_LATER
