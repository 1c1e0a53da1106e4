"""Training by backpropagation: one forward and one backward pass give the slope of every weight.

    python docs/examples/03_backpropagation.py

The network, the images and the steps are those of the previous example, and so are the losses, to
the last digit shown. Only the time differs, so this example also trains for many more steps.
"""

import time

import numpy as np

from nets import SGD, Affine, CrossEntropy, Flatten, Network, Tanh, data, he_normal

STEPS, MORE_STEPS, ROWS, RATE = 40, 2000, 100, 0.5


def main() -> None:
    """Train the same small network on 8x8 digits by backpropagation."""
    digits = data.load("digits", data.default_folder())
    network = Network([Flatten(), Affine(8), Tanh(), Affine(10)], digits.image_shape, np.float64)
    network.initialize(he_normal, np.random.default_rng(0))
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
    print(f"\n{accuracy()}")


if __name__ == "__main__":
    main()
