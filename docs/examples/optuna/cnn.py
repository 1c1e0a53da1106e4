"""`docs/examples/cnn.py` with Optuna alone: nothing is resumed."""

import optuna
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

X, y = load_digits(return_X_y=True)
X = X.reshape(-1, 1, 8, 8).astype("float32") / 16
Xt, Xv, yt, yv = map(torch.tensor, train_test_split(X, y, test_size=360, random_state=0))


class Net(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.convolution = nn.Conv2d(1, channels, 3, padding=1)
        self.normalization = nn.BatchNorm2d(channels)
        self.classes = nn.Linear(channels * 16, 10)

    def forward(self, x):
        x = nn.functional.relu(self.normalization(self.convolution(x)))
        return self.classes(nn.functional.max_pool2d(x, 2).flatten(1))


def objective(trial):
    net = Net(trial.suggest_int("channels", 4, 32, log=True))
    learning_rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    optimizer = torch.optim.AdamW(net.parameters(), learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
    for epoch in range(1, 7):
        net.train()
        for rows in torch.randperm(len(Xt)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(Xt[rows]), yt[rows]).backward()
            optimizer.step()
        schedule.step()
        net.eval()
        with torch.no_grad():
            accuracy = (net(Xv).argmax(1) == yv).float().mean().item()
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    exported = torch.export.export(net, (Xv[:4],), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    torch.export.save(exported, f"model-{trial.number}.pt2")
    return accuracy


study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
study.optimize(objective, n_trials=8)
print(study.best_trial)
