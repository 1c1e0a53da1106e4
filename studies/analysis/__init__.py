"""What a finished study tells: its stored trials, importances, other pruners."""
