"""The plan: the kernels that compute a network. Only this module chooses them.

A plan is a flat list. Each entry computes one layer, or several:

=============================================  ==================================================
layers                                         kernel
=============================================  ==================================================
Convolution, stride 1, of the input images     `FirstConvolutionKernel`, if they have one channel
Convolution, stride 1, kernel at most 8 high   `ConvolutionKernel`: Winograd along the height
MaxPooling 2 x 2                               `PoolingKernel`
ReLU, MaxPooling 2 x 2, in either order        `PoolingKernel`, which rectifies its output
Affine                                         `AffineKernel`
BatchNormalization                             `BatchNormalizationKernel`
one of these, then ReLU                        the same kernel, which rectifies its output
Dropout                                        `DropoutKernel`
Flatten                                        none: the next kernel reads the array in its shape
anything else                                  `PlainKernel`, which calls the layer
=============================================  ==================================================
"""

from collections.abc import Sequence

from nets.kernels.affine import AffineKernel
from nets.kernels.base import Kernel
from nets.kernels.batch_normalization import BatchNormalizationKernel
from nets.kernels.convolution import ConvolutionKernel
from nets.kernels.dropout import DropoutKernel
from nets.kernels.executor import Executor
from nets.kernels.first_layer import FirstConvolutionKernel
from nets.kernels.plain import PlainKernel
from nets.kernels.pooling import PoolingKernel
from nets.kernels.rectifier import RectifierKernel
from nets.kernels.winograd import tile_height
from nets.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Layer,
    MaxPooling,
    ReLU,
)
from nets.network import Network

NUMBERS = 1_200_000
"""Largest count of numbers that one kernel works on in one part: 4.8 MB of float32.

With fewer rows, the overhead of calling NumPy shows; with more, a part no longer fits a core's own
caches. From half to twice this value, a step takes the same time on the machines that were tested.
"""

WAITING_FACTOR = 2
"""Factor of the rows of a part in a network with batch normalization.

Its parts leave the caches anyway while they wait for each other.
"""


def executor(network: Network, *, threads: int = 1) -> Executor | Network:
    """Return the fast form of a network: the same methods over the same flat vectors.

    A network with a layer that mixes rows and has no kernel is returned unchanged.

    Parameters
    ----------
    threads
        Number of threads that share the parts of a mini-batch. It never changes a result.

    >>> import numpy as np
    >>> from nets.losses import CrossEntropy
    >>> network = Network([Affine(3), ReLU(), Affine(2)], (4,))
    >>> fast = executor(network)
    >>> x, labels = np.ones((5, 4), np.float32), np.zeros(5, np.int64)
    >>> round(fast.loss_and_gradients(x, labels, CrossEntropy()), 4)
    0.6931
    >>> network.gradients[-2:]
    array([-0.5,  0.5], dtype=float32)
    """
    chosen = kernels(network)
    for kernel in chosen:
        if isinstance(kernel, PlainKernel) and kernel.layer.mixes_rows:
            return network
    return Executor(network, chosen, rows_of_a_part(chosen), threads)


def rows_of_a_part(chosen: Sequence[Kernel]) -> int:
    """Return the number of rows of a part: a power of two.

    It depends only on the architecture, never on the machine: the order in which gradients are
    summed depends on it, and so do their last bits.

    >>> small = Network([Affine(100), Affine(10)], (784,))
    >>> large = Network([Convolution(16, (3, 3), padding=(1, 1))] * 2, (28, 28, 1))
    >>> rows_of_a_part(kernels(small)), rows_of_a_part(kernels(large))
    (1024, 16)
    """
    waits = any(kernel.mixes_rows for kernel in chosen)
    rows = NUMBERS // max((kernel.footprint for kernel in chosen), default=1)
    power: int = 1 << max(0, rows.bit_length() - 1)
    return power * (WAITING_FACTOR if waits else 1)


def kernels(network: Network) -> list[Kernel]:
    """Return the kernels for a network's layers, in their order."""
    chosen: list[Kernel] = []
    index = 0
    while index < len(network.layers):
        kernel, layers = choose(network, index)
        if kernel is not None:
            chosen.append(kernel)
        index += layers
    return chosen


def choose(network: Network, index: int) -> tuple[Kernel | None, int]:
    """Return the kernel that begins with a layer, and the number of layers that it computes."""
    layer, *following = network.layers[index : index + 3]
    next_is_relu = bool(following) and isinstance(following[0], ReLU)
    # A pooling computes the rectifier before it.
    relu = next_is_relu and not (len(following) == 2 and is_fast_pooling(following[1]))
    layers = 1 + relu
    match layer:
        case Flatten() | Dropout(rate=0):
            return None, 1
        case Convolution() if is_fast_convolution(layer):
            first = network.shapes[index][2] == 1 and not any(network.parameter_views[:index])
            kind = FirstConvolutionKernel if first else ConvolutionKernel
            return kind(network, index, layer, relu=relu), layers
        case MaxPooling() if is_fast_pooling(layer):
            return PoolingKernel(network, index, relu=relu), layers
        case ReLU() if following and is_fast_pooling(following[0]):
            return PoolingKernel(network, index + 1, relu=True), 2
        case Affine():
            return AffineKernel(network, index, relu=relu), layers
        case BatchNormalization():
            return BatchNormalizationKernel(network, index, layer, relu=relu), layers
        case ReLU():
            return RectifierKernel(network, index), 1
        case Dropout():
            return DropoutKernel(network, index, layer.rate), 1
        case _:
            return PlainKernel(network, index, layer), 1


def is_fast_pooling(layer: Layer) -> bool:
    """Whether it is a max pooling with 2 x 2 windows that do not overlap."""
    return isinstance(layer, MaxPooling) and layer.window == layer.stride == (2, 2)


def is_fast_convolution(layer: Convolution) -> bool:
    """Whether Winograd's algorithm applies: stride 1, few rows of taps, less padding than taps."""
    return (
        layer.stride == (1, 1)
        and tile_height(layer.kernel[0], outputs=1) > 0
        and all(pad < taps for pad, taps in zip(layer.padding, layer.kernel, strict=True))
    )
