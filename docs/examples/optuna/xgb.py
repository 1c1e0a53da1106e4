"""`docs/examples/xgb.py` with Optuna alone."""

import optuna
import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

X, y = load_breast_cancer(return_X_y=True)
Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.25, random_state=0)
train, valid = xgboost.DMatrix(Xt, yt), xgboost.DMatrix(Xv, yv)
FIXED = {"objective": "binary:logistic", "nthread": 1}


def objective(trial):
    eta = trial.suggest_float("eta", 0.01, 1, log=True)
    max_depth = trial.suggest_int("max_depth", 1, 8)
    chosen = {"seed": trial.number, "eta": eta, "max_depth": max_depth}
    booster = xgboost.Booster(FIXED | chosen, [train, valid])
    for number in range(30):
        booster.update(train, number)
        loss = log_loss(yv, booster.predict(valid))
        trial.report(loss, number)
        if trial.should_prune():
            raise optuna.TrialPruned
    booster.save_model(f"model-{trial.number}.json")
    return loss


study = optuna.create_study(direction="minimize", pruner=optuna.pruners.MedianPruner())
study.optimize(objective, n_trials=12)
print(study.best_trial)
