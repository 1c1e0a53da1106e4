"""Maintenance of a store: garbage collection, deletion, packing a study into one file."""
