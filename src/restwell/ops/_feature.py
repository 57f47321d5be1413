"""The operations page as a feature, with its pages in the order of the navigation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from restwell.ops import (
    _cache,
    _jobs,
    _limits,
    _migrations,
    _overview,
    _queries,
    _requests,
    _settings,
    _usage,
    _workers,
)
from restwell.ops._actions import Actions, LogEvents
from restwell.ops._assets import AssetController, Assets
from restwell.ops._forms import FormTokens
from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage
from restwell.ops._rendering import Site, Templates
from restwell.web import Controller, Feature, requires_role
from restwell.web._declarations import Guard

if TYPE_CHECKING:
    from restwell.accounts import Accounts

PAGES: Final[Sequence[OpsPage]] = (
    _overview.PAGE,
    _requests.PAGE,
    _queries.PAGE,
    _jobs.PAGE,
    _workers.PAGE,
    _cache.PAGE,
    _limits.PAGE,
    _usage.PAGE,
    _migrations.PAGE,
    _settings.PAGE,
)
"""Those of every application; with accounts, ``_security.PAGE`` precedes the last two."""


class Ops(Feature):
    """The operations page at ``/ops``, for admins.

    It exists in development and test, and in production with ``OPS=on``.

    ``accounts``: those of the application. Their admins sign in at ``/ops/sign-in``, and their audit log records each
    action. An application with another authentication passes ``admin_role``, the role that may use the page, and
    ``sign_in``, the path of its own page for users to sign in; its log records the actions.

    Raises TypeError if no user could sign in.
    """

    def __init__(
        self, accounts: "Accounts | None" = None, *, admin_role: str | None = None, sign_in: str | None = None
    ) -> None:
        role = admin_role or (_admin_role(accounts) if accounts is not None else None)
        if role is None:
            raise TypeError("Ops needs the Accounts of the application, or admin_role=, the role that may use the page")
        by_password = accounts is not None and _signs_in_by_password(accounts)
        if sign_in is None and not by_password:
            raise TypeError("Ops needs sign_in=, the path of your page for users to sign in: /login")
        assets = Assets()
        pages = _pages(accounts)
        templates = Templates(Site(pages, sign_in or f"{ROOT}/sign-in", by_password), assets)
        own: list[type[Controller]] = [AssetController]
        services: list[object] = [assets, templates, FormTokens, Layout, Actions]
        if accounts is not None:
            from restwell.ops._audited import AuditedActions  # noqa: PLC0415  # as above

            services.append(AuditedActions)
        else:
            services.append(LogEvents)
        if by_password:
            from restwell.ops._sign_in import SessionController, SignInController  # noqa: PLC0415  # as above

            own += [SignInController, SessionController]
        admin = requires_role(role)
        super().__init__(
            controllers=[
                *(_page_of(each, [], templates) for each in own),
                *(_page_of(each.controller, [admin], templates) for each in pages),
            ],
            services=[*services, *(service for each in pages for service in each.services)],
            queries=[source for each in pages for source in each.queries],
            jobs=[job for each in pages for job in each.jobs],
            enabled=lambda settings: settings.has_operations_page,
        )


def _pages(accounts: "Accounts | None") -> Sequence[OpsPage]:
    if accounts is None:
        return PAGES
    from restwell.ops import _security  # noqa: PLC0415  # needs the extra of the accounts

    return (*PAGES[:-2], _security.PAGE, *PAGES[-2:])


def _page_of(controller: type[Controller], guards: Sequence[Guard], templates: Templates) -> type[Controller]:
    """The controller with its guards, and with error pages."""
    return type(controller.__name__, (controller,), {"guards": guards, "error_format": templates.error_format})


def _admin_role(accounts: "Accounts") -> str:
    from restwell.accounts._options import AccountOptions  # noqa: PLC0415  # as above

    return next(each.admin_role for each in accounts.services if isinstance(each, AccountOptions))


def _signs_in_by_password(accounts: "Accounts") -> bool:
    return any(getattr(each, "__name__", "") == "PasswordSignIn" for each in accounts.services)
