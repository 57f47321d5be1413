"""What the process tells the people who run it."""
