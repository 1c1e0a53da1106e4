"""Copies what proves docs/results.md out of a store, and compares a winner with another trial.

    python -m benchmarks.results STUDY [--store STORE] [--to FOLDER] [--onnx]
    python -m benchmarks.results STUDY [--store STORE] --against TRIAL

The first writes a confirmed study into FOLDER/STUDY: its definition, settings and epochs of the
champion, the confirmation, the certificates of the best trial and the champion where `reproduce`
has written them, the champion's weights, and the pictures. The second trains the
settings of another trial, such as one chosen by hand, under the seeds that the confirmed winner was
repeated with, and prints the difference of the means with its 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
from joblib import cpu_count

from nets.files import write_new
from nets.model_source import restore
from studies.analysis.stored_study import open_study
from studies.confirmation.batch import train_all
from studies.confirmation.intervals import difference_of, mean_of
from studies.display.suggestions import default_data
from studies.search.session import Session, load_datasets
from tracking.models import registry
from tracking.models.onnx import to_onnx
from tracking.runs.reader import find_trial, open_with_trials, read_model, study_run
from tracking.store import names
from tracking.store.client import files_of
from tracking.store.store import Store

OF_CHAMPION = (
    names.SETTINGS_FILE, names.EPOCHS_FILE, names.CONFIRMATION_FILE, names.CERTIFICATE_FILE,
    "figures/misclassified.png", "figures/comparison.png",
)  # fmt: skip
OF_STUDY = (names.STUDY_FILE, "figures/optimization_history.png")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study")
    parser.add_argument("--store", type=Path, default=Path("mlruns"))
    parser.add_argument("--to", type=Path, default=Path("docs/results"))
    parser.add_argument("--onnx", action="store_true", help="the champion as ONNX too")
    parser.add_argument("--against", type=int, metavar="TRIAL")
    parser.add_argument("--data", type=Path, default=default_data())
    options = parser.parse_args(arguments)
    if options.against is not None:
        compare(options.store, options.study, options.against, options.data)
        return
    folder = options.to / options.study
    folder.mkdir(parents=True, exist_ok=True)
    with open_with_trials(options.store) as store:
        copy(store, options.study, folder, onnx=options.onnx)


def copy(store: Store, study: str, folder: Path, *, onnx: bool) -> None:
    """Write the files of a confirmed study; those that exist are replaced."""
    champion = find_trial(store, None, registry.run_of(store, f"{study}@{names.CHAMPION}"))
    best = find_trial(store, study, "best")
    parent = study_run(store, study).info.run_id
    wanted = [(champion.run_id, path, Path(path).name) for path in OF_CHAMPION]
    wanted += [(parent, path, Path(path).name) for path in OF_STUDY]
    wanted += [(best.run_id, names.CERTIFICATE_FILE, "best_trial_certificate.json")]
    for run_id, path, name in wanted:
        content = read(store, run_id, path)
        if content is None:
            print(f"  {study}: run {run_id} has no {path}")
        else:
            (folder / name).write_bytes(
                without_place(content) if "certificate" in name else content
            )
    arrays = read_model(store, champion)
    np.savez_compressed(folder / "weights.npz", **arrays)
    if onnx:
        network, full_scale, _ = restore(arrays)
        (folder / "champion.onnx").unlink(missing_ok=True)
        tags = {names.STUDY_TAG: study, names.WEIGHTS_TAG: network.digest()}
        write_new(folder / "champion.onnx", to_onnx(network, full_scale, tags), "results")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"  {study}: {len(list(folder.iterdir()))} files, {size / 1e6:.2f} MB in {folder}")


def without_place(certificate: bytes) -> bytes:
    """Return a certificate without what names the machine and its user, and without the diff."""
    values = json.loads(certificate)
    environment = values["environment"]
    for key in ("command", "user", "host"):
        environment.pop(key, None)
    environment.get("git", {}).pop("diff", None)
    return (json.dumps(values, indent=1) + "\n").encode()


def read(store: Store, run_id: str, path: str) -> bytes | None:
    """Return an artifact of a run, or None if it has none at this path."""
    files = files_of(store, store.client.get_run(run_id))
    return files.read(path) if files.has(path) else None


def compare(store: Path, study: str, number: int, data: Path | None) -> None:
    """Train another trial's settings under the seeds of the winner's repetitions; print both."""
    with open_study(store, study, to_train=True) as stored:
        confirmation = stored.confirmation
        assert confirmation is not None
        repetitions = confirmation.candidate(confirmation.winner).repetitions
        other = next(trial for trial in stored.trials if trial.number == number)
        datasets = load_datasets(stored.study.data_names, data)
        session = Session.prepare(stored.study, datasets, stored.record.notes.pinned)
        os.environ.update(session.pinned)  # for the processes that train
        jobs = [
            session.job(number, {**other.settings, "seed": again.seed}) for again in repetitions
        ]
        values = [trained.end.outcome.value for trained in train_all(jobs, cpu_count())]
    ours = [again.value for again in repetitions if again.value is not None]
    theirs = [value for value in values if value is not None]
    for name, found in {"winner": ours, f"trial {number}": theirs}.items():
        print(f"  {name}: {mean_of(found).rounded(5)}  {json.dumps(sorted(found))}")
    print(f"  difference: {difference_of(ours, theirs).rounded(5)}")


if __name__ == "__main__":
    main()
