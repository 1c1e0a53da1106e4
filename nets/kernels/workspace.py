"""Workspace: the memory that kernels share, so that it stays in the processor's cache.

Three kinds of arrays, by how long what is in them lasts:

- *kept*: from a stage's forward to its own backward. Each stage has its own (`allocate`): the
  transformed input of a convolution, masks.
- *activations*: what one stage hands to the next. Two buffers take turns; the gradient with respect
  to an array comes back in the place of that array.
- *scratch*: within one call of one stage. All stages share the buffers, by name.

A workspace belongs to one thread.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nets.arrays import Array, Shape
from nets.kernels.views import allocate


class Workspace:
    """Buffers by name, each as large as the largest request so far.

    A request that is larger than all before it makes a new buffer, and views into the old one go
    on using the old one. So whoever binds a row of stages does it again while `grown` says so:
    then all of them share.

    >>> workspace = Workspace(np.float32)
    >>> first = workspace.scratch("products", (2, 3))
    >>> workspace.scratch("products", (4,)).base is first.base
    True
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.grown = False
        self._buffers: dict[str, Array] = {}

    def scratch(self, name: str, shape: Shape) -> Array:
        """Return the beginning of a buffer in this shape; it holds whatever was there last."""
        size = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = allocate((size,), self.dtype)
            self.grown = True
        return buffer[:size].reshape(shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(buffer.nbytes for buffer in self._buffers.values())
