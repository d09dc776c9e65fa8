"""The networks and the fast layers."""
