"""Studies and trials as MLflow runs: writing, reading, and comparing a reproduction."""
