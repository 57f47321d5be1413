"""Password resets by email code."""
