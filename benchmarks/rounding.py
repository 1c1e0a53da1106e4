"""Question: how exact is a convolution in float32, compared with PyTorch's?

Each row is one convolution and one kind of images: the largest difference from PyTorch in float64,
relative to the largest number, of the output y and of the gradients dW and dx. Each is the worst of
several seeds, ours, then PyTorch's in float32, then their ratio. "Ordinary" images are random ones,
before and after a ReLU; the others are chosen to be difficult.

    python -m benchmarks.rounding
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.measure import head, torch
from nets.arrays import Array
from nets.kernels.correlation import (
    Correlation,
    CorrelationGradients,
    Weights,
    planes_shape,
    sums_size,
)
from nets.kernels.winograd import Geometry
from nets.kernels.workspace import Workspace

SEEDS = range(5)
CONVOLUTIONS = {
    "3x3, 28 rows, 16 channels": Geometry(16, 28, 28, 16, 16, 3, 3, 1, 1),
    "3x3, 14 rows, 16 channels": Geometry(16, 14, 14, 16, 32, 3, 3, 1, 1),
    "3x3, 8 rows, 64 channels": Geometry(16, 8, 8, 64, 64, 3, 3, 1, 1),
    "5x5, 14 rows, 16 channels": Geometry(16, 14, 14, 16, 32, 5, 5, 2, 2),
}
IMAGES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "ordinary": lambda generator, shape: generator.standard_normal(shape),
    "ordinary, ReLU": lambda generator, shape: np.maximum(generator.standard_normal(shape), 0),
    "constant": lambda generator, shape: np.full(shape, generator.random()),
    "tiny, 1e-20": lambda generator, shape: 1e-20 * generator.random(shape),
    "huge, 1e+20": lambda generator, shape: 1e20 * generator.random(shape),
    "bright stripes": lambda generator, shape: (
        generator.random(shape) * np.where(np.arange(shape[1]) % 4 == 0, 1, 0.01)[:, None, None]
    ),
}

Values = tuple[Array, Array, Array, Array]
"""x, w, b and dy."""


def main() -> None:
    head(__doc__)
    if torch is None:
        return
    torch.set_num_threads(1)
    print(f"  {'':44}{'y':22}{'dW':22}{'dx':22}")
    for name, sizes in CONVOLUTIONS.items():
        for kind in IMAGES:
            cells = "".join(
                f"{ours:.0e} / {theirs:.0e} {ours / theirs:4.1f}  "
                for ours, theirs in zip(*errors(sizes, kind), strict=True)
            )
            print(f"  {name:27}{kind:17}{cells}", flush=True)


def errors(sizes: Geometry, kind: str) -> tuple[Array, Array]:
    """Return the errors of y, dW and dx: ours and PyTorch's, each the largest of all seeds."""
    found = []
    for seed in SEEDS:
        values = drawn(sizes, kind, np.random.default_rng(seed))
        exact = theirs(sizes, *(value.astype(np.float64) for value in values))
        found.append(
            [
                [
                    float(np.abs(a - b).max() / np.abs(b).max())
                    for a, b in zip(r, exact, strict=True)
                ]
                for r in (ours(sizes, *values), theirs(sizes, *values))
            ]
        )
    largest: Array = np.max(found, axis=0)
    return largest[0], largest[1]


def drawn(s: Geometry, kind: str, generator: np.random.Generator) -> Values:
    """Return images of a kind, weights as He initialization draws them, and a gradient."""
    x = IMAGES[kind](generator, (s.rows, s.height, s.width, s.channels))
    taps = s.kernel_height * s.kernel_width * s.channels
    w = generator.standard_normal((s.kernel_height, s.kernel_width, s.channels, s.filters))
    b = 0.01 * generator.standard_normal(s.filters) * np.abs(x).max()
    dy = generator.standard_normal((s.rows, s.out_height, s.out_width, s.filters))
    single = [array.astype(np.float32) for array in (x, w * np.sqrt(2 / taps), b, dy)]
    return single[0], single[1], single[2], single[3]


def ours(s: Geometry, x: Array, w: Array, b: Array, dy: Array) -> list[Array]:
    """Return y, dW and dx by the kernels."""
    workspace, weights = Workspace(x.dtype), Weights(s, x.dtype, bias=True)
    weights.set(w, b)
    planes = np.zeros(planes_shape(s), x.dtype)
    y, dw, dx = np.zeros_like(dy), np.zeros_like(w), np.zeros_like(x)
    Correlation(s, x, y, planes, workspace, exact_zeros=True)(weights)
    sums = np.zeros((1, sums_size(s)), x.dtype)
    CorrelationGradients(s, planes, dy.copy(), dx, workspace, sums)(weights, 0, first=True)
    weights.gradient(sums[0, : weights.forward.size], dw)
    return [y, dw, dx]


def theirs(s: Geometry, x: Array, w: Array, b: Array, dy: Array) -> list[Array]:
    """Return y, dW and dx by PyTorch, in our layout."""
    tx, tw, tdy = (
        torch.from_numpy(np.ascontiguousarray(array.transpose(axes)))
        for array, axes in ((x, (0, 3, 1, 2)), (w, (3, 2, 0, 1)), (dy, (0, 3, 1, 2)))
    )
    tx.requires_grad_(), tw.requires_grad_()
    padding = (s.padding_height, s.padding_width)
    y = torch.nn.functional.conv2d(tx, tw, torch.from_numpy(b), padding=padding)
    y.backward(tdy)
    results = ((y.detach(), (0, 2, 3, 1)), (tw.grad, (2, 3, 1, 0)), (tx.grad, (0, 2, 3, 1)))
    return [array.numpy().transpose(axes) for array, axes in results]


if __name__ == "__main__":
    main()
