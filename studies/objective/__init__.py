"""A user's objective: its settings, its trial, its state and its model."""
