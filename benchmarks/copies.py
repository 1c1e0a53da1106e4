"""Copy trained trials from one ledger into another, as a search would write them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nets.state import PackedModel
from tracking.ledger import Ledger
from tracking.records import StudyRecord, TrialOutcome, TrialRecord

RETRIAL = str(Path(sys.prefix) / "bin" / "retrial")
STUDY = "digits"


def train(folder: Path, trials: int) -> None:
    """Search the digits with a ledger in a folder, without MLflow."""
    subprocess.run(
        [RETRIAL, "search", STUDY, "--trials", str(trials), "--store", str(folder), "--no-record"],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def copy_study(source: Ledger, ledger: Ledger, name: str, trials: int) -> StudyRecord:
    """Add a study of another ledger, set to a number of trials, but without trials."""
    study = source.study(name)
    assert study is not None
    section = {**study.definition["study"], "trials": trials}
    ledger.add_study(name, {**study.definition, "study": section}, study.environment)
    return study


def copy_trial(source: Ledger, ledger: Ledger, original: TrialRecord, number: int) -> Iterator[str]:
    """Write a trial step by step; yield "started", "trained" (all epochs), then "finished"."""
    study = original.study
    ledger.add_trial(replace(original, number=number, state="running", outcome=TrialOutcome()))
    ledger.start_attempt(study, number)
    yield "started"
    for epoch in source.epochs(study, original.number):
        ledger.add_epoch(study, number, epoch)
    yield "trained"
    model = source.model(study, original.number)
    packed = None if model is None else PackedModel.of(model)
    ledger.finish_trial(study, number, original.state, original.outcome, packed)
    yield "finished"
