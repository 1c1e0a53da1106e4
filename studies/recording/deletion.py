"""Remove a study: from MLflow, from Optuna's storage, and last from the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from studies.recording import optuna_storage
from tracking.ledger import Ledger, lock
from tracking.ledger.copy import size_of
from tracking.maintenance import deletion
from tracking.store import names
from tracking.store.errors import StoreUnavailable, StudyNotFound
from tracking.store.store import Store, open_store


@dataclass(frozen=True)
class Found:
    """What a store has of a study: rows of the ledger by table and their size, MLflow, Optuna."""

    study: str
    rows: dict[str, int]
    size: int
    holdings: deletion.Holdings
    optuna_trials: int | None
    ledger: Ledger
    store: Store
    storage: str

    def remove(self) -> bool:
        """Remove everything; return whether it is gone for good, which a server decides.

        The ledger comes last, so that an interrupted removal can be repeated.
        """
        for_good = deletion.remove(self.store, self.holdings)
        optuna_storage.remove(self.storage, self.study)
        self.ledger.remove_study(self.study)
        return for_good


@contextmanager
def found(root: Path, study: str) -> Iterator[Found]:
    """Return what a store has of a study, and hold the study's lock.

    Raises StoreUnavailable, StudyNotFound, or StudyLocked.
    """
    path = root / names.LEDGER
    if not path.is_file():
        raise StoreUnavailable.without_studies(root)
    with (
        lock.hold(path, study, "deleted"),
        Ledger(path) as ledger,
        open_store(root) as store,
    ):
        holdings = deletion.survey(store, study)
        stored = ledger.study(study)
        section = {} if stored is None else stored.definition.get("study", {})
        url = str(section.get("storage") or names.optuna_uri(store.root))
        trials = optuna_storage.trials_in(url, study)
        has_record = bool(holdings.runs) or (holdings.experiment_id and not holdings.foreign)
        if stored is None and not has_record and trials is None:
            raise StudyNotFound.among(study, ledger.study_names(), root)
        rows, size = size_of(ledger, study)
        yield Found(study, rows, size, holdings, trials, ledger, store, url)
