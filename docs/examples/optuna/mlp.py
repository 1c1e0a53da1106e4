"""`docs/examples/mlp.py` with Optuna alone: nothing is resumed."""

import optuna
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

X, y = load_digits(return_X_y=True)
X = X.astype("float32") / 16
Xt, Xv, yt, yv = map(torch.tensor, train_test_split(X, y, test_size=360, random_state=0))


def objective(trial):
    width = trial.suggest_int("width", 16, 256, log=True)
    dropout = trial.suggest_float("dropout", 0, 0.6)
    learning_rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10))
    optimizer = torch.optim.Adam(net.parameters(), learning_rate)
    for epoch in range(1, 13):
        net.train()
        for rows in torch.randperm(len(Xt)).split(32):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(Xt[rows]), yt[rows])
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            accuracy = (net(Xv).argmax(1) == yv).float().mean().item()
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    exported = torch.export.export(net, (Xv[:4],), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    torch.export.save(exported, f"model-{trial.number}.pt2")
    return accuracy


study = optuna.create_study(direction="maximize", pruner=optuna.pruners.HyperbandPruner())
study.optimize(objective, n_trials=12)
print(study.best_trial)
