"""Threads: the number of our own, and BLAS limited to one. No other module handles threads.

Two kinds of threads can share the work of a training. BLAS uses threads within a single matrix
product; for products as small as ours they gain nothing, and the last bits of a float32 product
depend on their number. So BLAS is limited to one thread wherever this project computes, and our own
threads share the parts of a mini-batch instead (`nets.kernels.executor`), without any effect on the
result.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

from nets.errors import InputError

Result = TypeVar("Result")

_count: ContextVar[int] = ContextVar("threads", default=1)
_pinned: ContextVar[bool] = ContextVar("pinned", default=False)


@cache
def _blas() -> ThreadpoolController:
    """Return the controller of NumPy's BLAS; finding the library takes a millisecond."""
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def pinned() -> Iterator[None]:
    """Limit BLAS to one thread inside the block; a nested block does nothing."""
    if _pinned.get():
        yield
        return
    token = _pinned.set(True)
    try:
        with _blas().limit(limits=1):
            yield
    finally:
        _pinned.reset(token)


@contextmanager
def use(threads: int) -> Iterator[None]:
    """Train with this many threads inside the block, with BLAS limited to one.

    Raises InputError unless the number is at least 1.

    >>> with use(2):
    ...     count()
    2
    >>> count()
    1
    """
    if threads < 1:
        raise InputError("threads", threads, "an integer of at least 1")
    token = _count.set(threads)
    try:
        with pinned():
            yield
    finally:
        _count.reset(token)


def count() -> int:
    """Return the number of threads to train with: set by `use`, 1 outside of it."""
    return _count.get()


class Team:
    """A fixed number of threads that work in parallel; the calling thread is the first of them.

    >>> parts = [[1, 2], [3]]
    >>> Team(2).run(lambda thread: sum(parts[thread]))
    [3, 3]
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._others = ThreadPoolExecutor(size - 1, "retrial") if size > 1 else None

    def run(self, work: Callable[[int], Result], count: int | None = None) -> list[Result]:
        """Call ``work(0)`` to ``work(count - 1)`` in parallel and return their results.

        `count` is at most the size of the team, which is its default. Each call sees the context
        variables of the caller, including NumPy's error state. If one raises, the others finish
        before its exception propagates.
        """
        count = self.size if count is None else count
        if self._others is None or count == 1:
            return [work(0)]
        others = [
            self._others.submit(copy_context().run, work, thread) for thread in range(1, count)
        ]
        try:
            first = work(0)
        finally:
            wait(others)
        return [first, *(other.result() for other in others)]
