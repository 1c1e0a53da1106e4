"""A deep network whose initial weights are too small learns nothing.

    python docs/examples/04_initialization.py

Five hidden layers of 100 units. With weights of standard deviation 0.01, each layer's outputs are
about a tenth of its inputs: nothing of the image is left in the last layer, and nothing of the
gradient in the first. Xavier's deviation, 0.1 between layers of 100 units, keeps the size of both
with tanh. ReLU halves the variance in every layer, and He's deviation, 0.14, makes up for it.
"""

import numpy as np

from nets import CrossEntropy, Settings, build, data, objective

INITIALIZATIONS = {"constant_std": "std 0.01", "xavier_normal": "Xavier", "he_normal": "He"}
HEAD = """\
                standard deviation of the outputs of layer      of the  after 20 epochs:
                  1        2        3        4        5       gradient     loss  accuracy"""


def main() -> None:
    """Compare the signals of untrained networks, and what the networks then learn."""
    digits = data.load("digits", data.default_folder())
    print(HEAD)
    for activation in ("tanh", "relu"):
        for initialization, name in INITIALIZATIONS.items():
            settings = Settings(
                hidden=(100,) * 5, activation=activation, initialization=initialization,
                initial_std=0.01, optimizer="sgd", learning_rate=0.1, epochs=20,
            )  # fmt: skip
            outputs, gradient = untrained(settings, digits)
            loss, accuracy = trained(settings, digits)
            shown = "".join(f"{deviation:9.1g}" for deviation in outputs)
            print(f"{activation:4}  {name:8}{shown}  {gradient:9.1g}  {loss:7.3f}  {accuracy:8.1%}")


def untrained(settings: Settings, digits: data.Dataset) -> tuple[list[float], float]:
    """Return the deviation of each hidden layer's outputs, and of the first layer's gradient."""
    network = build(settings, digits.image_shape, digits.classes, np.random.default_rng(0))
    x = (digits.images / digits.full_scale).astype(np.float32)
    network.loss_and_gradients(x, digits.labels, CrossEntropy())
    outputs = []
    for layer, parameters in zip(network.layers, network.parameter_views, strict=True):
        x, _ = layer.forward(x, parameters, training=False)
        if layer.name.startswith(settings.activation):
            outputs.append(x.std())
    first_affine = network.gradient_views[1]
    return outputs, first_affine["weight"].std()


def trained(settings: Settings, digits: data.Dataset) -> tuple[float, float]:
    """Return the training loss and the validation accuracy of the last epoch."""
    epochs = []
    objective(settings, digits, lambda epoch: epochs.append(epoch.metrics))
    return epochs[-1]["train_loss"], epochs[-1]["val_accuracy"]


if __name__ == "__main__":
    main()
