"""The ledger: one SQLite database that holds every epoch and outcome, and the study locks."""

from tracking.ledger.access import Ledger as Ledger
