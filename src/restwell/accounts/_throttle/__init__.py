"""Exponential backoff of failed attempts to sign in."""
