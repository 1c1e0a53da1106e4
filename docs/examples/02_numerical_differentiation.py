"""Training by numerical differentiation: the slope is measured, one weight at a time.

    python docs/examples/02_numerical_differentiation.py

Every weight is moved a little to both sides, and the difference of the losses gives the slope. This
works and needs no calculus, but every step costs two passes through the network for each weight.
The next example takes the same steps by backpropagation.
"""

import time

import numpy as np

from nets import SGD, Affine, CrossEntropy, Flatten, Network, Tanh, data, he_normal
from nets.differentiation import gradient

STEPS, ROWS, RATE = 40, 100, 0.5


def main() -> None:
    """Train a small network on 8x8 digits by numerical differentiation."""
    digits = data.load("digits", data.default_folder())
    network = Network([Flatten(), Affine(8), Tanh(), Affine(10)], digits.image_shape, np.float64)
    network.initialize(he_normal, np.random.default_rng(0))
    optimizer = SGD(network.parameters.size)
    shuffling = np.random.default_rng(1)
    loss = CrossEntropy()

    def loss_with(parameters: np.ndarray) -> float:
        network.parameters[:] = parameters
        return loss(network.predict(images), labels)[0]

    started = time.perf_counter()
    for step in range(1, STEPS + 1):
        rows = shuffling.choice(len(digits.images), ROWS, replace=False)
        images, labels = digits.images[rows] / digits.full_scale, digits.labels[rows]
        parameters = network.parameters.copy()
        slope = gradient(loss_with, parameters)
        optimizer.update(parameters, slope, RATE)
        network.parameters[:] = parameters
        if step % 10 == 0:
            print(f"step {step:3}  loss {loss_with(parameters):.4f}")
    seconds = time.perf_counter() - started

    scores = network.predict(digits.test_images / digits.full_scale)
    accuracy = (scores.argmax(axis=1) == digits.test_labels).mean()
    print(f"\n{accuracy:.1%} of {len(scores)} test images are correct")
    print(
        f"{1000 * seconds / STEPS:.1f} ms per step: "
        f"{2 * network.parameters.size} passes for {network.parameters.size} parameters"
    )


if __name__ == "__main__":
    main()
