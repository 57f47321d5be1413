"""Exports: all that is kept of somebody, for them to take away."""
