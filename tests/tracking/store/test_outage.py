"""Which errors of MLflow mean that it cannot be reached."""

import errno
import sqlite3

import pytest
import requests

from tracking.store.outage import is_outage


def raised(error, cause=None, context=None):
    """Return an error as it is caught, with the given cause or context."""
    try:
        try:
            if context is not None:
                raise context
        finally:
            raise error from cause
    except Exception as arrived:
        return arrived


def mlflow_error(text, code="INTERNAL_ERROR"):
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    return MlflowException(text, ErrorCode.Value(code))


def answer(code):
    from mlflow.exceptions import RestException

    return RestException({"error_code": code, "message": "no"})


def http_error(status):
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError("no", response=response)


@pytest.mark.parametrize(
    "error",
    [
        lambda: ConnectionError("gone"),
        lambda: OSError(errno.ENOSPC, "No space left on device"),
        lambda: sqlite3.OperationalError("database is locked"),
        lambda: mlflow_error("database or disk is full", "TEMPORARILY_UNAVAILABLE"),
        lambda: mlflow_error("API request to endpoint failed with error code 502 != 200"),
        lambda: raised(mlflow_error("API request failed"), context=requests.ConnectionError()),
        lambda: answer("INTERNAL_ERROR"),
        lambda: answer("TEMPORARILY_UNAVAILABLE"),
        lambda: answer("PERMISSION_DENIED"),
        lambda: http_error(503),
    ],
)
def test_what_may_succeed_later_is_an_outage(error):
    assert is_outage(error())


@pytest.mark.parametrize(
    "error",
    [
        lambda: ValueError("no"),
        lambda: UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"),
        lambda: mlflow_error("Invalid metric name", "INVALID_PARAMETER_VALUE"),
        lambda: raised(mlflow_error("surrogates not allowed"), cause=ValueError("surrogates")),
        lambda: answer("INVALID_PARAMETER_VALUE"),
        lambda: answer("RESOURCE_DOES_NOT_EXIST"),
        lambda: http_error(413),
    ],
)
def test_what_would_be_rejected_again_is_none(error):
    assert not is_outage(error())
