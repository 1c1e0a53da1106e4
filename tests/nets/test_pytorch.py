"""Against PyTorch: layers and optimizers in float32, whole networks and trainings in float64.

A float32 comparison of a whole network would prove nothing: if one ReLU or one pooling window
selects another number, results differ in the third digit, even between PyTorch's own layouts.
"""

import math

import numpy as np
import pytest

from nets.architectures import build
from nets.kernels.plan import executor
from nets.layers import (
    GELU,
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    Flatten,
    LeakyReLU,
    MaxPooling,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from nets.losses import CrossEntropy, MeanSquaredError
from nets.optimizers import clip_by_norm, make
from nets.schedules import learning_rate
from nets.settings import Settings
from nets.weights import load_foreign

torch = pytest.importorskip("torch", reason="needs PyTorch (dependency group torch)")

torch.set_num_threads(1)
nn = torch.nn

CLOSE = 1e-5
"""Of float32, relative to the largest number in the array."""


def assert_close(received, expected, tolerance=CLOSE):
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else expected
    assert received.dtype == expected.dtype
    np.testing.assert_allclose(
        received, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max())
    )


def channels_first(x):
    return np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim == 4 else x


def channels_last(tensor):
    x = tensor.detach().numpy()
    return np.moveaxis(x, 1, -1) if x.ndim == 4 else x


LAYERS = [
    (Affine(20), nn.Linear(30, 20), (30,)),
    (Affine(20, bias=False), nn.Linear(30, 20, bias=False), (30,)),
    (Convolution(8, (3, 3), padding=(1, 1)), nn.Conv2d(4, 8, 3, padding=1), (9, 7, 4)),
    (Convolution(8, (5, 5), padding=(2, 2)), nn.Conv2d(1, 8, 5, padding=2), (12, 12, 1)),
    (
        Convolution(6, (2, 3), stride=(2, 1), padding=(0, 2), bias=False),
        nn.Conv2d(3, 6, (2, 3), stride=(2, 1), padding=(0, 2), bias=False),
        (7, 8, 3),
    ),
    (MaxPooling(), nn.MaxPool2d(2), (8, 9, 3)),
    (MaxPooling((3, 2), (2, 1)), nn.MaxPool2d((3, 2), (2, 1)), (8, 9, 3)),
    (AveragePooling((3, 3), (2, 2)), nn.AvgPool2d(3, 2), (8, 9, 3)),
    (BatchNormalization(), nn.BatchNorm1d(10), (10,)),
    (BatchNormalization(momentum=0.3, epsilon=1e-3), nn.BatchNorm2d(5, 1e-3, 0.3), (6, 7, 5)),
    (Flatten(), nn.Flatten(), (12,)),
    (ReLU(), nn.ReLU(), (8, 9, 3)),
    (LeakyReLU(0.2), nn.LeakyReLU(0.2), (8, 9, 3)),
    (GELU(), nn.GELU(approximate="tanh"), (30,)),
    (Sigmoid(), nn.Sigmoid(), (30,)),
    (Tanh(), nn.Tanh(), (30,)),
    (Softmax(), nn.Softmax(dim=-1), (30,)),
]
THEIR_NAMES = {
    "weight": "weight", "bias": "bias", "scale": "weight", "shift": "bias",
    "mean": "running_mean", "variance": "running_var",
}  # fmt: skip


def to_theirs(array):
    """A weight of ours in PyTorch's layout."""
    return array.transpose({1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}[array.ndim]).copy()


@pytest.mark.parametrize("training", [True, False], ids=["training", "prediction"])
@pytest.mark.parametrize(("layer", "theirs", "shape"), LAYERS, ids=[str(c[1]) for c in LAYERS])
def test_layer_agrees_with_pytorch(layer, theirs, shape, training, generator):
    def random(*lengths):
        return generator.standard_normal(lengths).astype(np.float32)

    x = random(16, *shape)
    parameters = {name: random(*p.shape) for name, p in layer.parameters(shape).items()}
    statistics = {
        name: np.full(s.shape, s.initial, np.float32) for name, s in layer.statistics(shape).items()
    }
    with torch.no_grad():
        for name, array in (parameters | statistics).items():
            getattr(theirs, THEIR_NAMES[name]).copy_(torch.from_numpy(to_theirs(array)))
    theirs.train(training)
    theirs.zero_grad()

    output, backward = layer.forward(x, parameters, training=training, statistics=statistics)
    their_x = torch.from_numpy(channels_first(x)).requires_grad_()
    their_output = theirs(their_x)
    assert_close(output, channels_last(their_output))

    gradient = random(*output.shape)
    input_gradient, gradients = backward(gradient)
    their_output.backward(torch.from_numpy(channels_first(gradient)))
    assert_close(input_gradient, channels_last(their_x.grad))
    for name, array in gradients.items():
        assert_close(to_theirs(array), getattr(theirs, THEIR_NAMES[name]).grad)
    for name, array in statistics.items():
        assert_close(array, getattr(theirs, THEIR_NAMES[name]))


LOSSES = [
    (CrossEntropy(), nn.CrossEntropyLoss()),
    (CrossEntropy(label_smoothing=0.1), nn.CrossEntropyLoss(label_smoothing=0.1)),
]


@pytest.mark.parametrize(("loss", "theirs"), LOSSES, ids=[str(case[0]) for case in LOSSES])
def test_cross_entropy_agrees_with_pytorch(loss, theirs, generator):
    outputs = generator.standard_normal((16, 10)).astype(np.float32)
    for targets in (generator.integers(10, size=16), generator.dirichlet(np.ones(10), size=16)):
        value, backward = loss(outputs, targets)
        their_outputs = torch.from_numpy(outputs).requires_grad_()
        their_targets = torch.from_numpy(targets)
        if targets.ndim == 2:
            their_targets = their_targets.float()
        their_value = theirs(their_outputs, their_targets)
        their_value.backward()
        assert value == pytest.approx(their_value.item(), rel=CLOSE)
        assert_close(backward(), their_outputs.grad)


def test_mean_squared_error_agrees_with_pytorch(generator):
    outputs, targets = generator.standard_normal((2, 16, 10)).astype(np.float32)
    value, backward = MeanSquaredError()(outputs, targets)
    their_outputs = torch.from_numpy(outputs).requires_grad_()
    their_value = nn.MSELoss()(their_outputs, torch.from_numpy(targets))
    their_value.backward()
    assert value == pytest.approx(their_value.item(), rel=CLOSE)
    assert_close(backward(), their_outputs.grad)


def their_optimizer(settings, parameters, weights=None):
    """PyTorch's optimizer for the settings; decoupled decay of the weights alone."""
    rate = settings.learning_rate
    betas = (settings.beta1, settings.beta2)
    match settings.optimizer:
        case "sgd":
            return torch.optim.SGD(parameters, rate)
        case "momentum":
            return torch.optim.SGD(parameters, rate, momentum=settings.momentum)
        case "nesterov":
            return torch.optim.SGD(parameters, rate, momentum=settings.momentum, nesterov=True)
        case "adagrad":
            return torch.optim.Adagrad(parameters, rate, eps=1e-10)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, rate, alpha=settings.beta2, eps=1e-8)
        case "adam":
            return torch.optim.Adam(parameters, rate, betas=betas)
        case "adamw":
            chosen = {id(p) for p in (parameters if weights is None else weights)}
            groups = [
                {"params": [p for p in parameters if id(p) in chosen],
                 "weight_decay": settings.weight_decay},
                {"params": [p for p in parameters if id(p) not in chosen], "weight_decay": 0.0},
            ]  # fmt: skip
            return torch.optim.AdamW([g for g in groups if g["params"]], rate, betas=betas)


OPTIMIZERS = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_agrees_with_pytorch_over_ten_steps(name, generator):
    settings = Settings(optimizer=name, learning_rate=0.05, weight_decay=0.1)
    w = generator.standard_normal(50).astype(np.float32)
    their_w = torch.from_numpy(w.copy()).requires_grad_()
    optimizer = make(settings, w.size, w.size)
    theirs = their_optimizer(settings, [their_w])
    for _ in range(10):
        gradient = generator.standard_normal(50).astype(np.float32)
        optimizer.update(w, gradient, settings.learning_rate)
        their_w.grad = torch.from_numpy(gradient)
        theirs.step()
    assert_close(w, their_w)


def test_clipping_agrees_with_pytorch(generator):
    gradient = generator.standard_normal(50).astype(np.float32)
    their_w = torch.zeros(50, requires_grad=True)
    their_w.grad = torch.from_numpy(gradient.copy())
    their_norm = nn.utils.clip_grad_norm_([their_w], 0.5)
    assert clip_by_norm(gradient, 0.5) == pytest.approx(their_norm.item(), rel=CLOSE)
    assert_close(gradient, their_w.grad)


SCHEDULES = [
    ("step", lambda o: torch.optim.lr_scheduler.StepLR(o, 12, 0.3), {"step_factor": 0.3}),
    ("cosine", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 40), {}),
    ("one_cycle", lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, 40), {}),
]


@pytest.mark.parametrize(("name", "scheduler", "changes"), SCHEDULES, ids=["step", "cosine", "one"])
def test_schedule_agrees_with_pytorch(name, scheduler, changes):
    settings = Settings(schedule=name, learning_rate=0.1, epochs=10, step_epochs=3, **changes)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    theirs = scheduler(optimizer)
    for step in range(40):
        assert learning_rate(settings, step, 4) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-12, abs=1e-16
        )
        optimizer.step()
        theirs.step()


# Whole networks, in float64


def their_layers(network):
    """The same network in PyTorch, one module a layer, named like ours."""
    sequence = nn.Sequential()
    for layer, shape in zip(network.layers, network.shapes, strict=False):
        match layer:
            case Affine(outputs=outputs, bias=bias):
                module = nn.Linear(math.prod(shape), outputs, bias=bias)
            case Convolution(filters=filters, kernel=kernel, stride=stride, padding=padding):
                module = nn.Conv2d(shape[2], filters, kernel, stride, padding, bias=layer.bias)
            case BatchNormalization():
                kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
                module = kind(shape[-1])
            case MaxPooling(window=window, stride=stride):
                module = nn.MaxPool2d(window, stride)
            case Flatten():
                module = nn.Flatten()
            case ReLU():
                module = nn.ReLU()
            case LeakyReLU(slope=slope):
                module = nn.LeakyReLU(slope)
            case Tanh():
                module = nn.Tanh()
            case GELU():
                module = nn.GELU(approximate="tanh")
        sequence.add_module(layer.name, module)
    return sequence.double()


def names_of(network):
    """For each parameter and statistic of ours, its name in PyTorch's state dict."""
    return {
        f"{layer.name}.{key}": f"{layer.name}.{THEIR_NAMES[key]}"
        for layer, parameters, statistics in zip(
            network.layers, network.parameter_views, network.statistic_views, strict=True
        )
        for key in (*parameters, *statistics)
    }


def arrays_of(theirs):
    return {
        name: tensor.detach().numpy()
        for name, tensor in theirs.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


NETWORKS = {
    "mlp": Settings(hidden=(30, 20), activation="tanh"),
    "mlp with batch norm": Settings(hidden=(30, 20), batch_normalization=True),
    "lenet": Settings(architecture="lenet", activation="gelu"),
    "lenet with batch norm": Settings(architecture="lenet", batch_normalization=True),
    "deep_convnet": Settings(architecture="deep_convnet"),
    "deep_convnet with batch norm": Settings(architecture="deep_convnet", batch_normalization=True),
}


class Twins:
    """One network twice: ours, and PyTorch's with the same weights."""

    def __init__(self, settings, generator, x=None):
        self.x = generator.random((12, 8, 8, 1)) if x is None else x
        self.ours = build(settings, self.x.shape[1:], 10, generator, np.float64)
        torch.manual_seed(0)
        self.theirs = their_layers(self.ours)
        self.load(self.ours)
        self.labels = generator.integers(10, size=len(self.x))
        self.their_x = torch.from_numpy(channels_first(self.x))
        self.their_labels = torch.from_numpy(self.labels)

    def load(self, network):
        load_foreign(network, arrays_of(self.theirs), names_of(network), outputs_first=True)


@pytest.fixture
def twins(request, generator):
    return Twins(NETWORKS[request.param], generator)


every_network = pytest.mark.parametrize("twins", NETWORKS, indirect=True)


@every_network
def test_network_predicts_as_pytorch_does(twins):
    twins.theirs.eval()
    assert_close(twins.ours.predict(twins.x), twins.theirs(twins.their_x), 1e-12)


@every_network
def test_network_has_pytorch_s_loss_and_gradients(twins, generator):
    value = twins.ours.loss_and_gradients(twins.x, twins.labels, CrossEntropy())
    their_value = nn.CrossEntropyLoss()(twins.theirs(twins.their_x), twins.their_labels)
    their_value.backward()
    assert value == pytest.approx(their_value.item(), rel=1e-12)

    other = their_gradients(twins)
    assert_close(twins.ours.gradients, other.parameters, 1e-12)
    if other.statistics.size:
        assert_close(twins.ours.statistics, other.statistics, 1e-12)


def their_gradients(twins):
    """PyTorch's gradients and statistics in our layout: loaded as if they were weights."""
    other = build_like(twins.ours)
    gradients = {
        name: parameter.grad.numpy() for name, parameter in twins.theirs.named_parameters()
    }
    statistics = {k: v for k, v in arrays_of(twins.theirs).items() if "running" in k}
    load_foreign(other, gradients | statistics, names_of(other), outputs_first=True)
    return other


def build_like(network):
    return type(network)(network.layers, network.input_shape, network.dtype)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("twins", ["mlp", "lenet with batch norm", "deep_convnet"], indirect=True)
def test_ten_steps_of_training_agree_with_pytorch(twins, optimizer):
    settings = Settings(optimizer=optimizer, learning_rate=1e-3, weight_decay=0.01)
    parameters = list(twins.theirs.parameters())
    affine_and_convolution = [p for p in parameters if p.ndim > 1]
    theirs = their_optimizer(settings, parameters, affine_and_convolution)
    ours = make(settings, twins.ours.parameters.size, twins.ours.weights.size, twins.ours.dtype)
    for _ in range(10):
        twins.ours.loss_and_gradients(twins.x, twins.labels, CrossEntropy())
        ours.update(twins.ours.parameters, twins.ours.gradients, settings.learning_rate)
        theirs.zero_grad()
        nn.CrossEntropyLoss()(twins.theirs(twins.their_x), twins.their_labels).backward()
        theirs.step()
    other = build_like(twins.ours)
    twins.load(other)
    # Four optimizers divide by the root of squares: where a gradient is almost zero, its rounding
    # error decides the step's sign.
    divides = optimizer not in ("sgd", "momentum", "nesterov")
    assert_close(twins.ours.parameters, other.parameters, 1e-9 if divides else 1e-12)


def shapes_on_black(generator, channels=1):
    """Images like MNIST's: some numbers in the middle, blank around and in between."""
    x = np.zeros((12, 20, 20, channels))
    x[:, 6:15, 5:14] = generator.random((12, 9, 9, channels))
    x[:, 8:12, 7:11] = 0
    return x * (generator.random((12, 20, 20, 1)) < 0.7)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("lenet", {}), ("deep_convnet", {}), ("lenet", {"activation": "leaky_relu"}),
        ("lenet", {"batch_normalization": True}), ("deep_convnet", {"batch_normalization": True}),
        ("mlp", {}),
    ],
)  # fmt: skip
def test_twenty_steps_on_images_with_blank_regions_agree(name, settings, channels, generator):
    """In plain and fast form and in PyTorch: biases start at zero, where ReLU has a kink."""
    settings = Settings(architecture=name, **settings)
    twins = Twins(settings, generator, shapes_on_black(generator, channels))
    for layer, parameters in zip(twins.ours.layers, twins.ours.parameter_views, strict=True):
        if "bias" in parameters:
            parameters["bias"][...] = 0
            getattr(twins.theirs, layer.name).bias.data.zero_()
    fast = build_like(twins.ours)
    fast.parameters[:], fast.statistics[:] = twins.ours.parameters, twins.ours.statistics
    forms = [(twins.ours, twins.ours), (fast, executor(fast))]
    theirs = torch.optim.SGD(twins.theirs.parameters(), 0.1)
    for _ in range(20):
        for network, form in forms:
            form.loss_and_gradients(twins.x, twins.labels, CrossEntropy())
            network.parameters -= 0.1 * network.gradients
        theirs.zero_grad()
        nn.CrossEntropyLoss()(twins.theirs(twins.their_x), twins.their_labels).backward()
        theirs.step()
        other = their_gradients(twins)
        for network, _ in forms:
            # A normalization divides by deviations near zero.
            tolerance = 1e-12 if not settings.batch_normalization else 1e-10
            assert_close(network.gradients, other.parameters, tolerance)
            if network.statistics.size:
                assert_close(network.statistics, other.statistics, tolerance)
