"""PyTorch: a small convolutional network with a schedule of learning rates."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import studies

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


def objective(trial, channels, learning_rate, weight_decay=1e-2, epochs=6):
    net = Net(channels)
    optimizer = torch.optim.AdamW(net.parameters(), learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in trial.epochs(epochs, net, optimizer, schedule):
        net.train()
        for rows in torch.randperm(len(Xt)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(Xt[rows]), yt[rows]).backward()
            optimizer.step()
        schedule.step()
        net.eval()
        with torch.no_grad():
            trial.report(accuracy=(net(Xv).argmax(1) == yv).float().mean())
    trial.save_model(net, example=Xv[:4])


space = {
    "channels": studies.Integer(4, 32, log=True),
    "learning_rate": studies.Float(1e-4, 1e-1, log=True),
}
study = studies.Study(objective, space, metric="accuracy", trials=8, pruner="median")
study.search(jobs=2)
print(study.best)
