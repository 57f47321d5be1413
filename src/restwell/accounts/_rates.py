"""Rate limits of routes that check a password, create an account, send an email or receive webhooks."""

from typing import Final

from restwell.rate_limits import Rate

SIGN_IN: Final = Rate("sign_in", 30, seconds=60)
REGISTRATION: Final = Rate("registration", 30, seconds=60)
INVITATIONS: Final = Rate("invitations", 30, seconds=60)
EMAIL_CODES: Final = Rate("codes", 10, seconds=60)
"""Requests for an email code, and attempts to use one."""
