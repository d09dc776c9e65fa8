"""Runs and experiments carried out: what is missing, workers, progress."""
