"""How often one client may do what costs others something: a guess, an account, a mail."""

from typing import Final

from restwell.rate_limits import Rate

SIGN_IN: Final = Rate("sign_in", 30, seconds=60)
REGISTRATION: Final = Rate("registration", 30, seconds=60)
CODES: Final = Rate("codes", 10, seconds=60)
"""Mails with a code, and tries of one."""
EVENTS: Final = Rate("payment_events", 3_000, seconds=60)
"""All of them come from the gateway."""
