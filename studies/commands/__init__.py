"""One module a command of ``retrial``; each has ``run(options) -> exit code``."""
