"""Where a result comes from: machine, versions, source code."""
