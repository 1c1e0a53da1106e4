"""Question: how much does a second core help, and does it change the result?

The median milliseconds of a training step of the deep_convnet at batch 128: ours with one thread
and with two, PyTorch with two, alternating. Two threads must give the same bits as one.

    python -m benchmarks.cores
"""

from __future__ import annotations

import os
import time

import numpy as np

from benchmarks.measure import head, in_turns, torch
from benchmarks.twins import DEEP, mini_batch, network, our_step, their_step
from nets import threads
from nets.kernels.plan import executor
from nets.losses import CrossEntropy

BATCH = 128


def main() -> None:
    head(__doc__)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if (cores or 1) < 2:
        print("  skipped: needs two cores, this process may use only one")
        return
    print(f"  gradients with one and with two threads: {'equal bits' if equal() else 'DIFFERENT'}")
    steps = {}
    with threads.use(1):
        steps["ours, 1 thread"] = our_step(DEEP, BATCH)
    with threads.use(2):
        steps["ours, 2 threads"] = our_step(DEEP, BATCH)
        if torch is not None:
            torch.set_num_threads(2)
            steps["default"] = their_step(DEEP, BATCH, channels_last=False)
            steps["channels last"] = their_step(DEEP, BATCH, channels_last=True)
        taken = in_turns(steps, repeats=21, clock=time.perf_counter)
    for name, value in taken.items():
        ratio = taken["ours, 2 threads"] / value
        print(f"  {name:16}{value:8.1f} ms   our two threads relative to this: {ratio:.2f}")
    print("  solid: 0.80 / 0.95 of PyTorch; goal: 0.62 / 0.78")


def equal() -> bool:
    """Return whether two threads give the same gradients as one."""
    ours = network(DEEP)
    x, labels = mini_batch(BATCH)
    noise = ours.draw(BATCH, np.random.default_rng(0))
    results = []
    for count in (1, 2):
        executor(ours, threads=count).loss_and_gradients(x, labels, CrossEntropy(), noise)
        results.append(ours.gradients.copy())
    return bool((results[0] == results[1]).all())


if __name__ == "__main__":
    main()
