"""Users, their roles and their administration."""
