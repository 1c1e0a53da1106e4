"""The typed values that are stored."""
