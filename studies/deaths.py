"""Deaths of processes that train: how many a training may have, and what is said of them."""

import re

MOST_DEATHS = 3
"""Deaths of its workers after which a trial is failed: a second chance, and a third."""


def cause_of_death(error: BaseException | None) -> str:
    """Return in a few words what the executor of a process knows about its end.

    >>> cause_of_death(OSError("... The exit codes of the workers are {SIGKILL(-9)}"))
    'SIGKILL(-9)'
    """
    code = re.search(r"\{(.+)\}", str(error))
    return code[1] if code else " ".join(str(error).split())[:300]


def death(deaths: int, reason: str) -> dict[str, str]:
    """Return the error of a training that has killed its worker too often."""
    return {
        "type": "WorkerDied",
        "message": f"its worker died {deaths} times; the last time: {reason}",
        "place": "worker",
        "traceback": "",
    }
