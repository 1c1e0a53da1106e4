"""Does a search survive everything? ``python -m benchmarks.chaos --kills N --seed S``.

Searches are killed, frozen, and denied their disk and their server at random moments. What is in
ledger, MLflow and Optuna's storage in the end is compared with an undisturbed search. The table
counts what was done and what was found. A kill takes about 6 seconds.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="how many processes to kill")
    parser.add_argument("--seed", type=int, default=0, help="another seed kills at other moments")
    parser.add_argument("--folder", type=Path, help="where to search (default: a temporary one)")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    import numpy as np
    from chaos import FAULTS, Chaos

    folder = options.folder or Path(tempfile.mkdtemp(prefix="retrial-chaos-"))
    began = time.monotonic()
    chaos = Chaos(folder, np.random.default_rng(options.seed), with_server=True)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            chaos.until(options.kills)
    finally:  # the table counts what was done until then
        print(f"\nseed {options.seed}, {(time.monotonic() - began) / 60:.0f} minutes\n")
        print("| what | times |\n|---|---:|")
        for name, times in chaos.counts.items():
            print(f"| {name} | {times} |")
    return 1 if any(chaos.counts[fault] for fault in FAULTS) else 0


if __name__ == "__main__":
    sys.exit(main())
