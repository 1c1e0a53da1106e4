"""What does a search take beside what a user would write? ``python -m benchmarks.glue``.

The digits study and the examples of scikit-learn and, where it is installed, of PyTorch are
searched by the project and by a script with Optuna and MLflow (see `by_hand`), in turn, with two
processes each. The table has the medians of the wall time and of the processor time of all their
processes, of which only the latter means something on a busy machine, and what each has recorded.
Then: what an epoch of an objective in the simple form takes more than one in the full form.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from benchmarks.measure import head, in_turns

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
STUDIES = {"digits": "digits", "svc": str(EXAMPLES / "svc.py"), "mlp": str(EXAMPLES / "mlp.py")}
EPOCHS = 1000


def run(folder: Path, *arguments: str) -> tuple[float, float]:
    """Run Python in a folder; return the seconds it took, and the processor time of all of it."""
    folder.mkdir(parents=True)
    place = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    began, processor = time.perf_counter(), _processor_time()
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": place},
        check=True, capture_output=True,
    )  # fmt: skip
    return time.perf_counter() - began, _processor_time() - processor


def _processor_time() -> float:
    """Return the seconds of all child processes that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def recorded(database: Path, files: Path) -> str:
    """Return how much MLflow has of a search."""
    with sqlite3.connect(database) as connection:
        runs, values = (
            connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("runs", "metrics")
        )
    found = [path for path in files.rglob("*") if path.is_file()]
    figures = sum(path.suffix == ".png" for path in found)
    return f"{runs} runs, {values} values of metrics, {figures} figures, {len(found)} files"


def compare(kind: str, folder: Path, rounds: int) -> None:
    """Search in turn; print the medians and what was recorded."""
    took: dict[str, list[tuple[float, float]]] = {"project": [], "by hand": []}
    for number in range(rounds):
        ours, theirs = folder / f"{kind}-ours-{number}", folder / f"{kind}-theirs-{number}"
        search = ["-m", "studies.cli.main", "search", STUDIES[kind], "--jobs", "2"]
        took["project"].append(run(ours, *search, "--store", "store"))
        took["by hand"].append(run(theirs, "-m", "benchmarks.by_hand", kind))
    ours_has = recorded(ours / "store" / "mlflow.db", ours / "store" / "artifacts")
    theirs_has = recorded(theirs / "mlflow.db", theirs / "mlruns")
    medians = {
        name: [statistics.median(column) for column in zip(*times, strict=True)]
        for name, times in took.items()
    }
    for name, has in (("project", ours_has), ("by hand", theirs_has)):
        wall, processor = medians[name]
        each = " ".join(f"{seconds:.1f}" for seconds, _ in took[name])
        print(f"| {kind} | {name} | {wall:.1f} s | {processor:.1f} s | {each} | {has} |")
    pairs = zip(medians["project"], medians["by hand"], strict=True)
    wall, processor = (ours / theirs for ours, theirs in pairs)
    print(f"| {kind} | ratio | {wall:.2f} | {processor:.2f} | | |", flush=True)


def overhead() -> None:
    """Print what an epoch in the simple form takes more than one in the full form."""
    from nets.outcome import Epoch, Outcome
    from studies.objective.trial import adapted

    class Settings:
        seed = 0

    def simple(trial):
        for number in trial.epochs(EPOCHS):
            trial.report(loss=1.0 / number)

    def full(settings, data, report):
        for number in range(1, EPOCHS + 1):
            report(Epoch(number, {"loss": 1.0 / number}, 0.0))
        return Outcome(EPOCHS)

    times = in_turns(
        {
            "simple": lambda: adapted(simple, 0, "loss")(Settings, None, lambda epoch: None),
            "full": lambda: full(Settings, None, lambda epoch: None),
        },
        repeats=5,
    )
    per_epoch = (times["simple"] - times["full"]) / EPOCHS
    print(f"\nan epoch of the simple form takes {per_epoch:.3f} ms more than one of the full form")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="searches of each kind")
    options = parser.parse_args()
    head("What does a search take beside what a user would write?")
    print("| study | written with | wall | processor | wall of each round | in MLflow |")
    print("|---|---|---:|---:|---|---|")
    with tempfile.TemporaryDirectory(prefix="retrial-glue-") as folder:
        for kind in STUDIES if find_spec("torch") else ("digits", "svc"):
            compare(kind, Path(folder), options.rounds)
    overhead()
    return 0


if __name__ == "__main__":
    sys.exit(main())
