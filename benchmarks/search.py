"""Question: what does a search that is the same with any number of workers cost?

Six tables: how busy two workers are, compared with Optuna's parallel search on the same trials;
the time of a decision in the driver as a study grows; where the driver becomes the limit with many
workers; whether trials chosen in parallel are worse than those chosen one by one; what a search is
worth beside a random one and a grid; the time of `retrial --help` and the memory of a worker.

    python -m benchmarks.search
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import psutil

from benchmarks import decisions, quality, recorded, simulation, utilization
from nets import data
from nets.settings import Settings, to_plain
from studies.workers.local import LocalEngine
from studies.workers.messages import Job, TrialDone

REPEATS = 5
SEEDS = 30
SCALES = ((64, 640), (256, 2048))
TRIAL_SECONDS = (10, 60)


def print_utilization() -> None:
    rows = dict(utilization.rows(REPEATS))
    free = statistics.median(m.seconds for m in rows["Optuna's optimize(n_jobs=2)"])
    lengths = rows["retrial, window 8"][0].lengths
    short = sum(length < max(lengths) for length in lengths)
    print(
        f"{utilization.TRIALS} trials of which about {short} are pruned, "
        f"{utilization.JOBS} workers; medians of {REPEATS}, lowest and highest"
    )
    print(f"{'':30}  time workers train      wall time / Optuna's")
    for way, measured in rows.items():
        shares = [m.share for m in measured]
        seconds = statistics.median(m.seconds for m in measured)
        print(
            f"{way:30}  {statistics.median(shares):6.1%} ({min(shares):.1%} to {max(shares):.1%})"
            f"  {seconds / free:6.2f}"
        )


def print_decisions() -> None:
    print("milliseconds of processor time per trial, TPE sampler and median pruner")
    print("finished trials     ask  driver  worker   restart   bytes to a new and a known worker")
    for finished in (100, 1_000, 10_000):
        cost = decisions.cost(finished)
        print(
            f"{finished:15,}  {cost.ask:6.1f}  {cost.driver:6.1f}  {cost.worker:6.1f}"
            f"  {cost.rebuild_seconds:6.2f} s  {cost.first_bytes:>10,}  {cost.later_bytes:>8,}"
        )


def print_scale() -> None:
    print("simulated workers, window four times as many, half of the trials pruned")
    print("workers  trials  full trial  time workers train  driver busy  driver time per trial")
    for workers, trials in SCALES:
        for seconds in TRIAL_SECONDS:
            found = simulation.simulate(workers, trials, seconds)
            print(
                f"{workers:7}  {trials:6}  {seconds:8} s  {found.utilization:18.1%}"
                f"  {found.driver_load:11.1%}  {found.driver_milliseconds:18.1f} ms",
                flush=True,
            )


def print_quality() -> None:
    counts = "".join(f"{f'after {count}':>18}" for count in quality.SHOWN)
    print(
        f"validation loss of the best trial minus the table's best, times 1000; means of {SEEDS} "
        "seeds, 95 % intervals"
    )
    print(f"{'':16}{counts}")
    for way in quality.WAYS:
        print(f"{way:16}{_cells(quality.regrets(way, SEEDS))}")
    for other in ("TPE, one by one", "random"):
        found = quality.difference("TPE, window 8", other, SEEDS)
        print(
            f"TPE, window 8 minus {other}, paired by seed: {1000 * found.value:+.2f} ± "
            f"{1000 * found.half_width:.2f}"
        )


def print_quality_by_epochs() -> None:
    counts = "".join(f"{f'after {count * recorded.EPOCHS:,}':>18}" for count in quality.SHOWN)
    print(f"the same after equal numbers of epochs, {quality.WINDOW} trials at a time")
    print(f"{'':16}{counts}  trials")
    for way in quality.SEARCHES:
        means, trials = quality.by_epochs(way, SEEDS)
        print(f"{way:16}{_cells(means)}{trials:8.0f}", flush=True)


def _cells(means: Sequence[quality.Mean]) -> str:
    return "".join(f"{1000 * m.value:10.2f} ± {1000 * m.half_width:5.2f}" for m in means)


def print_startup_and_memory() -> None:
    times = []
    for _ in range(2 * REPEATS):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "studies.cli.main", "--help"],
            stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        times.append(time.perf_counter() - began)
    print(f"retrial --help: {statistics.median(times):.2f} s")
    print(f"a worker after training on the digits: {worker_megabytes():.0f} MB resident")


def worker_megabytes() -> float:
    """Return the resident memory of a worker process after a training."""
    dataset = data.load("digits", data.default_folder())
    settings = to_plain(Settings(hidden=(100, 50), epochs=5))
    job = Job(
        trial=0, attempt=1, objective="nets.objective:objective",
        settings_class="nets.settings:Settings", settings=settings, data=str(dataset.path),
        pruning=None, metric="val_accuracy",
    )  # fmt: skip
    engine = LocalEngine(1)
    try:
        engine.start(job)
        while not any(isinstance(event, TrialDone) for event in engine.events(timeout=1.0)):
            pass
        workers = psutil.Process().children(recursive=True)
        return max(worker.memory_info().rss for worker in workers) / 2**20
    finally:
        engine.close()


def main() -> None:
    for title, table in (
        ("busy workers", print_utilization),
        ("cost of a decision", print_decisions),
        ("many workers", print_scale),
        ("quality of the trials", print_quality),
        ("quality at equal epochs", print_quality_by_epochs),
        ("command line and memory", print_startup_and_memory),
    ):
        print(f"\n{title}\n{'-' * len(title)}", flush=True)
        table()


if __name__ == "__main__":
    main()
