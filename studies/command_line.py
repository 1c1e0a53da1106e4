"""The command ``retrial``.

Nothing heavy is imported before a command is known: ``retrial --help`` answers at once.
"""

import argparse
import errno
import math
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed or diverged, 2 wrong request."""
    # Before NumPy loads: the bits of a float32 product depend on the number of BLAS threads.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    # Before MLflow loads: it reads this when it is imported.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    options = _parser().parse_args(arguments)
    from nets.errors import InputError

    try:
        command = import_module(f"studies.commands.{options.command}")
        return int(command.run(options))
    except InputError as error:
        print(f"retrial: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as `retrial show | head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
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

    if isinstance(error, sqlite3.OperationalError):
        return str(error)
    full = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
    return error.strerror if isinstance(error, OSError) and error.errno in full else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retrial",
        description="Hyperparameter search and experiment tracking: any trial can be tried again.",
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--store",
        type=Path,
        default=Path(os.environ.get("RETRIAL_STORE", "mlruns")),
        help="folder of the store (default: mlruns, or RETRIAL_STORE)",
    )
    data = os.environ.get("RETRIAL_DATA")
    shared.add_argument(
        "--data",
        type=Path,
        default=Path(data) if data else None,
        help="folder of the datasets (default: RETRIAL_DATA, or a cache folder of the user)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    search = commands.add_parser("search", parents=[shared], help="run or continue a study")
    search.add_argument("study", help="name of a study that ships, or path of a study file")
    search.add_argument("--trials", type=_positive, help="total number of trials")
    search.add_argument("--jobs", type=_positive, help="worker processes")
    search.add_argument("--threads", type=_positive, default=1, help="threads inside one trial")
    search.add_argument("--seed", type=_natural, help="another seed makes the study NAME-seedS")
    search.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="ask nothing after this"
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
        "predict", parents=[shared], help="digits in image files, by the registered model"
    )
    predict.add_argument("model", help="STUDY (its champion), NAME@alias or NAME/version")
    predict.add_argument("files", nargs="+", type=Path, metavar="FILE", help="PNG, JPEG or .npy")
    predict.add_argument("--json", action="store_true", help="print all scores as JSON")

    ui = commands.add_parser("ui", parents=[shared], help="start the MLflow UI on the store")
    ui.add_argument("--port", type=_natural, default=5000, help="0 for any that is free")

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


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}, accepted is a number of seconds above 0")
    return seconds


def _whole(text: str, low: int) -> int:
    number = int(text) if text.lstrip("-").isdigit() else None
    if number is None or number < low:
        raise argparse.ArgumentTypeError(f"got {text!r}, accepted is a whole number from {low}")
    return number


if __name__ == "__main__":
    sys.exit(main())
