"""scikit-learn in epochs: an interrupted trial continues, and a pruner can end it early."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

import studies

X, y = load_digits(return_X_y=True)


def objective(trial, alpha, eta0, epochs=10):
    model = SGDClassifier(alpha=alpha, eta0=eta0, learning_rate="adaptive")
    for _ in trial.epochs(epochs, model):
        order = np.random.permutation(1200)
        model.partial_fit(X[order], y[order], classes=range(10))
        trial.report(accuracy=model.score(X[1200:], y[1200:]))
    trial.save_model(model, example=X[:2])


space = {"alpha": studies.Float(1e-6, 1e-1, log=True), "eta0": studies.Float(1e-3, 1, log=True)}
study = studies.Study(objective, space, metric="accuracy", trials=12, pruner="median")
study.search(jobs=2)
print(study.best)
