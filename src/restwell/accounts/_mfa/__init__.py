"""Multi-factor authentication with TOTP (RFC 6238) and recovery codes."""
