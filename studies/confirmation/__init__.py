"""Which trial is really best: the top trials re-run under fresh seeds, then the test set once."""
