"""Question: how much memory does a process that trains the deep_convnet on MNIST need?

Each framework trains in a fresh process: batch 128, Adam, 100 steps. Prints the resident memory
without the memory-mapped images, in megabytes: after importing NumPy, and at the end. Linux only:
it reads /proc/self/smaps.

    python -m benchmarks.memory
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.measure import NO_TORCH, head, mnist, torch

STEPS = 100

OURS = """
import numpy as np
from pathlib import Path
from benchmarks.resident import beyond_images
start = beyond_images()
from nets.data import open_cached
from nets.settings import Settings
from nets.trainer import Training
settings = Settings(
    data="mnist", validation=0, architecture="deep_convnet", dropout=0.5, batch_size=128,
    optimizer="adam",
)
training = Training(settings, open_cached(Path({path!r})))
for rows in np.arange({steps} * 128).reshape({steps}, 128):
    training._step(rows, 0.001)
print(start, beyond_images())
"""

THEIRS = """
import numpy as np, torch
from pathlib import Path
from benchmarks.resident import beyond_images
start = beyond_images()
from nets.data import open_cached
from benchmarks.twins import DEEP, Twin, network
torch.set_num_threads(1)
data = open_cached(Path({path!r}))
module = Twin(network(DEEP)).module
optimizer = torch.optim.Adam(module.parameters())
for rows in np.arange({steps} * 128).reshape({steps}, 128):
    x = torch.from_numpy(data.images[rows].transpose(0, 3, 1, 2).astype(np.float32) / 255)
    loss = torch.nn.functional.cross_entropy(
        module(x), torch.from_numpy(data.labels[rows].astype(np.int64))
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(start, beyond_images())
"""


def main() -> None:
    head(__doc__)
    if not Path("/proc/self/smaps").exists():
        print("  skipped: needs /proc/self/smaps")
        return
    data = mnist()
    if data is None:
        return
    programs = {"ours": OURS} | ({} if torch is None else {"PyTorch": THEIRS})
    for name, program in programs.items():
        code = program.format(path=str(data.path), steps=STEPS)
        output = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout
        start, end = map(float, output.split())
        print(f"  {name:10}{end:7.1f} MB, of which {start:.1f} MB before training code is imported")
    print("  solid: below 80 MB; goal: below 50 MB")
    if torch is None:
        print(f"  {NO_TORCH}")


if __name__ == "__main__":
    main()
