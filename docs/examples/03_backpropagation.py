"""Training by backpropagation: one forward and one backward pass give the slope of every weight.

    python docs/examples/03_backpropagation.py

The network, the images and the steps are those of the previous example, and so are the losses, to
the last digit shown. Only the time differs, so this example also trains for many more steps. At the
end it measures both ways for wider networks: differences take time for every weight, while
backpropagation takes two passes for all of them.
"""

import time
from collections.abc import Callable

import numpy as np

from nets import SGD, Affine, CrossEntropy, Flatten, Network, Tanh, data, he_normal
from nets.differentiation import gradient

STEPS, MORE_STEPS, ROWS, RATE = 40, 2000, 100, 0.5
WIDTHS = 8, 16, 32, 64


def main() -> None:
    """Train the same small network on 8x8 digits by backpropagation, then compare the times."""
    digits = data.load("digits", data.default_folder())
    network = new_network(8, digits.image_shape)
    optimizer = SGD(network.parameters.size)
    shuffling = np.random.default_rng(1)
    loss = CrossEntropy()

    def train(first: int, last: int, every: int) -> float:
        started = time.perf_counter()
        for step in range(first, last + 1):
            rows = shuffling.choice(len(digits.images), ROWS, replace=False)
            images, labels = digits.images[rows] / digits.full_scale, digits.labels[rows]
            network.loss_and_gradients(images, labels, loss)
            optimizer.update(network.parameters, network.gradients, RATE)
            if step % every == 0:
                print(f"step {step:3}  loss {loss(network.predict(images), labels)[0]:.4f}")
        return (time.perf_counter() - started) / (last - first + 1)

    def accuracy() -> str:
        scores = network.predict(digits.test_images / digits.full_scale)
        right = (scores.argmax(axis=1) == digits.test_labels).mean()
        return f"{right:.1%} of {len(scores)} test images are correct"

    seconds = train(1, STEPS, every=10)
    print(f"\n{accuracy()}")
    print(f"{1000 * seconds:.1f} ms per step: 2 passes for {network.parameters.size} parameters\n")
    train(STEPS + 1, MORE_STEPS, every=490)
    print(f"\n{accuracy()}\n")

    print("parameters  a gradient by differences  by backpropagation")
    images, labels = digits.images[:ROWS] / digits.full_scale, digits.labels[:ROWS]
    for width in WIDTHS:
        wider = new_network(width, digits.image_shape)
        measured, calculated = both_ways(wider, images, labels)
        print(
            f"{wider.parameters.size:10,}  {measured:23.4f} s  {calculated:16.6f} s  "
            f"{measured / calculated:6,.0f} times faster"
        )


def new_network(width: int, image_shape: tuple[int, ...]) -> Network:
    """Return a network with one hidden layer, with initial weights."""
    network = Network([Flatten(), Affine(width), Tanh(), Affine(10)], image_shape, np.float64)
    network.initialize(he_normal, np.random.default_rng(0))
    return network


def both_ways(network: Network, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the seconds of a gradient by differences, and by backpropagation."""
    loss = CrossEntropy()

    def loss_with(parameters: np.ndarray) -> float:
        network.parameters[:] = parameters
        return loss(network.predict(images), labels)[0]

    measured = seconds_of(lambda: gradient(loss_with, network.parameters))
    calculated = min(
        seconds_of(lambda: network.loss_and_gradients(images, labels, loss)) for _ in range(20)
    )
    return measured, calculated


def seconds_of(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
