"""Payments: money that is moved once, by a gateway outside."""
