"""The audit log: append-only security events of accounts."""
