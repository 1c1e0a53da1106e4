"""What does the record cost a search?

Searches the same study with MLflow and Optuna's storage and without them (``--no-record``), in
turn, each in a fresh process and an empty store. Prints the median wall time and the difference per
trial. ``--long`` adds a study of four trials of about 20 s on MNIST, where the difference is given
as a share of the total. `benchmarks.parts` measures the cost of each part.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.copies import RETRIAL

LONG = """
[study]
name = "long"
trials = 4
sampler = { name = "random" }
[data]
name = "mnist"
validation = 10000
[network]
hidden = [256, 128]
[training]
epochs = 15
batch_size = 128
[space]
learning_rate = { low = 5e-4, high = 2e-3, log = true }
"""


def search(study: str, *options: str) -> float:
    """Return the seconds of one search into an empty store."""
    with tempfile.TemporaryDirectory() as store:
        began = time.perf_counter()
        subprocess.run(
            [RETRIAL, "search", study, "--jobs", "1", "--store", store, *options],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - began


def compare(study: str, repetitions: int) -> tuple[float, float]:
    """Return the median seconds of a search with its record and without, alternating."""
    pairs = [(search(study), search(study, "--no-record")) for _ in range(repetitions)]
    recorded, bare = zip(*pairs, strict=True)
    return statistics.median(recorded), statistics.median(bare)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--long", action="store_true", help="add a study of long trials")
    options = parser.parse_args(arguments)
    recorded, bare = compare("digits", options.repetitions)
    print("study        with record    without  per trial")
    print(f"digits       {recorded:8.2f} s  {bare:7.2f} s  {(recorded - bare) / 20:6.3f} s")
    if options.long:
        if "RETRIAL_DATA" not in os.environ:
            print("long         skipped: needs the real MNIST; set RETRIAL_DATA")
            return
        with tempfile.TemporaryDirectory() as folder:
            study = Path(folder) / "long.toml"
            study.write_text(LONG)
            recorded, bare = compare(str(study), 1)
        share = (recorded - bare) / bare
        print(f"4 x 20 s     {recorded:8.2f} s  {bare:7.2f} s  {share:+6.1%} of the study")


if __name__ == "__main__":
    main()
