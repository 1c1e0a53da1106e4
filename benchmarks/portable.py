"""Question: what does a pinned BLAS kernel (`portable = true`) cost a study?

Processor seconds of one epoch with the kernels that OpenBLAS and NumPy choose on this processor,
and with those that all machines of its architecture have. The libraries choose when they are
loaded, so each side runs in a separate process; they alternate, and the fastest run counts.

    python -m benchmarks.portable
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from benchmarks.measure import head

ROUNDS = 5
CASES = {
    # name: (image side, images, settings)
    "digits, MLP 100-50": (8, 48000, {"architecture": "mlp", "hidden": (100, 50)}),
    "MNIST, MLP 100-50": (28, 48000, {"architecture": "mlp", "hidden": (100, 50)}),
    "MNIST, lenet": (28, 4000, {"architecture": "lenet"}),
    "MNIST, deep_convnet": (28, 1500, {"architecture": "deep_convnet"}),
}


def main() -> None:
    from studies.workers import cpu_pinning

    head(__doc__)
    variables = cpu_pinning.choose()
    print(f"  pinned: {cpu_pinning.as_command(variables)}")
    best: dict[tuple[str, str], float] = {}
    for _ in range(ROUNDS):
        for side, environment in (("own", {}), ("pinned", variables)):
            for case, seconds in epochs_with(environment).items():
                best[case, side] = min(seconds, best.get((case, side), float("inf")))
    for case in CASES:
        own, pinned = best[case, "own"], best[case, "pinned"]
        print(f"  {case:20}{own:8.2f} s {pinned:8.2f} s   pinned / default {pinned / own:.2f}")


def epochs_with(environment: dict[str, str]) -> dict[str, float]:
    """Return the seconds of an epoch of each case, in a process with environment variables."""
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.portable", "epochs"],
        env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True, text=True,
    ).stdout  # fmt: skip
    return dict(json.loads(answer))


def epochs() -> dict[str, float]:
    """Return the processor seconds of an epoch of each case in this process."""
    import numpy as np

    from nets.data import Dataset
    from nets.objective import objective
    from nets.settings import Settings

    taken = {}
    for case, (side, count, settings) in CASES.items():
        generator = np.random.default_rng(0)
        images = generator.integers(0, 256, (count, side, side, 1), np.uint8)
        labels = generator.integers(0, 10, count).astype(np.uint8)
        data = Dataset(
            name="noise", images=images, labels=labels, test_images=images[:1],
            test_labels=labels[:1], classes=10, full_scale=255,
        )  # fmt: skip
        started: list[float] = []
        # The first epoch is the warm-up, the second one counts.
        fixed = Settings(epochs=2, validation=0, **settings)  # type: ignore[arg-type]
        objective(fixed, data, lambda epoch, s=started: s.append(time.process_time()))
        taken[case] = started[1] - started[0]
    return taken


if __name__ == "__main__":
    if sys.argv[1:] == ["epochs"]:
        print(json.dumps(epochs()))
    else:
        main()
