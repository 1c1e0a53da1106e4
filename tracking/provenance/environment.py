"""What a trial ran in: the machine, the versions and the code.

Whatever cannot be read is "unknown": recording never fails for want of a fact. Nothing here
imports a heavy package; versions come from the installed packages' metadata.
"""

import contextlib
import getpass
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from tracking.provenance import source_code
from tracking.provenance.source_code import UNKNOWN
from tracking.store import names
from tracking.store.plain_values import flat
from tracking.store.store import without_password

Environment = dict[str, Any]
"""A JSON-able description; the keys are those of `capture`."""

PACKAGES = (
    "numpy", "scipy", "scikit-learn", "threadpoolctl", "optuna", "joblib", "mlflow", "matplotlib",
    "pydantic", "pooch", "pillow", "cmaes", "torch", "dask", "distributed", "retrial",
)  # fmt: skip
"""Distributions whose versions are recorded; those not installed are left out."""

DIFF_LIMIT = 64 * 1024
"""Bytes of an uncommitted diff that are kept."""


_DECISIVE = ("python", "versions", "blas", "simd", "code")
"""What of an environment can change a result, beside the data."""


def capture(*, data: Mapping[str, Any] | None = None, modules: Iterable[str] = ()) -> Environment:
    """Describe this process, its machine and its code.

    `data` tells what the trials learn from (name and sha256 of each dataset) and is recorded as it
    stands. `modules` are a user's own modules (objective, settings), whose source decides a
    result as that of nets does.

    Threads and kernel of the BLAS are those in force at the moment: call it where the training
    runs, after its threads have been limited.
    """
    environment: Environment = {
        "captured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": _read(_command),
        "user": _read(getpass.getuser),
        "host": _read(socket.gethostname),
        "os": _read(platform.platform),
        "machine": _read(platform.machine),
        "cpu": _read(_cpu),
        "cores": _read(lambda: os.cpu_count() or UNKNOWN),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "blas": _read(_blas),
        "simd": _read(_simd),
        "code": {name: _read(partial(source_code.digest, name)) for name in ("nets", *modules)},
        "git": _read(_git),
    }
    if data is not None:
        environment["data"] = dict(data)
    return environment


def of_trial(environment: Environment) -> Environment:
    """Return what of a driver's environment is kept with each trial: what decided its result.

    A trial may be delivered by a later driver, with other code. The uncommitted diff is large, and
    the study's run keeps it.
    """
    kept = {name: environment[name] for name in _DECISIVE if name in environment}
    if isinstance(git := environment.get("git"), Mapping):
        kept["git"] = {key: git[key] for key in git if not key.startswith("diff")}
    return kept


def fingerprint(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of an environment that decide every bit of a training.

    Two machines with equal fingerprints give equal results for equal settings and data, with the
    BLAS at one thread.
    """

    def fact(*path: str) -> Any:
        value = _at(environment, path)
        return UNKNOWN if value is None else value

    return {
        "python": fact("python"),
        "numpy": fact("versions", "numpy"),
        "blas": {key: fact("blas", key) for key in ("library", "version", "kernel")},
        # NumPy has its own kernels for exp, log and tanh, chosen by what the CPU can do.
        "simd": fact("simd"),
        "code": fact("code"),
    }


def differences(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say in plain words what of two environments differs that can change a result.

    In the order in which causes are likely: data, code, versions, threads, kernel.
    """
    found = []
    for what in ("data", "code"):
        one, other = flat(recorded.get(what, {})), flat(now.get(what, {}))
        changed = sorted(name for name in {**one, **other} if one.get(name) != other.get(name))
        found += [
            f"{what}: {name or 'all of it'} was {_short(one.get(name))},"
            f" is {_short(other.get(name))}"
            for name in changed
        ]
    for what, name, path in (
        ("versions", "Python", ("python",)),
        ("versions", "NumPy", ("versions", "numpy")),
        ("versions", "BLAS library", ("blas", "library")),
        ("versions", "BLAS", ("blas", "version")),
        ("threads", "BLAS threads", ("blas", "threads")),
        ("kernel", "BLAS kernel", ("blas", "kernel")),
    ):
        before, after = _at(recorded, path), _at(now, path)
        if before != after:
            found.append(f"{what}: {name} was {_short(before)}, is {_short(after)}")
    return found + _simd_differences(recorded.get("simd"), now.get("simd"))


def _read(fact: Callable[[], Any]) -> Any:
    """Return a fact, or "unknown" where the machine does not tell."""
    try:
        return fact()
    except Exception:
        return UNKNOWN


def _command() -> str:
    program = Path(sys.argv[0]).name or UNKNOWN
    return without_password(shlex.join([program, *sys.argv[1:]]))


def _version(name: str) -> str | None:
    try:
        return names.own_version() if name == "retrial" else importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or UNKNOWN


def _blas() -> dict[str, Any]:
    """Return the BLAS that NumPy computes with: library, version, kernel and threads."""
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    # SciPy brings a copy of its own, which has no part in a training.
    own = [pool for pool in pools if "numpy" in str(pool.get("filepath", ""))] or pools
    if not own:
        return {key: UNKNOWN for key in ("library", "version", "kernel", "threads")}
    pool = own[0]
    return {
        "library": pool.get("internal_api", UNKNOWN),
        "version": pool.get("version") or UNKNOWN,
        "kernel": pool.get("architecture", UNKNOWN),
        "threads": pool.get("num_threads", UNKNOWN),
    }


def _simd() -> list[str]:
    """Return the instruction sets NumPy's own kernels use on this CPU."""
    config: Any = np.show_config(mode="dicts")
    found = config["SIMD Extensions"]
    return sorted([*found.get("baseline", []), *found.get("found", [])])


def _git() -> dict[str, Any]:
    """Return commit, cleanliness and uncommitted diff of the checkout this code is part of."""
    origin = importlib.util.find_spec("nets")
    if origin is None or not origin.submodule_search_locations:
        return {"commit": UNKNOWN}
    folder = Path(origin.submodule_search_locations[0])
    # Installed inside somebody else's repository is no checkout of ours.
    if _run_git(folder, "ls-files", "__init__.py") == "":
        return {"commit": UNKNOWN}
    status = _run_git(folder, "status", "--porcelain", "--untracked-files=no")
    facts: dict[str, Any] = {
        "commit": _run_git(folder, "rev-parse", "HEAD").strip(),
        "dirty": bool(status.strip()),
    }
    if facts["dirty"]:
        diff = _run_git(folder, "diff", "HEAD").encode()
        facts["diff"] = diff[:DIFF_LIMIT].decode(errors="replace")
        if len(diff) > DIFF_LIMIT:
            facts["diff_left_out_bytes"] = len(diff) - DIFF_LIMIT
    return facts


def _run_git(folder: Path, *arguments: str) -> str:
    """Return what git prints; reading takes no locks."""
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True, check=True, timeout=10, text=True, errors="replace",
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
    ).stdout  # fmt: skip


def _simd_differences(recorded: Any, now: Any) -> list[str]:
    if recorded == now:
        return []
    if not (isinstance(recorded, list) and isinstance(now, list)):
        return [f"kernel: NumPy's SIMD was {_short(recorded)}, is {_short(now)}"]
    gone, new = sorted(set(recorded) - set(now)), sorted(set(now) - set(recorded))
    parts = [f"lost {', '.join(gone)}"] * bool(gone) + [f"gained {', '.join(new)}"] * bool(new)
    return [f"kernel: NumPy's SIMD {' and '.join(parts)}"]


def _at(environment: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return what an environment has under a path of keys, None where it has nothing."""
    value: Any = environment
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _short(value: Any) -> str:
    """Return a value as a sentence shows it: digests by their first twelve digits.

    >>> _short("f" * 64), _short(None), _short("2.4.1")
    ('ffffffffffff', 'not recorded', '2.4.1')
    """
    if value is None:
        return "not recorded"
    text = str(value)
    is_digest = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return text[:12] if is_digest else text
