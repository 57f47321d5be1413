"""Linked identities: accounts at OAuth and OpenID Connect providers that sign in to a user's account."""
