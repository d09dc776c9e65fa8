"""One file per question, found by itself: each defines `EXPERIMENT`."""
