"""Test support: the production app in process, signed-in clients, checks of access, a mailbox and an identity
provider.

Needs the extra ``testing``, and no test framework. The provider needs the extra ``auth`` too, and is imported on first
use.
"""

from typing import TYPE_CHECKING, Any

from restwell._extras import needs_extra
from restwell.testing._access import Caller, access_table, check_access
from restwell.testing._api_client import ApiClient
from restwell.testing._mail_box import MailBox, ReceivedMail, find_code
from restwell.testing._ownership import check_ownership
from restwell.testing._running import BASE_URL, finish_jobs, running

if TYPE_CHECKING:
    from restwell.testing._openid_provider import OpenIdProvider

__all__ = [
    "BASE_URL",
    "ApiClient",
    "Caller",
    "MailBox",
    "OpenIdProvider",
    "ReceivedMail",
    "access_table",
    "check_access",
    "check_ownership",
    "find_code",
    "finish_jobs",
    "running",
]


def __getattr__(name: str) -> Any:
    if name != "OpenIdProvider":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needs_extra("auth", f"{__name__}.{name}"):
        from restwell.testing._openid_provider import OpenIdProvider  # noqa: PLC0415  # needs another extra
    return OpenIdProvider
