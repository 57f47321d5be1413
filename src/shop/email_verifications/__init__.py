"""Email confirmations: an address is an account's when a code that was sent there has come back."""
