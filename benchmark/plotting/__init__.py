"""DataFrames in, figures out."""
