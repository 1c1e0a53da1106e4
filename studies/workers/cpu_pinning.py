"""Pinning the BLAS kernel: equal bits on machines that differ.

OpenBLAS chooses its routines by the processor it finds, and NumPy those for exp, log and tanh. Two
machines of one architecture agree once both use what all of them have: AVX2 on x86-64, which every
server since 2013 has. Environment variables make the choice and must be set before NumPy loads, so
a process is started with them and never switched.
"""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nets.errors import InputError, one_of
from tracking.provenance import environment
from tracking.records import UNKNOWN, Blas, Environment

BLAS = "OPENBLAS_CORETYPE"
NUMPY = "NPY_DISABLE_CPU_FEATURES"

CORES = {"x86_64": "Haswell", "AMD64": "Haswell", "aarch64": "ARMV8"}
"""OpenBLAS's name of the BLAS kernel that runs on practically all machines of an architecture."""

_BEYOND = ("AVX512", "X86_V4", "SVE")
"""Prefixes of NumPy's CPU features that not all machines of an architecture have."""


def choose() -> dict[str, str]:
    """Return the variables that pin the BLAS kernel on machines like this one.

    Raises InputError where NumPy's BLAS cannot be pinned.
    """
    machine = platform.machine()
    if machine not in CORES:
        raise InputError(
            "study.portable",
            problem=f"got a machine of architecture {machine}",
            expected=one_of(CORES),
        )
    config: Any = np.show_config(mode="dicts")
    simd = config["SIMD Extensions"]
    dispatched = [*simd.get("found", []), *simd.get("not found", [])]
    beyond = [feature for feature in dispatched if feature.startswith(_BEYOND)]
    variables = {BLAS: CORES[machine], **({NUMPY: " ".join(beyond)} if beyond else {})}
    if wrong := unpinned(variables, capture(variables)):
        raise InputError(
            "study.portable",
            problem=f"NumPy computes with {', '.join(wrong)} here despite {as_command(variables)}",
            expected="a NumPy with OpenBLAS, on a machine with that BLAS kernel",
        )
    return variables


def checked(variables: Mapping[str, str] | None) -> dict[str, str]:
    """Return the variables of a record, for the environment of a process.

    A record may come from anywhere, and other variables can run code. Raises InputError for what
    `choose` never returns.

    >>> checked({BLAS: "Haswell"}), checked(None)
    ({'OPENBLAS_CORETYPE': 'Haswell'}, {})
    """
    found = dict(variables or {})
    for name, value in found.items():
        if not re.fullmatch(_FORMS.get(name, "(?!)"), value):
            problem = f"the record sets {name[:100]!r} to {value[:100]!r} for the training"
            expected = f"{one_of(_FORMS)}, with names of CPU features"
            raise InputError("pinned", found, expected, problem=problem)
    if found and BLAS not in found:
        raise InputError("pinned", found, BLAS, problem="the record does not name a BLAS kernel")
    return found


_FEATURE = rf"({'|'.join(_BEYOND)})[A-Z0-9_]{{0,40}}"
_FORMS = {BLAS: "|".join(CORES.values()), NUMPY: f"{_FEATURE}( {_FEATURE}){{0,99}}"}
"""The variables that a record may set, and the form of their values."""


def unpinned(variables: Mapping[str, str], described: Environment) -> list[str]:
    """Return what an environment computes with although the variables exclude it.

    >>> unpinned(
    ...     {BLAS: "Haswell", NUMPY: "X86_V4"},
    ...     Environment(blas=Blas(kernel="Zen"), simd=("X86_V4",)),
    ... )
    ['Zen', 'X86_V4']
    """
    kernel = str(described.blas.kernel if isinstance(described.blas, Blas) else UNKNOWN)
    wrong = [kernel] if kernel.lower() != variables[BLAS].lower() else []
    excluded = variables.get(NUMPY, "").split()
    return wrong + [feature for feature in described.simd or () if feature in excluded]


def as_command(variables: Mapping[str, str]) -> str:
    """Return variables as they are written before a command.

    >>> as_command({BLAS: "Haswell", NUMPY: "X86_V4 AVX512_ICL"})
    "OPENBLAS_CORETYPE=Haswell NPY_DISABLE_CPU_FEATURES='X86_V4 AVX512_ICL'"
    """
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())


def capture(variables: Mapping[str, str], **what: Any) -> Environment:
    """Describe the environment of a process of this machine started with `variables`.

    Without variables that is this process. `what` goes to `environment.capture`.
    """
    here = environment.capture(**what)
    if not variables:
        return here
    answer = subprocess.run(
        [sys.executable, "-c", _DESCRIBE],
        env={**os.environ, **variables, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    there = Environment.from_json(json.loads(answer))
    return replace(here, blas=there.blas, simd=there.simd, pinned=dict(variables))


_DESCRIBE = (
    "import json; from tracking.provenance.environment import capture;"
    "print(json.dumps(capture().to_json()))"
)
