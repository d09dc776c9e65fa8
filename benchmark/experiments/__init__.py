"""The theory, measured: one file per question in `studies`."""
