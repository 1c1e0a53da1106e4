"""`docs/examples/sgd.py` with Optuna alone: nothing is resumed."""

import numpy as np
import optuna
import skops.io
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

X, y = load_digits(return_X_y=True)


def objective(trial):
    alpha = trial.suggest_float("alpha", 1e-6, 1e-1, log=True)
    eta0 = trial.suggest_float("eta0", 1e-3, 1, log=True)
    model = SGDClassifier(alpha=alpha, eta0=eta0, learning_rate="adaptive")
    for epoch in range(1, 11):
        order = np.random.permutation(1200)
        model.partial_fit(X[order], y[order], classes=range(10))
        accuracy = model.score(X[1200:], y[1200:])
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    skops.io.dump(model, f"model-{trial.number}.skops")
    return accuracy


study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
study.optimize(objective, n_trials=12)
print(study.best_trial)
