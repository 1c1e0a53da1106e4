"""Re-running a recorded trial, with today's code or with the code recorded with it."""
