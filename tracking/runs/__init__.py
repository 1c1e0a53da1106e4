"""Studies and trials as MLflow runs: writing them, reading them back, judging a repetition."""
