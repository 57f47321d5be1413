"""Test support: the production app in process, signed-in clients, checks of access, a mailbox and an identity
provider.

Needs the extra ``testing``, and no test framework. The provider needs the extra ``auth`` too, and the contract tests
the extra ``contract``; both are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from restwell._extras import needs_extra
from restwell.testing._access import Caller, access_table, check_access
from restwell.testing._api_client import ApiClient
from restwell.testing._mail_box import MailBox, ReceivedMail, find_code
from restwell.testing._ownership import check_ownership
from restwell.testing._running import BASE_URL, finish_jobs, running

if TYPE_CHECKING:
    from restwell.testing._contract import ContractReport, contract_tests
    from restwell.testing._openid_provider import OpenIdProvider

__all__ = [
    "BASE_URL",
    "ApiClient",
    "Caller",
    "ContractReport",
    "MailBox",
    "OpenIdProvider",
    "ReceivedMail",
    "access_table",
    "check_access",
    "check_ownership",
    "contract_tests",
    "find_code",
    "finish_jobs",
    "running",
]


_EXTRAS: Final = {
    "ContractReport": ("contract", "restwell.testing._contract"),
    "OpenIdProvider": ("auth", "restwell.testing._openid_provider"),
    "contract_tests": ("contract", "restwell.testing._contract"),
}


def __getattr__(name: str) -> Any:
    if name not in _EXTRAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    extra, module = _EXTRAS[name]
    with needs_extra(extra, f"{__name__}.{name}"):
        return getattr(import_module(module), name)
