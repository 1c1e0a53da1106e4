"""Run benchmarks, by default those of training: ``python -m benchmarks [training] [memory] ...``.

Each script answers one question and runs in a separate process, so that none inherits another's
threads or memory.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FIRST = (
    "training", "prediction", "cores", "memory", "epochs", "accuracy", "ideas", "augmentation",
)  # fmt: skip
"""The default: everything about the speed of training."""


def scripts() -> list[str]:
    """Return the names of all scripts in this folder; modules without `main` are helpers."""
    folder = Path(__file__).parent
    names = {path.stem for path in folder.glob("[a-z]*.py") if "def main(" in path.read_text()}
    return [*FIRST, *sorted(names - set(FIRST))]


def main() -> int:
    names = sys.argv[1:] or FIRST
    if unknown := sorted(set(names) - set(scripts())):
        print(f"benchmarks: got {', '.join(unknown)}, expected {', '.join(scripts())}")
        return 2
    worst = 0
    for name in names:
        print(f"\n## {name}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
