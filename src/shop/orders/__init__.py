"""Orders: what was bought, at which price, and what became of it."""
