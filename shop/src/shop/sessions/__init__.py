"""Sessions: sign-in, token refresh and sign-out. One session per device."""
