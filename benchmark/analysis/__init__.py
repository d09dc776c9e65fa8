"""What a function is by itself: its shape, its moments, the cost of its graph."""
