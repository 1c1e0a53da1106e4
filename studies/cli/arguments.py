"""What the commands' arguments share: the parser, types that check a value, --store and --data."""

import argparse
import math
import re
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from studies.display.suggestions import default_data


class Parser(argparse.ArgumentParser):
    """A parser that accepts no abbreviations, and reports an error in two lines."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Print what was wrong, and exit with code 2."""
        self.exit(2, f"retrial: {message.removeprefix('argument ')}\nsee: {self.prog} --help\n")


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add the options that all commands have."""
    parser.add_argument(
        "--store",
        type=folder,
        metavar="DIR",
        help="folder that holds the studies and their record (default: the environment variable "
        "RETRIAL_STORE, or mlruns)",
    )
    parser.add_argument(
        "--data",
        type=folder,
        default=default_data(),
        metavar="DIR",
        help="folder of the datasets (default: the environment variable RETRIAL_DATA, or a cache "
        "folder of the user)",
    )


def add_threads(parser: argparse.ArgumentParser, default: str = "one per usable core") -> None:
    """Add the number of threads inside a training; without the option it is None."""
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="threads inside a training of retrial's networks, which change no result "
        f"(default: {default})",
    )


def add_flag(parser: argparse._ActionsContainer, name: str, description: str) -> None:
    """Add an option without a value, which is False unless it is given."""
    parser.add_argument(name, action="store_true", help=description)


def stored_name(options: argparse.Namespace, text: str) -> str:
    """Return the name in the store of a study that is given by its name or by its file.

    A study of a Python file may have a store of its own, which is then that of the command.
    """
    script, colon, _ = text.partition(".py:")
    path = Path(f"{script}.py" if colon else text)
    if path.suffix not in (".py", ".toml") or not path.is_file():
        return text
    from studies.definition import study_file
    from studies.interface import scripts

    if path.suffix == ".toml":
        return str(study_file.read_tables(path)["study"]["name"])
    defined = scripts.read(text)
    if not options.has_store:
        options.store = defined.store
    return defined.name


def folder(text: str) -> Path:
    """Return the path of a folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"got {text!r}, expected the path of a folder")
    return Path(text)


def command(text: str) -> str:
    """Return a command of the shell."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a command")
    return text


def seconds(text: str) -> float:
    """Return a number of seconds above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number of seconds above 0")
    return number


def _integer(text: str, low: int, high: int | None = None) -> int:
    number = int(text) if re.fullmatch("-?[0-9]{1,18}", text) else None
    if number is None or number < low or (high is not None and number > high):
        limits = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise argparse.ArgumentTypeError(f"got {text!r}, expected an integer {limits}")
    return number


positive = partial(_integer, low=1)
"""An integer of at least 1."""

natural = partial(_integer, low=0)
"""An integer of at least 0."""

port = partial(_integer, low=0, high=65535)
"""The number of a TCP port; 0 stands for any free one."""
