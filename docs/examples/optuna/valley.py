"""`docs/examples/valley.py` with Optuna alone."""

import optuna


def objective(trial):
    x, y = trial.suggest_float("x", -2, 2), trial.suggest_float("y", -1, 3)
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


study = optuna.create_study(direction="minimize")
study.optimize(objective, n_trials=60)
print(study.best_trial)
