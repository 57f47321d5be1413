"""What every application with accounts has: users, sessions, the audit log and the export of personal data."""

from pathlib import Path
from typing import Final

from restwell.accounts._audit import queries as audit_queries
from restwell.accounts._audit.routes import AuditController
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._claims import OwnClaims
from restwell.accounts._export.routes import ExportController
from restwell.accounts._export.schemas import PersonalDataExport, export_type
from restwell.accounts._export.service import ExportService
from restwell.accounts._hooks import AccountHooks
from restwell.accounts._options import AccountOptions
from restwell.accounts._sessions import queries as session_queries
from restwell.accounts._sessions.routes import SessionController
from restwell.accounts._sessions.service import SessionService
from restwell.accounts._throttle import queries as throttle_queries
from restwell.accounts._throttle.service import LoginThrottle
from restwell.accounts._users import queries as user_queries
from restwell.accounts._users.routes import (
    OwnAccountChangeController,
    OwnAccountController,
    OwnAccountDeletionController,
    UserAdministrationController,
    UserListController,
)
from restwell.accounts._users.service import UserService
from restwell.web import Controller, Feature, requires_role, signed_in, signed_in_or_scope
from restwell.web._declarations import Guard

MIGRATIONS: Final = Path(__file__).with_name("_migrations")


def core(options: AccountOptions, events_scope: str | None) -> Feature:
    if events_scope is not None and events_scope not in options.scopes:
        raise TypeError(f"Accounts: events_scope is {events_scope}, which scopes does not describe")
    sees_events = signed_in if events_scope is None else signed_in_or_scope(events_scope)
    own_account: list[type[Controller]] = [OwnAccountController]
    if options.directory is None or options.has_own_fields:
        own_account.append(OwnAccountChangeController)
    if options.directory is None:
        own_account.append(OwnAccountDeletionController)
    return Feature(
        controllers=[*own_account, SessionController, ExportController, guarded(AuditController, sees_events)],
        services=[
            options,
            AccountHooks,
            AuditLog,
            UserService,
            OwnClaims,
            SessionService,
            ExportService,
            LoginThrottle,
        ],
        queries=[user_queries, session_queries, audit_queries, throttle_queries],
        migrations={"accounts": MIGRATIONS / "accounts"},
        types={**options.types, PersonalDataExport: export_type},
    )


def administration(options: AccountOptions) -> Feature:
    admin = requires_role(options.admin_role)
    controllers = (
        [UserListController] if options.directory is not None else [UserListController, UserAdministrationController]
    )
    return Feature(controllers=[guarded(each, admin) for each in controllers])


def guarded(controller: type[Controller], guard: Guard) -> type[Controller]:
    """The controller with a guard that depends on the application."""
    return type(controller.__name__, (controller,), {"guards": [guard]})
