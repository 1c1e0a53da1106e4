"""Layers: small frozen values with hand-written backward passes. See `nets.layers.base`."""

from nets.layers.activations import (
    ACTIVATIONS,
    GELU,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Softmax,
    Step,
    Tanh,
)
from nets.layers.affine import Affine
from nets.layers.arithmetic import add, multiply
from nets.layers.base import Layer, Parameter, Statistic
from nets.layers.batch_normalization import BatchNormalization
from nets.layers.convolution import Convolution, col2im, im2col
from nets.layers.dropout import Dropout
from nets.layers.flatten import Flatten
from nets.layers.pooling import AveragePooling, MaxPooling
from nets.layers.standardization import Standardization

__all__ = [
    "ACTIVATIONS",
    "GELU",
    "Affine",
    "AveragePooling",
    "BatchNormalization",
    "Convolution",
    "Dropout",
    "Flatten",
    "Identity",
    "Layer",
    "LeakyReLU",
    "MaxPooling",
    "Parameter",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Standardization",
    "Statistic",
    "Step",
    "Tanh",
    "add",
    "col2im",
    "im2col",
    "multiply",
]
