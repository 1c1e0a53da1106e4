"""`docs/examples/boosting.py` with Optuna alone: nothing is confirmed, and nothing resumed."""

import lightgbm
import optuna
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=100, random_state=0)
Xt, Xv, yt, yv = train_test_split(X, y, test_size=120, random_state=1)
FIXED = {"objective": "binary", "num_threads": 1, "deterministic": True, "verbosity": -1}


def objective(trial):
    def report(env):
        trial.report(env.evaluation_result_list[0][2], env.iteration)
        if trial.should_prune():
            raise optuna.TrialPruned

    chosen = {
        "seed": trial.number,
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 0.5, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 64, log=True),
    }
    train, valid = lightgbm.Dataset(Xt, yt), lightgbm.Dataset(Xv, yv)
    booster = lightgbm.train(FIXED | chosen, train, 40, [valid], callbacks=[report])
    booster.save_model(f"model-{trial.number}.txt")
    trial.set_user_attr("model", f"model-{trial.number}.txt")
    return booster.best_score["valid_0"]["binary_logloss"]


def test(model):
    return {"accuracy": ((model.predict(X_test) > 0.5) == y_test).mean()}


study = optuna.create_study(direction="minimize", pruner=optuna.pruners.MedianPruner())
study.optimize(objective, n_trials=12)
print(study.best_trial)
print(test(lightgbm.Booster(model_file=study.best_trial.user_attrs["model"])))
