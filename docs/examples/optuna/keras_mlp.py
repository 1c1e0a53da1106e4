"""`docs/examples/keras_mlp.py` with Optuna alone."""

import os

import optuna
from sklearn.datasets import load_digits

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras

X, y = load_digits(return_X_y=True)
X = X.astype("float32") / 16


def objective(trial):
    def report(epoch, logs):
        trial.report(logs["val_accuracy"], epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    width = trial.suggest_int("width", 16, 128, log=True)
    layers = [keras.layers.Dense(width, "relu"), keras.layers.Dense(10, "softmax")]
    net = keras.Sequential([keras.Input((64,)), *layers])
    optimizer = keras.optimizers.Adam(trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True))
    net.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    callback = keras.callbacks.LambdaCallback(on_epoch_end=report)
    validation = (X[1437:], y[1437:])
    history = net.fit(X[:1437], y[:1437], 64, 5, 0, [callback], validation_data=validation)
    net.save(f"model-{trial.number}.keras")
    return history.history["val_accuracy"][-1]


study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
study.optimize(objective, n_trials=6)
print(study.best_trial)
