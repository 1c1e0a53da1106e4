"""``retrial pack``: a study as one file."""

import contextlib
import sys
from argparse import Namespace
from pathlib import Path

from studies.analysis.formatting import plural
from studies.analysis.stored_study import open_study
from studies.cli.prompts import shown_bytes
from tracking.ledger import lock
from tracking.ledger.access import Ledger
from tracking.maintenance.pack.packing import pack
from tracking.runs.recorder import Recorder
from tracking.store import names
from tracking.store.store import open_store


def run(options: Namespace) -> int:
    """Bring MLflow up to date, then write everything into one new file."""
    path = options.store / names.LEDGER
    with open_study(options.store, options.study):
        pass  # or its name is wrong, and nothing is created for it
    with lock.hold(path, options.study, "packed"), contextlib.closing(Ledger(path)) as ledger:
        if problem := _deliver(ledger, options.store, options.study):
            print(f"retrial: pack: {problem}; nothing was written", file=sys.stderr)
            return 1
        with open_store(options.store) as store:
            manifest = pack(store, ledger, options.study, options.file)
    counts = ", ".join(plural(count, noun[:-1]) for noun, count in manifest.counts.items())
    print(
        f"{options.study}: {counts} in {options.file} "
        f"({shown_bytes(options.file.stat().st_size)})\n"
        f"there: retrial unpack {options.file.name} --store DIR"
    )
    return 0


def _deliver(ledger: Ledger, store: Path, study: str) -> str | None:
    """Deliver what MLflow lacks of the finished trials; return what keeps it from being done."""
    unfinished = [trial for trial in ledger.trials(study) if trial.state == "running"]
    lacking = ledger.trials(study, unrecorded=True)
    if all(trial.state == "running" for trial in lacking):
        return None
    record = ledger.study(study)
    assert record is not None
    recorder = Recorder(ledger.path, store, study, record.environment)
    recorder.start()
    recorder.opened()
    recorder.finish("stopped" if unfinished else "finished")
    return recorder.problem
