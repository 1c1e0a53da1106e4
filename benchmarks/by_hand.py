"""What a user would write by hand: Optuna and MLflow's fluent interface, two processes.

``python -m benchmarks.by_hand digits``, ``svc`` or ``mlp``, in the folder of its two databases. The
trainings are those of the project's study. Each trial records its parameters, the metrics of every
epoch, a figure of its curves and, where the study does, its model.
"""

from __future__ import annotations

import multiprocessing
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mlflow
import numpy as np
import optuna

TRIALS = {"digits": 20, "svc": 10, "mlp": 12}
RESOURCES = {"digits": (2, 20), "svc": (1, 1), "mlp": (1, 12)}
"""The fewest epochs that Hyperband gives a trial, and all."""
OPTUNA, MLFLOW = "sqlite:///optuna.db", "sqlite:///mlflow.db"


def digits(trial: optuna.Trial) -> float:
    """Train a network on the digits, with the settings of ``studies/digits.toml``."""
    from nets import Settings, data, objective
    from nets.threads import pinned

    searched = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-8, 1e-2, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6),
    }
    settings = Settings(
        data="digits", validation=360, hidden=(100, 50), epochs=20, batch_size=32,
        optimizer="adam", seed=trial.number, **searched,
    )  # fmt: skip
    curves: dict[str, list[float]] = {}

    def report(epoch) -> None:
        mlflow.log_metrics(epoch.metrics, step=epoch.number)
        for name, value in epoch.metrics.items():
            curves.setdefault(name, []).append(value)
        trial.report(epoch.metrics["val_accuracy"], epoch.number)
        if trial.should_prune():
            raise optuna.TrialPruned

    with mlflow.start_run(run_name=f"trial {trial.number}"):
        mlflow.log_params(searched)
        try:
            with pinned():
                outcome = objective(settings, data.load("digits", data.default_folder()), report)
        finally:
            figure, axes = plt.subplots()
            for name, values in curves.items():
                axes.plot(values, label=name)
            axes.legend()
            mlflow.log_figure(figure, "curves.png")
            plt.close(figure)
        weights = f"weights-{trial.number}.npz"
        np.savez(weights, **outcome.model.arrays)
        mlflow.log_artifact(weights)
    return curves["val_accuracy"][outcome.epoch - 1]


def svc(trial: optuna.Trial) -> float:
    """Cross-validate as ``docs/examples/svc.py`` does."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import cross_val_score
    from sklearn.svm import SVC

    X, y = load_digits(return_X_y=True)
    searched = {
        "C": trial.suggest_float("C", 1e-2, 1e3, log=True),
        "gamma": trial.suggest_float("gamma", 1e-5, 1e-1, log=True),
    }
    with mlflow.start_run(run_name=f"trial {trial.number}"):
        mlflow.log_params(searched)
        accuracy = float(cross_val_score(SVC(**searched), X, y, cv=3).mean())
        mlflow.log_metric("accuracy", accuracy, step=1)
        figure, axes = plt.subplots()
        axes.plot([accuracy], "o")
        mlflow.log_figure(figure, "curves.png")
        plt.close(figure)
    return accuracy


def mlp(trial: optuna.Trial) -> float:
    """Train a network of PyTorch as ``docs/examples/mlp.py`` does."""
    import torch
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from torch import nn

    torch.set_num_threads(1)
    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X.astype("float32") / 16, y, test_size=360, random_state=0)
    Xt, Xv, yt, yv = map(torch.tensor, parts)
    searched = {
        "width": trial.suggest_int("width", 16, 256, log=True),
        "dropout": trial.suggest_float("dropout", 0, 0.6),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
    }
    width = searched["width"]
    layers = [nn.Linear(64, width), nn.ReLU(), nn.Dropout(searched["dropout"])]
    net = nn.Sequential(*layers, nn.Linear(width, 10))
    optimizer = torch.optim.Adam(net.parameters(), searched["learning_rate"])
    curve: list[float] = []
    with mlflow.start_run(run_name=f"trial {trial.number}"):
        mlflow.log_params(searched)
        try:
            for epoch in range(1, RESOURCES["mlp"][1] + 1):
                net.train()
                for rows in torch.randperm(len(Xt)).split(32):
                    optimizer.zero_grad()
                    loss = nn.functional.cross_entropy(net(Xt[rows]), yt[rows])
                    loss.backward()
                    optimizer.step()
                net.eval()
                with torch.no_grad():
                    curve.append(float((net(Xv).argmax(1) == yv).float().mean()))
                mlflow.log_metrics({"accuracy": curve[-1], "loss": float(loss)}, step=epoch)
                trial.report(curve[-1], epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
        finally:
            figure, axes = plt.subplots()
            axes.plot(curve)
            mlflow.log_figure(figure, "curves.png")
            plt.close(figure)
        weights = f"weights-{trial.number}.pt"
        torch.save(net.state_dict(), weights)
        mlflow.log_artifact(weights)
    return curve[-1]


def search(kind: str, trials: int, number: int) -> None:
    """Search in one of the processes."""
    mlflow.set_tracking_uri(MLFLOW)
    mlflow.set_experiment(kind)
    study = optuna.load_study(
        study_name=kind, storage=OPTUNA,
        sampler=optuna.samplers.TPESampler(seed=number),
        pruner=optuna.pruners.HyperbandPruner(*RESOURCES[kind]),
    )  # fmt: skip
    study.optimize({"digits": digits, "svc": svc, "mlp": mlp}[kind], n_trials=trials)


def searched(kind: str) -> None:
    """Search with two processes, then draw the figures of the study."""
    mlflow.set_tracking_uri(MLFLOW)
    mlflow.set_experiment(kind)  # creates the database, once
    study = optuna.create_study(study_name=kind, storage=OPTUNA, direction="maximize")
    each = TRIALS[kind] // 2
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=search, args=(kind, each, n)) for n in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(study.best_trial.value)


if __name__ == "__main__":
    searched(sys.argv[1])
