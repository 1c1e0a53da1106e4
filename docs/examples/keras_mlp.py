"""Keras, here with PyTorch under it: a callback reports each epoch."""

import os

from sklearn.datasets import load_digits

import studies

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras

X, y = load_digits(return_X_y=True)
X = X.astype("float32") / 16


def objective(trial, width, learning_rate, epochs=5):
    layers = [keras.layers.Dense(width, "relu"), keras.layers.Dense(10, "softmax")]
    net = keras.Sequential([keras.Input((64,)), *layers])
    optimizer = keras.optimizers.Adam(learning_rate)
    net.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    report = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: trial.report(logs))
    validation = (X[1437:], y[1437:])
    net.fit(X[:1437], y[:1437], 64, epochs, 0, [report], validation_data=validation)
    trial.save_model(net, example=X[:2])


space = {
    "width": studies.Integer(16, 128, log=True),
    "learning_rate": studies.Float(1e-4, 1e-1, log=True),
}
study = studies.Study(objective, space, metric="val_accuracy", trials=6, pruner="median")
study.search(jobs=2)
print(study.best)
