"""A confirmation as text, as a figure and as an MLflow run."""
