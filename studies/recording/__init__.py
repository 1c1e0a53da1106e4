"""What a search writes in addition to the ledger: MLflow's record and Optuna's storage."""
