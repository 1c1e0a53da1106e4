"""LightGBM: a callback reports each round, and a test function judges the confirmed champion."""

import lightgbm
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import studies

X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=100, random_state=0)
Xt, Xv, yt, yv = train_test_split(X, y, test_size=120, random_state=1)
FIXED = {"objective": "binary", "num_threads": 1, "deterministic": True, "verbosity": -1}


def objective(trial, learning_rate, num_leaves, rounds=40):
    def report(env):
        trial.report({name: value for _, name, value, _ in env.evaluation_result_list})

    chosen = {"seed": trial.seed, "learning_rate": learning_rate, "num_leaves": num_leaves}
    train, valid = lightgbm.Dataset(Xt, yt), lightgbm.Dataset(Xv, yv)
    booster = lightgbm.train(FIXED | chosen, train, rounds, [valid], callbacks=[report])
    trial.save_model(booster, example=Xv[:2])


def test(model):
    return {"accuracy": (int(((model.predict(X_test) > 0.5) == y_test).sum()), len(y_test))}


space = {
    "learning_rate": studies.Float(1e-3, 0.5, log=True),
    "num_leaves": studies.Integer(4, 64, log=True),
}
study = studies.Study(
    objective, space, metric="binary_logloss", trials=12, pruner="median", test=test
)
study.search(jobs=2)
print(study.best)
