"""Studies and trials as MLflow runs: writing them, reading them back, comparing a reproduction with the record."""
