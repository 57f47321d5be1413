"""Second factors: the code of an authenticator app beside the password."""
