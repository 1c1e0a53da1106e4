"""A study as one file, to be moved to another store; docs/pack.md describes the file.

`packing` has what the commands call, `archive` the file itself, `ledger_copy` the ledger's share,
`export` and `restore` that of MLflow.
"""
