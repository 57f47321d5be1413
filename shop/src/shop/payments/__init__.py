"""Payments through an external gateway, each charged at most once."""
