"""Password resets: for who has forgotten, and nobody else."""
