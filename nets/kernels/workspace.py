"""Workspace: the memory that kernels share, so that it stays in the processor's cache.

Three kinds of arrays, by the lifetime of their content:

- *kept*: from a stage's forward to its backward. Each stage has its own: the transformed input of a
  convolution, masks.
- *activations*: from one stage to the next. Two buffers alternate; the gradient with respect to an
  array overwrites that array.
- *scratch*: within one call of one stage. All stages share the buffers, by name.

A workspace belongs to one thread. All memory that a sequence of stages requests is one block: from
four megabytes on NumPy requests huge pages from the operating system, which saves address lookups
(between nothing and 5 % of a step). So a sequence of stages is bound twice: once while `measuring`,
to sum the requests, and then with the real memory.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nets.arrays import Array, Shape
from nets.kernels.views import allocate, in_cache_lines


class Workspace:
    """Buffers by name, each as large as the largest request, and kept arrays.

    >>> workspace = Workspace(np.float32)
    >>> with workspace.measuring():
    ...     small, large = workspace.scratch("lines", (4,)), workspace.scratch("lines", (2, 3))
    >>> np.shares_memory(workspace.scratch("lines", (4,)), workspace.scratch("lines", (2, 3)))
    True
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self._measuring = False
        self._wanted: dict[str, int] = {}
        self._kept = 0
        self._buffers: dict[str, Array] = {}
        self._block = allocate((0,), np.uint8)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Return temporary arrays inside the block, and allocate their total size at its end.

        Buffers that are large enough are reused. Views into those that are not remain valid: they
        are replaced by new ones.
        """
        self._measuring, self._kept, self._wanted = True, 0, {}
        try:
            yield
        finally:
            self._measuring = False
        larger = {
            name: size
            for name, size in self._wanted.items()
            if name not in self._buffers or self._buffers[name].size < size
        }
        scratch = sum(self._bytes((size,), self.dtype) for size in larger.values())
        self._block = allocate((self._kept + scratch,), np.uint8)
        for name, size in larger.items():
            self._buffers[name] = self._take((size,), self.dtype)

    def keep(self, shape: Shape, dtype: Any = None) -> Array:
        """Return zeros that are not shared."""
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        if not self._measuring:
            return self._take(shape, dtype)
        self._kept += self._bytes(shape, dtype)
        return np.zeros(shape, dtype)

    def scratch(self, name: str, shape: Shape) -> Array:
        """Return the beginning of a buffer in this shape, with the content of its last use."""
        size = math.prod(shape)
        if self._measuring:
            self._wanted[name] = max(size, self._wanted.get(name, 0))
            return np.zeros(shape, self.dtype)
        if name not in self._buffers or self._buffers[name].size < size:
            self._buffers[name] = self._take((size,), self.dtype)
        return self._buffers[name][:size].reshape(shape)

    def _take(self, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Take an array from the block, or allocate one if the rest of the block is too small."""
        size = self._bytes(shape, dtype)
        if size > len(self._block):
            return allocate(shape, dtype)
        taken, self._block = self._block[:size], self._block[size:]
        array: Array = taken[: math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
        return array

    @staticmethod
    def _bytes(shape: Shape, dtype: np.dtype[Any]) -> int:
        return in_cache_lines(math.prod(shape) * dtype.itemsize)
