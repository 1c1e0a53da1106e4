"""PyTorch: a multilayer perceptron, whose trials resume exactly."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import studies

X, y = load_digits(return_X_y=True)
X = X.astype("float32") / 16
Xt, Xv, yt, yv = map(torch.tensor, train_test_split(X, y, test_size=360, random_state=0))


def objective(trial, width, dropout, learning_rate, batch_size=32, epochs=12):
    net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10))
    optimizer = torch.optim.Adam(net.parameters(), learning_rate)
    for _ in trial.epochs(epochs, net, optimizer):
        net.train()
        for rows in torch.randperm(len(Xt)).split(batch_size):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(Xt[rows]), yt[rows])
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            trial.report(accuracy=(net(Xv).argmax(1) == yv).float().mean(), loss=loss)
    trial.save_model(net, example=Xv[:4])


space = {
    "width": studies.Integer(16, 256, log=True),
    "dropout": studies.Float(0, 0.6),
    "learning_rate": studies.Float(1e-4, 1e-1, log=True),
}
study = studies.Study(objective, space, metric="accuracy", trials=12, pruner="hyperband")
study.search(jobs=2)
print(study.best)
