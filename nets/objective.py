"""The objective: trains with settings on data, reports every epoch, returns the outcome."""

from nets.data.dataset import Dataset
from nets.outcome import Outcome, Report, State
from nets.settings import Settings
from nets.trainer import Training


def objective(
    settings: Settings, data: Dataset, report: Report, resume: State | None = None
) -> Outcome:
    """Train the network that the settings describe and report every epoch.

    Parameters
    ----------
    settings
        Everything that the training depends on, except the data.
    data
        The training images are split into those trained on and ``settings.validation`` held out;
        the test images are not used.
    report
        Called after each epoch. An exception that it raises ends the training: it is not caught.
    resume
        What an epoch's ``state()`` returned: the training resumes after that epoch, with results
        identical to the bit to those of an uninterrupted training. If the training of this state
        had ended, its outcome is returned.

    Returns
    -------
    Outcome
        The reason why the training ended, and its model. A loss that is NaN or infinite ends the
        training after its epoch has been reported, with the reason "diverged".

    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> labels = generator.integers(2, size=60, dtype=np.uint8)
    >>> images = np.where(
    ...     labels[:, None, None, None] == 1, generator.integers(9, size=(60, 4, 4, 1)), 0
    ... )
    >>> dots = Dataset(
    ...     name="dots",
    ...     images=images.astype(np.uint8),
    ...     labels=labels,
    ...     test_images=images[:1].astype(np.uint8),
    ...     test_labels=labels[:1],
    ...     classes=2,
    ...     full_scale=8,
    ... )
    >>> accuracies = []
    >>> outcome = objective(
    ...     Settings(validation=20, epochs=10, batch_size=8, hidden=(8,), learning_rate=0.03),
    ...     dots,
    ...     lambda epoch: accuracies.append(epoch.metrics["val_accuracy"]),
    ... )
    >>> outcome.epoch, outcome.reason, accuracies[-1]
    (10, 'finished', 1.0)
    """
    training = Training(settings, data)
    if resume is not None:
        training.restore(resume)
    while training.reason is None:
        report(training.run_epoch())
    return training.outcome()
