"""Optimizers side by side: each needs its own learning rate, which can only be found by trying.

    python docs/examples/06_optimizers.py

All networks have the same initial weights and see the same mini-batches in the same order. The
first table has a learning rate in each column; the second shows how fast each optimizer is with its
best one. This is already a search: `retrial search digits` tries fewer combinations of more
settings, and keeps a record of them.
"""

from nets import Settings, data, objective

OPTIMIZERS = "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"
RATES = 1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001
EPOCHS = 10


def main() -> None:
    """Train with every optimizer and every learning rate."""
    digits = data.load("digits", data.default_folder())
    best = {}
    print(f"training loss after {EPOCHS} epochs, by learning rate")
    print(f"{'':9}", *(f"{rate:8}" for rate in RATES))
    for optimizer in OPTIMIZERS:
        losses = {rate: losses_of(optimizer, rate, digits) for rate in RATES}
        best[optimizer] = min(losses.items(), key=lambda tried: tried[1][-1])
        print(f"{optimizer:9}", *(f"{losses[rate][-1]:8.3f}" for rate in RATES))

    print("\ntraining loss with the best rate, by epoch")
    print(f"{'':9}     rate", *(f"{epoch:7}" for epoch in range(1, EPOCHS + 1)))
    for optimizer, (rate, losses) in best.items():
        print(f"{optimizer:9} {rate:8}", *(f"{loss:7.3f}" for loss in losses))


def losses_of(optimizer: str, rate: float, digits: data.Dataset) -> list[float]:
    """Return the training loss of every epoch."""
    settings = Settings(optimizer=optimizer, learning_rate=rate, epochs=EPOCHS)
    losses = []
    objective(settings, digits, lambda epoch: losses.append(epoch.metrics["train_loss"]))
    return losses


if __name__ == "__main__":
    main()
