"""The figures of a study, drawn from the ledger: `drawing` has the list of them.

Optuna's own (`optuna.visualization.matplotlib`) are not used: they draw through pyplot, whose style
they change for the whole process, and on linear axes, on which all good trials look alike.
The style is that of all figures, see `tracking.figures.style`.
"""
