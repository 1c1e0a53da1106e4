"""Print every table, or those named: ``python -m benchmarks [training] [memory] ...``.

Each script is one question and runs in a process of its own, so that none inherits another's
threads or memory.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FIRST = (
    "training", "prediction", "cores", "memory", "epochs", "accuracy", "ideas", "augmentation",
)  # fmt: skip
"""What runs without being named: everything about the speed of training."""

HELPERS = {"__main__", "measure", "twins", "resident"}


def scripts() -> list[str]:
    """Return the names of all scripts in this folder."""
    modules = {path.stem for path in Path(__file__).parent.glob("*.py")} - HELPERS
    return [*FIRST, *sorted(modules - set(FIRST))]


def main() -> int:
    names = sys.argv[1:] or FIRST
    if unknown := sorted(set(names) - set(scripts())):
        print(f"benchmarks: got {', '.join(unknown)}, accepted are {', '.join(scripts())}")
        return 2
    worst = 0
    for name in names:
        print(f"\n## {name}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
