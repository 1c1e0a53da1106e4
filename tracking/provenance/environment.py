"""Read what a trial runs in: machine, versions, BLAS, code.

A fact that cannot be read is "unknown": recording never fails for want of one. Nothing here imports
a heavy package; versions come from the metadata of the installed packages.
"""

import contextlib
import getpass
import importlib.metadata
import os
import platform
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from tracking.provenance import source_code
from tracking.provenance.system import processor
from tracking.records import UNKNOWN, Blas, Environment, Git
from tracking.store import names
from tracking.store.store import without_password, without_secrets

PACKAGES = (
    "numpy", "scipy", "scikit-learn", "threadpoolctl", "optuna", "joblib", "mlflow", "matplotlib",
    "pydantic", "pooch", "pillow", "cmaes", "torch", "dask", "distributed", "retrial",
)  # fmt: skip
"""Distributions whose versions are recorded; those not installed are left out."""

DIFF_LIMIT = 64 * 1024
"""Bytes of an uncommitted diff that are kept."""

SECRET_FILES = (
    ".env*", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa*", "id_dsa*", "id_ecdsa*",
    "id_ed25519*", "*credential*", "*credential*/**", "*secret*", "*secret*/**", "*password*",
    ".netrc", ".pgpass", ".pypirc", ".npmrc",
)  # fmt: skip
"""Names of files that often hold secrets; the uncommitted diff leaves them out."""


def capture(
    *,
    data: Mapping[str, str] | None = None,
    modules: Iterable[str] = (),
    objective: str = "nets",
) -> Environment:
    """Describe this process, its machine and its code.

    `data` maps each dataset to its SHA-256. `modules` are the user's own modules (objective,
    settings), whose source decides a result as that of nets does. `objective` is the module whose
    git checkout is recorded.

    Threads and kernel of the BLAS are those in force now: call it in the process that trains, after
    its threads have been limited.
    """
    return Environment(
        captured=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        command=_read(_command),
        user=_read(getpass.getuser),
        host=_read(socket.gethostname),
        os=_read(platform.platform),
        machine=_read(platform.machine),
        cpu=_read(processor) or UNKNOWN,
        cores=_read(lambda: os.cpu_count() or UNKNOWN),
        python=platform.python_version(),
        versions={name: version for name in PACKAGES if (version := _version(name)) is not None},
        blas=_read(_blas),
        simd=_read(_simd),
        code={name: _read(partial(source_code.digest, name)) for name in ("nets", *modules)},
        git=_git(objective),
        data=None if data is None else dict(data),
    )


def _read(fact: Callable[[], Any]) -> Any:
    """Return a fact, or "unknown" if it cannot be read."""
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


def _blas() -> Blas:
    """Return the BLAS that NumPy computes with; Apple's is a part of macOS and has its version."""
    config: Any = np.show_config(mode="dicts")
    if config["Build Dependencies"]["blas"]["name"] == "accelerate":
        return Blas("accelerate", platform.mac_ver()[0] or UNKNOWN, UNKNOWN, UNKNOWN)
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    # SciPy brings its own copy, which takes no part in a training.
    own = [pool for pool in pools if "numpy" in str(pool.get("filepath", ""))] or pools
    pool = own[0] if own else {}
    return Blas(
        library=pool.get("internal_api", UNKNOWN),
        version=pool.get("version") or UNKNOWN,
        kernel=pool.get("architecture", UNKNOWN),
        threads=pool.get("num_threads", UNKNOWN),
    )


def _simd() -> tuple[str, ...]:
    """Return the instruction sets that NumPy's own routines use on this CPU."""
    config: Any = np.show_config(mode="dicts")
    found = config["SIMD Extensions"]
    return tuple(sorted([*found.get("baseline", []), *found.get("found", [])]))


def _git(module: str) -> Git:
    """Return the commit of the checkout that a module is part of, and what is not committed.

    It is unknown without git, without a repository, and without a commit.
    """
    of = module.partition(".")[0]
    with contextlib.suppress(Exception):
        if (file := source_code.file_of(module)) is not None:
            tracked = _run_git(file.parent, "ls-files", "-z").split("\0")[:-1]
            if tracked:  # else it is only installed inside a repository
                return _checkout(file.parent, of, is_tracked=file.name in tracked)
    return Git(UNKNOWN, of=of)


def _checkout(folder: Path, of: str, *, is_tracked: bool) -> Git:
    status = _run_git(folder, "status", "--porcelain", "--untracked-files=no")
    dirty = bool(status.strip()) or not is_tracked
    git = Git(_run_git(folder, "rev-parse", "HEAD").strip(), dirty=dirty, of=of)
    if not git.dirty:
        return git
    paths = (f":(top,exclude,icase,glob)**/{pattern}" for pattern in SECRET_FILES)
    command = ("diff", "--no-ext-diff", "--no-color", "HEAD", "--", ":/", *paths)
    diff = without_secrets(_run_git(folder, *command)).encode()
    kept = diff[:DIFF_LIMIT].decode(errors="replace") or None
    left_out = len(diff) - DIFF_LIMIT
    return replace(git, diff=kept, diff_left_out_bytes=left_out if left_out > 0 else None)


_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
"""Variables that, in a hook for example, make git read another repository than the folder's."""


def _run_git(folder: Path, *arguments: str) -> str:
    """Return what git prints; reading takes no locks."""
    variables = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True, check=True, timeout=10, text=True, errors="replace",
        env={**variables, "GIT_OPTIONAL_LOCKS": "0"},
    ).stdout  # fmt: skip
