"""Studies from Python: the same definition, search and results as a study file and the commands."""
