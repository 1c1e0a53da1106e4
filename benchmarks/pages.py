"""How do a store, MLflow's pages and the commands that read them grow with the number of trials?

Trains ten trials of the digits and copies them into stores of 10, 100 and 1,000 trials, each with
its 20 epochs and its model, recorded to MLflow. Prints the median time until each page shows its
content in headless Chromium, and the median time of ``retrial show`` and ``retrial reproduce best``
as whole processes.

    python -m benchmarks.pages [--trials 10 100 1000] [--repetitions 3]
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

from benchmarks import browser
from benchmarks.copies import RETRIAL, STUDY, copy_study, copy_trial, train
from tracking.figures.curves import curves_png
from tracking.ledger import Ledger
from tracking.runs.recorder import Recorder
from tracking.store import names
from tracking.store.store import open_store

TRAINED = 10


def multiplied(trained: Path, store: Path, trials: int) -> None:
    """Write the ledger of a store with copies of trained trials, recorded to MLflow."""
    store.mkdir()
    source, ledger = Ledger(trained / names.LEDGER), Ledger(store / names.LEDGER)
    study = copy_study(source, ledger, STUDY, trials)
    originals = source.trials(STUDY)
    for number in range(trials):
        for _ in copy_trial(source, ledger, originals[number % len(originals)], number):
            pass
    source.close()
    ledger.close()
    # All trials get the same figure of curves, so that drawing does not count.
    drawn = curves_png("a trial", Ledger(store / names.LEDGER).epochs(STUDY, 0))
    finished: Future[bytes] = Future()
    finished.set_result(drawn)
    recorder = Recorder(store / names.LEDGER, store, STUDY, study.environment, lambda *_: finished)
    recorder.start()
    recorder.finish("finished", patience=3600)
    assert recorder.problem is None, recorder.problem


@contextlib.contextmanager
def served(store: Path) -> Iterator[str]:
    """Start ``retrial ui`` on a store, and yield its address."""
    process = subprocess.Popen(
        [RETRIAL, "ui", "--port", "0", "--store", str(store)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        page = next(word for word in line.split() if word.startswith("http"))
        yield page.removesuffix(f"/{names.STUDIES_PAGE}")
    finally:
        process.terminate()
        process.wait()


def pages(store: Path, repetitions: int) -> dict[str, float]:
    """Return the median seconds until each page shows its content."""
    with open_store(store) as opened:
        experiment = opened.client.get_experiment_by_name(STUDY)
        (run,) = opened.client.search_runs(
            [experiment.experiment_id], f"tags.`{names.TRIAL_TAG}` = '1'"
        )
    runs = f"#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}"
    wanted = {
        "experiments": ("#/experiments", STUDY),
        "trials": (names.trials_page(experiment.experiment_id), "trial 00"),
        "a trial": (runs, "learning_rate"),
        "its curves": (f"{runs}/model-metrics", "val_accuracy"),
        "its files": (f"{runs}/artifacts", names.SETTINGS_FILE),
    }
    with served(store) as address, browser.opened() as chromium:
        chromium.seconds_until(f"{address}/", "Experiments")  # from here on the scripts are cached
        return {
            name: statistics.median(
                chromium.seconds_until(f"{address}/{path}", text) for _ in range(repetitions)
            )
            for name, (path, text) in wanted.items()
        }


def timed(repetitions: int, *command: str) -> float:
    """Return the median seconds of a command."""

    def once() -> float:
        began = time.perf_counter()
        subprocess.run([RETRIAL, *command], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    return median(repetitions, once)


def median(repetitions: int, once: Callable[[], float]) -> float:
    return statistics.median(once() for _ in range(repetitions))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args(arguments)
    if not browser.is_here():
        print(f"pages: {browser.NO_BROWSER}")
    with tempfile.TemporaryDirectory() as folder:
        trained = Path(folder) / "trained"
        train(trained, TRAINED)
        for trials in options.trials:
            store = Path(folder) / str(trials)
            began = time.perf_counter()
            multiplied(trained, store, trials)
            seconds = time.perf_counter() - began
            size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
            print(
                f"{trials:5} trials: recorded in {seconds:.1f} s, {1000 * seconds / trials:.0f} ms "
                f"per trial; {size / trials / 1024:.0f} KiB per trial in the store",
                flush=True,
            )
            for name, command in {
                "show": ("show", STUDY),
                "reproduce": ("reproduce", "best", "--study", STUDY),
            }.items():
                took = timed(options.repetitions, *command, "--store", str(store))
                print(f"      {'retrial ' + name:20} {took:6.2f} s", flush=True)
            if browser.is_here():
                for name, took in pages(store, options.repetitions).items():
                    print(f"      page: {name:14} {took:6.2f} s", flush=True)


if __name__ == "__main__":
    main()
