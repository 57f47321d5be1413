"""Email verification: an address is verified with a code that is sent to it."""
