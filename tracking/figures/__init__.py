"""Figures of runs and models. `style` has what all figures share, those of a study too."""
