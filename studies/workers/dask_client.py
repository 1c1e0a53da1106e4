"""The driver's connection to a Dask scheduler."""

import contextlib
from collections.abc import Iterator

from nets.errors import InputError, ModuleMissing
from studies.workers.engine import EngineLost
from tracking.store.store import one_line

try:
    import dask
    import distributed
    from distributed.comm.addressing import parse_address, parse_host_port
except ImportError as error:
    raise ModuleMissing(
        "cluster", problem=str(error), hint="install it with: pip install dask distributed"
    ) from error

SECONDS_TO_CONNECT = 5.0


@contextlib.contextmanager
def connect(address: str) -> Iterator[distributed.Client]:
    """Connect to a scheduler; raises InputError within seconds when none answers."""
    # A job may hold a checkpoint; Dask's advice on large graphs does not apply.
    dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"})
    try:
        # A client without a valid address would print another error when it is deleted.
        _, host_and_port = parse_address(address)
        parse_host_port(host_and_port)
        client = distributed.Client(
            address,
            timeout=SECONDS_TO_CONNECT,
            set_as_default=False,
            direct_to_workers=False,  # the driver may reach no more than the scheduler
            name="retrial",
        )
    except Exception as error:
        raise InputError(
            "cluster",
            problem=f"no Dask scheduler answers at {address!r}: {one_line(error)}",
            expected="the address that `dask scheduler` prints, tcp://HOST:8786",
        ) from error
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            client.close(timeout=SECONDS_TO_CONNECT)


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """Raise EngineLost where an operation inside finds the scheduler gone."""
    try:
        yield
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise EngineLost(
            f"the Dask scheduler is gone ({one_line(error)}); the same command continues the "
            "study when it is back"
        ) from error
