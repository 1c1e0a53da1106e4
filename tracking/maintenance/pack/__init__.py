"""A study as one file that can be moved to another store; docs/pack.md describes the file.

`packing` has the functions of the commands, `archive` reads and writes the file, and `export` and
`restore` handle MLflow's part; `tracking.ledger.copy` handles the ledger's part.
"""
