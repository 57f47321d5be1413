"""Personal API keys: long-lived bearer tokens that act as their user, within scopes."""
