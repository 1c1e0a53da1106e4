"""The command ``retrial``: it finds the command that is asked for, runs it, and reports errors.

Each command is a module beside this one: `add_arguments(parser)`, `run(options) -> exit code`, and
`INTERRUPTED`, what Ctrl-C leaves, for a command that changes something. The first line of a module
is its line in ``retrial --help``. Heavy packages are imported by `run`, so help appears at once.
"""

import atexit
import errno
import gc
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from studies import NATIVE_WINDOWS
from studies.cli.arguments import Parser, add_flag, add_places
from studies.display.messages import fail, warn
from studies.display.suggestions import default_store
from studies.workers.stdio import discard_output, output_is_closed, prepare_output

COMMANDS = (
    "search", "add", "extend", "list", "show", "compare", "replay", "reproduce", "confirm", "train",
    "predict", "export", "ui", "pack", "unpack", "delete", "gc", "data",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed or diverged, 2 wrong request."""
    if sys.platform == "win32":
        print(NATIVE_WINDOWS, file=sys.stderr)
        return 2
    # Before NumPy loads: the bits of a float32 product depend on the number of BLAS threads.
    for library in ("OPENBLAS_NUM", "OMP_NUM", "MKL_NUM", "VECLIB_MAXIMUM"):
        os.environ[f"{library}_THREADS"] = "1"
    # Before MLflow loads: it reads this when it is imported.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # Most objects belong to modules and live until the end: looking for cycles among them took a
    # second of a search, most of it while the interpreter exits.
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    # A batch system ends a program whose time is over with SIGTERM: the same as Ctrl-C, unless the
    # program that calls this has its own handler.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A search matters more than what it prints.
    prepare_output(forgiving=name == "search")
    if name == "--version":
        from tracking.store.names import own_version

        print(f"retrial {own_version()}")
        return 0
    if name not in COMMANDS:
        _explain(name)
    command = import_module(f"studies.cli.{name}")
    left = getattr(command, "INTERRUPTED", None)
    options = _options(command, name, rest)
    from nets.errors import InputError
    from tracking.store.plain_values import visible

    try:
        return int(command.run(options))
    except InputError as error:
        warn(visible(str(error)))
        return 2
    except KeyboardInterrupt:
        print(f"interrupted: {left or 'nothing was changed'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        if not output_is_closed():
            raise
        discard_output()
        if left is None:  # `retrial show | head` is no error
            return 0
        print(f"output closed: {left}", file=sys.stderr)
        return 1
    except Exception as error:
        from studies.workers.engine import EngineLost
        from tracking.ledger.access import is_damage
        from tracking.ledger.damage import damaged
        from tracking.store import names

        if isinstance(error, EngineLost | MemoryError):
            return fail(str(error) or "out of memory")
        if is_damage(error):
            return fail(str(damaged(options.store / names.LEDGER, error)))
        if (problem := _store_problem(error)) is None:
            raise
        return fail(
            f"store: cannot write {options.store}: {problem}\n"
            "once that is fixed, the same command continues: what was finished is kept"
        )


def _explain(name: str) -> None:
    """Print the help, or an error for what is no command, and exit."""
    parser = Parser(
        prog="retrial",
        description="Hyperparameter search and experiment tracking: any trial can be reproduced.",
    )
    if name and not name.startswith("-"):
        from nets.errors import did_you_mean, one_of

        hint = did_you_mean(name, COMMANDS) or f"expected {one_of(COMMANDS)}"
        parser.error(f"no command {name!r}; {hint}")
    add_flag(parser, "--version", "print the version of retrial and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for known in COMMANDS:
        commands.add_parser(known, help=_summary(known))
    parser.parse_args([name] if name else [])


def _summary(name: str) -> str:
    """Return what a command does: the first line of its module, which need not be imported."""
    with Path(__file__).with_name(f"{name}.py").open(encoding="utf-8") as file:
        return file.readline().partition(": ")[2].strip().removesuffix('"""').removesuffix(".")


def _options(command: ModuleType, name: str, arguments: Sequence[str]) -> Namespace:
    summary = _summary(name)
    parser = Parser(prog=f"retrial {name}", description=f"{summary[0].upper()}{summary[1:]}.")
    add_places(parser)
    command.add_arguments(parser)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(f"got {' '.join(unknown)}, which `{parser.prog}` does not take")
    options.has_store = options.store is not None
    options.store = options.store or default_store()
    return options


def _store_problem(error: BaseException) -> str | None:
    """Return what keeps a store from being written, such as a full disk, or None."""
    import sqlite3

    if isinstance(error, sqlite3.OperationalError):
        return str(error)
    full = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
    return error.strerror if isinstance(error, OSError) and error.errno in full else None


if __name__ == "__main__":
    sys.exit(main())
