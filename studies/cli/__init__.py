"""The command `retrial`: one module per command, with its arguments and its behaviour."""
