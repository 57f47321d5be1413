"""Invitations: admins choose who may create an account, and with which role."""
