"""Passwords: registration, sign-in, change and reset by email code."""
