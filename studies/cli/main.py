"""The command ``retrial``.

Nothing heavy is imported before a command is known: ``retrial --help`` answers at once.
"""

import argparse
import errno
import math
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from studies.cli.suggestions import default_data, default_store

_INTERRUPTED = {
    "search": "the same command continues it",
    "train": "the same command continues it",
    "confirm": "the same command continues it, with the trainings that have finished",
    "reproduce": "no verdict was recorded",
    "pack": "no file was written",
    "unpack": "nothing was imported",
    "delete": "the same command removes the rest",
    "gc": "the same command removes the rest",
    "data": "the same command starts it again",
}
"""What Ctrl-C has left of each command that does more than look."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed or diverged, 2 wrong request."""
    # Before NumPy loads: the bits of a float32 product depend on the number of BLAS threads.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    # Before MLflow loads: it reads this when it is imported.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    options = _options(arguments)
    from nets.errors import InputError

    try:
        command = import_module(f"studies.cli.{options.command}")
        return int(command.run(options))
    except InputError as error:
        print(f"retrial: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        left = _INTERRUPTED.get(options.command, "nothing was changed")
        print(f"interrupted: {left}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        from studies.workers.stdio import discard_output

        discard_output()
        # `retrial show | head` is no error; and a search stops for nobody who looked at it.
        if options.command == "search" or options.command not in _INTERRUPTED:
            return 0
        print(f"output closed: {_INTERRUPTED[options.command]}", file=sys.stderr)
        return 1
    except Exception as error:
        if (trouble := _store_trouble(error)) is None:
            raise
        print(
            f"retrial: store: cannot write {options.store}: {trouble}\n"
            "with that mended, the same command continues: what was finished is kept",
            file=sys.stderr,
        )
        return 1


def _store_trouble(error: BaseException) -> str | None:
    """Return in words that the disk is full, or the store can no longer be written, or None."""
    import sqlite3

    # A damaged file is told by the plain class, mistakes of ours by others beside it.
    if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
        return str(error)
    full = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
    return error.strerror if isinstance(error, OSError) and error.errno in full else None


class _Parser(argparse.ArgumentParser):
    """A parser that takes no option for another, and says in two lines what it does not take."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Say what was wrong, and end the command."""
        message = message.removeprefix("argument ")
        if found := re.fullmatch(r"(.*: )invalid choice: (.*) \(choose from (.*)\)", message):
            accepted = found[3].replace("'", "")
            message = f"{found[1]}got {found[2]}, accepted are {accepted}"
        self.exit(2, f"retrial: {message}\nsee: {self.prog} --help\n")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options, unknown = _parser().parse_known_args(arguments)
    if unknown:
        # The parser of all commands would not say which one's help to read.
        told = f"got {' '.join(unknown)}, which `retrial {options.command}` does not take"
        _Parser(prog=f"retrial {options.command}").error(told)
    return options


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="retrial",
        description="Hyperparameter search and experiment tracking: any trial can be tried again.",
    )
    shared = _Parser(add_help=False)
    shared.add_argument(
        "--store",
        type=_folder,
        default=default_store(),
        help="folder of the store (default: mlruns, or RETRIAL_STORE)",
    )
    shared.add_argument(
        "--data",
        type=_folder,
        default=default_data(),
        help="folder of the datasets (default: RETRIAL_DATA, or a cache folder of the user)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    search = commands.add_parser("search", parents=[shared], help="run or continue a study")
    search.add_argument("study", help="name of a study that ships, or path of a study file")
    search.add_argument("--trials", type=_positive, help="total number of trials")
    search.add_argument(
        "--jobs", type=_positive, help="worker processes (default: cores, at most window / 2)"
    )
    search.add_argument(
        "--threads", type=_positive, default=1, help="threads inside one trial (default: 1)"
    )
    search.add_argument("--seed", type=_natural, help="another seed makes the study NAME-seedS")
    search.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="ask nothing after this; trials stop at their next epoch, to go on later",
    )
    search.add_argument("--cluster", metavar="ADDRESS", help="train on a Dask cluster: tcp://...")
    search.add_argument(
        "--portable", action="store_true", help="pin the kernel: equal bits on unequal machines"
    )
    search.add_argument(
        "--mixed", action="store_true", help="let workers that differ train too, and record it"
    )
    search.add_argument("--no-record", action="store_true", help=argparse.SUPPRESS)

    show = commands.add_parser("show", parents=[shared], help="best trials of a study")
    show.add_argument("study", help="name of a study in the store")
    show.add_argument("--json", action="store_true", help="print everything as JSON")

    replay = commands.add_parser(
        "replay", parents=[shared], help="what another pruner would have saved, and lost"
    )
    replay.add_argument("study", help="name of a study in the store")
    replay.add_argument(
        "--pruner",
        action="append",
        required=True,
        metavar="NAME[:KEY=VALUE,...]",
        help="as in a study file, such as median:startup_trials=3; may be given several times",
    )
    replay.add_argument("--json", action="store_true", help="print the answers as JSON")

    reproduce = commands.add_parser(
        "reproduce", parents=[shared], help="train a recorded trial again and compare"
    )
    reproduce.add_argument("trial", help="best, a trial number, or an MLflow run id")
    reproduce.add_argument("--study", help="name of the study; not needed with a run id")
    reproduce.add_argument("--at", type=_positive, metavar="EPOCH", help="stop after this epoch")
    reproduce.add_argument("--threads", type=_positive, default=1, help="threads inside the trial")
    reproduce.add_argument(
        "--recorded-code",
        action="store_true",
        help="run the program that trained the trial, as it was, from its record",
    )
    reproduce.add_argument("--json", action="store_true", help="print the verdict as JSON")

    confirm = commands.add_parser(
        "confirm", parents=[shared], help="the best trials again under fresh seeds, then the test"
    )
    confirm.add_argument("study", help="name of a study in the store")
    confirm.add_argument("--top", type=_positive, default=3, metavar="K", help="best trials to try")
    confirm.add_argument("--seeds", type=_positive, default=5, metavar="R", help="seeds for each")
    confirm.add_argument("--jobs", type=_positive, help="worker processes")
    confirm.add_argument("--json", action="store_true", help="print what was found as JSON")
    confirm.add_argument("--no-record", action="store_true", help=argparse.SUPPRESS)

    train = commands.add_parser(
        "train", parents=[shared], help="one training with settings of your own, recorded"
    )
    train.add_argument("study", help="name of a study in the store or that ships, or a file")
    train.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="settings; what is searched is else the best trial's, or the default",
    )
    train.add_argument("--threads", type=_positive, default=1, help="threads inside the training")
    train.add_argument("--no-record", action="store_true", help=argparse.SUPPRESS)

    predict = commands.add_parser(
        "predict", parents=[shared], help="what is on images in files, by the registered model"
    )
    predict.add_argument("model", help="STUDY (its champion), NAME@alias or NAME/version")
    predict.add_argument("files", nargs="+", type=Path, metavar="FILE", help="PNG, JPEG or .npy")
    predict.add_argument("--json", action="store_true", help="print all scores as JSON")

    export = commands.add_parser(
        "export", parents=[shared], help="a trial's model as an ONNX file, for any runtime"
    )
    export.add_argument(
        "trial", help="best, a trial number, an MLflow run id, or a model as `predict` takes it"
    )
    export.add_argument("file", type=Path, metavar="FILE", help="a new file, such as digits.onnx")
    export.add_argument("--study", help="name of the study; needed with best and a number")

    ui = commands.add_parser("ui", parents=[shared], help="start the MLflow UI on the store")
    ui.add_argument("--port", type=_port, default=5000, help="0 for any that is free")

    pack = commands.add_parser("pack", parents=[shared], help="write a study into one file")
    pack.add_argument("study", help="name of a study in the store")
    pack.add_argument("file", type=Path, metavar="FILE", help="a new file")

    unpack = commands.add_parser("unpack", parents=[shared], help="bring a packed study in")
    unpack.add_argument("file", type=Path, metavar="FILE", help="a file that `pack` wrote")

    delete = commands.add_parser(
        "delete", parents=[shared], help="remove a study and its record, after asking"
    )
    delete.add_argument("study", help="name of a study in the store")
    delete.add_argument("--yes", action="store_true", help="do not ask")

    gc = commands.add_parser(
        "gc", parents=[shared], help="remove what crashed attempts left, after asking"
    )
    gc.add_argument("--yes", action="store_true", help="do not ask")

    datasets = commands.add_parser("data", help="list or fetch datasets")
    actions = datasets.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", parents=[shared], help="say which datasets are here")
    fetch = actions.add_parser("fetch", parents=[shared], help="download a dataset")
    fetch.add_argument("name", help="mnist")
    return parser


def _positive(text: str) -> int:
    return _whole(text, 1)


def _natural(text: str) -> int:
    return _whole(text, 0)


def _port(text: str) -> int:
    return _whole(text, 0, 65535)


def _folder(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError(f"got {text!r}, accepted is the path of a folder")
    return Path(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}, accepted is a number of seconds above 0")
    return seconds


def _whole(text: str, low: int, high: int | None = None) -> int:
    number = int(text) if re.fullmatch("-?[0-9]{1,18}", text) else None
    if number is None or number < low or (high is not None and number > high):
        accepted = f"a whole number from {low}" + ("" if high is None else f" to {high}")
        raise argparse.ArgumentTypeError(f"got {text!r}, accepted is {accepted}")
    return number


if __name__ == "__main__":
    sys.exit(main())
