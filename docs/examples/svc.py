"""scikit-learn: an ordinary function of two numbers, with cross-validation."""

from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC

import studies

X, y = load_digits(return_X_y=True)


def objective(C, gamma):
    return cross_val_score(SVC(C=C, gamma=gamma), X, y, cv=3).mean()


space = {"C": studies.Float(1e-2, 1e3, log=True), "gamma": studies.Float(1e-5, 1e-1, log=True)}
study = studies.Study(objective, space, metric="accuracy", trials=10)
study.search(jobs=2)
print(study.best)
