"""Identities: the accounts that users have elsewhere, and sign in with here."""
