"""Question: is the prediction of 1,000 images faster than in PyTorch, on one core?

Median milliseconds for the deep_convnet without dropout, alternating, one thread each.

    python -m benchmarks.prediction
"""

from __future__ import annotations

import numpy as np

from benchmarks.measure import head, in_turns, torch
from benchmarks.twins import DEEP, Twin, mini_batch, network
from nets import threads
from nets.kernels.plan import executor

IMAGES = 1000


def main() -> None:
    head(__doc__)
    ours = network(DEEP)
    fast = executor(ours)
    x, _ = mini_batch(IMAGES)
    functions = {"ours": lambda: fast.predict(x)}
    if torch is not None:
        torch.set_num_threads(1)
        for name, channels_last in (("default", False), ("channels last", True)):
            twin = Twin(network(DEEP))
            module = twin.module.eval()
            if channels_last:
                module = module.to(memory_format=torch.channels_last)
            inputs = twin.inputs(x, channels_last=channels_last)

            def predict(module=module, inputs=inputs):
                with torch.no_grad():
                    return module(inputs)

            functions[name] = predict
            error = np.abs(predict().numpy() - fast.predict(x)).max()
            print(f"  largest difference from PyTorch's scores, {name}: {error:.0e}")
    with threads.use(1):
        taken = in_turns(functions, repeats=11)
    for name, value in taken.items():
        print(f"  {name:14}{value:8.1f} ms   ratio {taken['ours'] / value:.2f}")
    print("  solid: 0.60 / 0.90; goal: 0.44 / 0.76")


if __name__ == "__main__":
    main()
