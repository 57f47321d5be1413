"""Sessions: token refresh and sign-out. One session per device."""
