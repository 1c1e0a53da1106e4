"""Neural networks from scratch in NumPy.

===============================================  ==================================================
`objective`, `settings`, `outcome`               one trial: its settings, its training, its result
`trainer`, `evaluation`, `state`, `randomness`   how a trial is trained, scored, saved and seeded
`architectures`, `network`, `layers`             networks, from settings down to single layers
`functions`, `losses`, `initializers`            their mathematics
`optimizers`, `schedules`                        how gradients become steps
`perceptron`, `differentiation`                  the first chapters of the textbook
`gradient_checker`                               backward passes verified by difference quotients
`augmentation`, `resampling`                     distorted images, new in every epoch
`data`                                           images with labels, loaded, verified and shared
`kernels`, `threads`                             the fast form of a network, and its threads
`model_source`, `weights`                        trained networks as files; weights from elsewhere
`calibration`, `framing`                         what is measured about models and images
`arrays`, `array_files`, `errors`, `files`       support for the modules above
===============================================  ==================================================

The names below are those that users need; each is documented in its module. Importing this package
loads NumPy, threadpoolctl and the standard library, nothing else.
"""

from nets import data
from nets.architectures import build
from nets.augmentation import Augmenter
from nets.differentiation import derivative, descend, gradient
from nets.errors import InputError
from nets.evaluation import Score, evaluate
from nets.functions import log_softmax, softmax
from nets.gradient_checker import (
    GradientError,
    check_gradients,
    check_layer,
    check_loss,
    check_network,
)
from nets.initializers import (
    constant_std,
    he_normal,
    he_uniform,
    xavier_normal,
    xavier_uniform,
)
from nets.layers import (
    GELU,
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Identity,
    Layer,
    LeakyReLU,
    MaxPooling,
    Parameter,
    ReLU,
    Sigmoid,
    Softmax,
    Standardization,
    Statistic,
    Step,
    Tanh,
    add,
    col2im,
    im2col,
    multiply,
)
from nets.losses import CrossEntropy, MeanSquaredError, one_hot
from nets.model_source import probabilities, restore
from nets.network import Network
from nets.objective import objective
from nets.optimizers import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    RMSProp,
    clip_by_norm,
)
from nets.outcome import Epoch, Model, Outcome
from nets.perceptron import Perceptron
from nets.settings import Settings, from_json, to_json
from nets.weights import load_foreign

__all__ = [
    "GELU",
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Affine",
    "Augmenter",
    "AveragePooling",
    "BatchNormalization",
    "Convolution",
    "CrossEntropy",
    "Dropout",
    "Epoch",
    "Flatten",
    "GradientError",
    "Identity",
    "InputError",
    "Layer",
    "LeakyReLU",
    "MaxPooling",
    "MeanSquaredError",
    "Model",
    "Momentum",
    "Nesterov",
    "Network",
    "Outcome",
    "Parameter",
    "Perceptron",
    "RMSProp",
    "ReLU",
    "Score",
    "Settings",
    "Sigmoid",
    "Softmax",
    "Standardization",
    "Statistic",
    "Step",
    "Tanh",
    "add",
    "build",
    "check_gradients",
    "check_layer",
    "check_loss",
    "check_network",
    "clip_by_norm",
    "col2im",
    "constant_std",
    "data",
    "derivative",
    "descend",
    "evaluate",
    "from_json",
    "gradient",
    "he_normal",
    "he_uniform",
    "im2col",
    "load_foreign",
    "log_softmax",
    "multiply",
    "objective",
    "one_hot",
    "probabilities",
    "restore",
    "softmax",
    "to_json",
    "xavier_normal",
    "xavier_uniform",
]
