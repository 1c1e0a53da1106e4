"""Print every table, or those named: ``python -m benchmarks [training] [memory] ...``.

Each script is one question and runs in a process of its own, so that none inherits another's
threads or memory.
"""

from __future__ import annotations

import subprocess
import sys

SCRIPTS = (
    "training", "prediction", "cores", "memory", "epochs", "accuracy", "augmentation", "ideas",
    "portable",
)  # fmt: skip


def main() -> int:
    names = sys.argv[1:] or SCRIPTS
    if unknown := sorted(set(names) - {*SCRIPTS, "record"}):
        print(f"benchmarks: got {', '.join(unknown)}, accepted are {', '.join(SCRIPTS)}, record")
        return 2
    worst = 0
    for name in names:
        print(f"\n## {name}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
