"""Test support: the production app in process, databases, signed-in clients, checks of access, a mailbox, an identity
provider, network faults and budgets of queries.

Needs the extra ``testing``. The fixtures of pytest are in ``restwell.testing.plugin``; the rest needs no test
framework. The provider needs the extra ``auth`` too, and the contract tests the extra ``contract``; both are imported
on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from restwell._extras import needs_extra
from restwell.testing._access import Caller, access_table, check_access
from restwell.testing._api_client import ApiClient, SignInAs
from restwell.testing._database_template import DatabaseTemplate
from restwell.testing._fault_proxy import FaultProxy
from restwell.testing._mail_box import MailBox, ReceivedMail, find_code
from restwell.testing._ownership import check_ownership
from restwell.testing._query_budget import query_budget
from restwell.testing._running import BASE_URL, finish_jobs, running

if TYPE_CHECKING:
    from restwell.testing._contract import ContractReport, contract_tests
    from restwell.testing._openid_provider import OpenIdProvider

__all__ = [
    "BASE_URL",
    "ApiClient",
    "Caller",
    "ContractReport",
    "DatabaseTemplate",
    "FaultProxy",
    "MailBox",
    "OpenIdProvider",
    "ReceivedMail",
    "SignInAs",
    "access_table",
    "check_access",
    "check_ownership",
    "contract_tests",
    "find_code",
    "finish_jobs",
    "query_budget",
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
