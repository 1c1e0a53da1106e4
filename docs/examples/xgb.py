"""XGBoost: a loop of its own reports each round."""

import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import studies

X, y = load_breast_cancer(return_X_y=True)
Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.25, random_state=0)
train, valid = xgboost.DMatrix(Xt, yt), xgboost.DMatrix(Xv, yv)
FIXED = {"objective": "binary:logistic", "nthread": 1}


def objective(trial, eta, max_depth, rounds=30):
    chosen = {"seed": trial.seed, "eta": eta, "max_depth": max_depth}
    booster = xgboost.Booster(FIXED | chosen, [train, valid])
    for number in range(rounds):
        booster.update(train, number)
        trial.report(log_loss=log_loss(yv, booster.predict(valid)))
    trial.save_model(booster, example=Xv[:2])


space = {"eta": studies.Float(0.01, 1, log=True), "max_depth": studies.Integer(1, 8)}
study = studies.Study(objective, space, metric="log_loss", trials=12, pruner="median")
study.search(jobs=2)
print(study.best)
