"""Objectives in the simple form: ordinary functions, whose parameters are their settings."""
# ruff: noqa: NPY002 - the global generators are what users call

import random
import threading

import numpy as np
import optuna

from studies.objective.trial import Pruned


def pure(x=0.0):
    return (x - 0.3) ** 2


def required(C, gamma=0.1):
    return C * gamma


def several(x=0.0):
    return {"loss": x, "other": np.float32(2 * x)}


def nothing(x=0.0):
    pass


def text(x=0.0):
    return "text"


def drawn(trial, seed, x=0.0, epochs=4):
    for _ in trial.epochs(epochs):
        trial.report(loss=random.random(), normal=np.random.normal(), seed=seed)


def walk(trial, x=0.0, epochs=6):
    """Walk from x, with a state of every kind, and a file and the best value so far."""
    offset = np.random.normal()
    place, values, generator = {"at": x, 0: (1, b"2")}, [], np.random.default_rng(trial.seed)
    for epoch in trial.epochs(epochs, place, values, generator):
        place["at"] += offset + generator.normal() + np.random.normal()
        trial.report(loss=abs(place["at"]))
        values.append(abs(place["at"]))
        with (trial.folder / "path.txt").open("a") as file:
            file.write(f"{epoch} ")
    return min(values)


def callback(trial, x=0.0, rounds=5):
    """Report from a loop of one's own, as a library's callback does, with a state of one's own."""
    offset = np.random.normal()
    state = trial.resumed or {"round": 0, "sum": offset}
    for number in range(state["round"] + 1, rounds + 1):
        state = {"round": number, "sum": state["sum"] + np.random.normal()}
        trial.report({"loss": state["sum"]}, state=state)


def pruned(trial, x=0.0):
    trial.report(loss=1.0)
    (trial.folder / "kept.txt").write_text("kept")
    raise Pruned


def pruned_by_optuna(trial, x=0.0, epochs=3):
    for epoch in trial.epochs(epochs):
        trial.report(loss=epoch)
        if epoch == 2:
            raise optuna.TrialPruned


def pruned_early(trial, x=0.0):
    raise Pruned


def best(trial, x=0.0, epochs=4):
    for epoch in trial.epochs(epochs):
        trial.report(loss=abs(epoch - 2))
    return 0


def other(trial, x=0.0, epochs=2):
    for _ in trial.epochs(epochs):
        trial.report(loss=1.0)
    return 2.0


def both(trial, x=0.0):
    trial.report(loss=1.0)
    return {"loss": 1.0}


def broken_off(trial, x=0.0, epochs=9):
    for epoch in trial.epochs(epochs):
        trial.report(loss=epoch)
        if epoch == 3:
            break


def twice(trial, x=0.0, epochs=2):
    for _ in trial.epochs(epochs):
        trial.report(loss=x)
        trial.report(loss=x)


def merged(trial, x=0.0, epochs=2):
    for _ in trial.epochs(epochs):
        trial.report(loss=x)
        trial.report(other=x)


def unreported(trial, x=0.0, epochs=2):
    for _ in trial.epochs(epochs):
        pass


def bad_state(trial, x=0.0, epochs=2):
    for _ in trial.epochs(epochs, {"set": {1, 2}}):
        trial.report(loss=x)


def bad_object(trial, x=0.0, epochs=2):
    for _ in trial.epochs(epochs, object()):
        trial.report(loss=x)


def loops(trial, x=0.0, epochs=2):
    for _ in trial.epochs(epochs):
        trial.report(loss=x)
    for _ in trial.epochs(epochs):
        trial.report(loss=x)


def threaded(trial, x=0.0):
    errors = []

    def report():
        try:
            trial.report(loss=x)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=report)
    thread.start()
    thread.join()
    raise errors[0]


def too_large(trial, x=0.0):
    with (trial.folder / "large.bin").open("wb") as file:
        file.truncate(200_000_000)
    return x


def no_number(trial, x=0.0):
    trial.report(loss=[1.0, 2.0])


def no_metric(trial, x=0.0):
    trial.report()


def many(*args):
    return 0.0


def named(**options):
    return 0.0


def positional(x, /):
    return x


def annotated(x: "Absent"):  # noqa: F821
    return x


def generator(x=0.0):
    yield x


async def asynchronous(x=0.0):
    return x


class Kind:
    def __init__(self, x=0.0):
        pass


def typed(x: int = 1, kind: str = "a", widths: tuple[int, ...] = (1, 2)):
    return float(x)


def with_data(data, trial, x=0.0):
    trial.report(loss=len(data.images))


def reads_files(trial, x, epochs=2):
    """A function of files in the current folder."""
    data = trial.input("table.csv").read_text()
    trial.input("images")
    for _ in trial.epochs(epochs, {}):
        trial.report(loss=x + len(data))
