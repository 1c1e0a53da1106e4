"""What a network predicts before it has been trained.

    python docs/examples/01_random_network.py

Digits of 8x8 pixels pass through a network with random weights: layer by layer, then all at once.
"""

import numpy as np

from nets import Settings, build, data, softmax


def main() -> None:
    """Pass images through a random network and print its output."""
    digits = data.load("digits", data.default_folder())
    settings = Settings(hidden=(50, 100), activation="sigmoid", initialization="xavier_normal")
    network = build(settings, digits.image_shape, digits.classes, np.random.default_rng(0))
    images = (digits.test_images / digits.full_scale).astype(np.float32)

    print("layer       output             mean  standard deviation")
    x = images
    for layer, parameters in zip(network.layers, network.parameter_views, strict=True):
        x, _ = layer.forward(x, parameters, training=False)
        print(f"{layer.name:10}  {x.shape!s:14}  {x.mean():7.3f}  {x.std():7.3f}")

    probabilities = softmax(network.predict(images))
    answers = probabilities.argmax(axis=1)
    print(f"\nProbabilities for the first image, a {digits.test_labels[0]}:")
    for digit, probability in enumerate(probabilities[0]):
        print(f"  {digit}  {probability:5.1%}  {'#' * round(100 * probability)}")
    accuracy = (answers == digits.test_labels).mean()
    print(f"\n{accuracy:.1%} of {len(images)} images are correct; guessing gives 10%.")


if __name__ == "__main__":
    main()
