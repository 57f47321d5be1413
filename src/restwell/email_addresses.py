"""Email addresses: a strict parser and a canonical form. Needs the extra ``mail``."""

from restwell._email_addresses import EmailAddress
from restwell._extras import needs_extra

with needs_extra("mail", __name__):
    EmailAddress.preload()

__all__ = ["EmailAddress"]
