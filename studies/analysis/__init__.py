"""Analysis of stored studies: trials, parameter importances, replays with other pruners."""
