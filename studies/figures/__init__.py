"""The figures of a study, drawn from the ledger: `drawing` has the list of them.

They are our own. Optuna's (`optuna.visualization.matplotlib`) go through pyplot, whose style they
change for the whole process; and they keep linear axes for values, on which all good trials look
alike.
"""
