"""Keeping a store in order: garbage collection, deletion, packing a study into one file."""
