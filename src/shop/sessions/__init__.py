"""Sessions: one for each device that is signed in."""
