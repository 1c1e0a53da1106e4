"""The ledger: one SQLite database that holds every epoch and outcome, and the study locks."""
