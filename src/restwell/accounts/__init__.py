"""User accounts: registration, sign-in, sessions, MFA, identity providers, API keys, machine clients and an audit log.

An application adds them as a feature::

    kit.app([Version("/v1", [Accounts(roles=Role), products, orders])])

Needs the extra ``auth``; emails need the extra ``mail``.
"""

from restwell._extras import needs_extra

with needs_extra("auth", __name__):
    import joserfc  # noqa: F401  # first, so that this extra is named, which has email addresses too

    from restwell.accounts._audit.models import SecurityEventType
    from restwell.accounts._audit.service import AuditLog
    from restwell.accounts._claims import UserClaims
    from restwell.accounts._emails import AccountEmails, EmailText
    from restwell.accounts._feature import Accounts
    from restwell.accounts._hooks import AccountHook, AccountHooks, SessionHook
    from restwell.accounts._personal_data import PersonalList, PersonalValue
    from restwell.accounts._seed import SeedUser, seed_users
    from restwell.accounts._sessions.service import SessionService
    from restwell.accounts._user_directory import DirectoryUser, UserDirectory
    from restwell.accounts._users.models import user_key
    from restwell.accounts._users.schemas import User
    from restwell.accounts._users.service import UserService

__all__ = [
    "AccountEmails",
    "AccountHook",
    "AccountHooks",
    "Accounts",
    "AuditLog",
    "DirectoryUser",
    "EmailText",
    "PersonalList",
    "PersonalValue",
    "SecurityEventType",
    "SeedUser",
    "SessionHook",
    "SessionService",
    "User",
    "UserClaims",
    "UserDirectory",
    "UserService",
    "seed_users",
    "user_key",
]
