"""No library at all: the lowest point of a curved valley, Rosenbrock's function."""

import studies


def objective(x, y):
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


space = {"x": studies.Float(-2, 2), "y": studies.Float(-1, 3)}
study = studies.Study(objective, space, metric="height", direction="minimize", trials=60)
study.search(jobs=2)
print(study.best)
