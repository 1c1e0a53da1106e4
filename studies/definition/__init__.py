"""A study as data: its file, search space, sampler and pruner."""
