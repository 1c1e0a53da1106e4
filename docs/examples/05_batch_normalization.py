"""With batch normalization, the size of the initial weights hardly matters.

    python docs/examples/05_batch_normalization.py

The deep network of the previous example starts from normal weights with standard deviations from
0.001 to 1. Without batch normalization, it learns from one of them. With it, the inputs of every
activation have the variance 1 whatever the weights before it, and it learns from all.
"""

from nets import Settings, data, objective

DEVIATIONS = 1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001


def main() -> None:
    """Train with and without batch normalization from initial weights of every size."""
    digits = data.load("digits", data.default_folder())
    print("           accuracy after 20 epochs")
    print("deviation  without         with batch normalization")
    for deviation in DEVIATIONS:
        without, normalized = (trained(deviation, choice, digits) for choice in (False, True))
        print(f"{deviation:<9}  {without:14}  {normalized}")


def trained(deviation: float, batch_normalization: bool, digits: data.Dataset) -> str:
    """Return the validation accuracy that is reached, and whether the training diverged."""
    settings = Settings(
        hidden=(100,) * 5, batch_normalization=batch_normalization,
        initialization="constant_std", initial_std=deviation,
        optimizer="sgd", learning_rate=0.1, epochs=20,
    )  # fmt: skip
    epochs = []
    outcome = objective(settings, digits, lambda epoch: epochs.append(epoch.metrics))
    reached = f"{epochs[-1]['val_accuracy']:.1%}"
    return f"{reached} diverged" if outcome.reason == "diverged" else reached


if __name__ == "__main__":
    main()
