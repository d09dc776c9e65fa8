"""Pure functions: intervals, tests, summaries, paired comparisons."""
