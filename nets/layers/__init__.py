"""Layers: each a small frozen value with a hand-written backward pass. See `nets.layers.base`."""

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
from nets.layers.base import Layer, Parameter, Statistic
from nets.layers.dropout import Dropout
from nets.layers.flatten import Flatten

__all__ = [
    "ACTIVATIONS",
    "GELU",
    "Affine",
    "Dropout",
    "Flatten",
    "Identity",
    "Layer",
    "LeakyReLU",
    "Parameter",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Statistic",
    "Step",
    "Tanh",
]
