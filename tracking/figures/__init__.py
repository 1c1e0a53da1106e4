"""Figures of the record, drawn without pyplot: no global state, so any thread may draw."""
