"""OAuth clients: programs that authenticate with client credentials and have scopes."""
