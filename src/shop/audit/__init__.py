"""The audit log: what happened to accounts, who did it, and nothing that anybody can change later."""
