"""Datasets: found or downloaded, verified, split."""
