"""Helpers of the benchmarks: alternating timing, optional PyTorch, optional MNIST.

Machines differ and are rarely idle, so only ratios are meaningful: alternatives are timed in turn
within one run, and their medians are compared. Where everything runs on one thread, processor time
is measured, which excludes other processes. Importing this module before any other sets BLAS to one
thread.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

try:
    import torch
except ImportError:  # the benchmarks then measure our side only
    torch = None

NO_TORCH = "PyTorch is not installed (dependency group torch): our side only"
NO_MNIST = "skipped: needs the real MNIST; set RETRIAL_DATA to the folder that has it"
WARM_UP = 3


def in_turns(
    functions: Mapping[str, Callable[[], object]],
    repeats: int,
    inner: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """Return the median milliseconds of each function, all called in turn ``repeats`` times.

    ``inner`` calls are timed together, for functions of less than a few milliseconds. Functions
    that use several threads need ``time.perf_counter`` as their clock.
    """
    for function in functions.values():
        for _ in range(WARM_UP):
            function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            started = clock()
            for _ in range(inner):
                function()
            times[name].append(1000 * (clock() - started) / inner)
    return {name: statistics.median(values) for name, values in times.items()}


def control(size: int = 640) -> dict[str, Callable[[], object]]:
    """Return a bare float32 matrix product of 0.5 GFLOP in NumPy, and in PyTorch.

    It uses none of our code: if it is slow, the machine is.
    """
    a, b = (np.ones((size, size), np.float32) for _ in range(2))
    c = np.empty_like(a)
    functions: dict[str, Callable[[], object]] = {"NumPy": lambda: np.matmul(a, b, out=c)}
    if torch is not None:
        ta, tb, tc = (torch.from_numpy(array) for array in (a, b, c.copy()))
        functions["PyTorch"] = lambda: torch.matmul(ta, tb, out=tc)
    return functions


def machine() -> str:
    """Return what timings depend on: versions, processor and BLAS kernel."""
    kernels = {
        pool.get("architecture", "?") for pool in threadpool_info() if pool["user_api"] == "blas"
    }
    versions = f"NumPy {np.__version__}"
    if torch is not None:
        versions += f", PyTorch {torch.__version__}"
    return f"{versions}, {_processor()}, BLAS kernel {'/'.join(sorted(kernels))}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def head(question: str) -> None:
    """Print the question that a table answers, and the machine."""
    print(question.strip().split("\n")[0])
    print(f"  {machine()}")
    if torch is None:
        print(f"  {NO_TORCH}")


def mnist() -> Any | None:
    """Return the MNIST dataset; print a message and return None where it is missing."""
    from nets.data import load
    from nets.errors import InputError

    folder = os.environ.get("RETRIAL_DATA")
    if folder:
        try:
            return load("mnist", Path(folder))
        except InputError as error:
            print(f"  {error}")
    print(f"  {NO_MNIST}")
    return None
