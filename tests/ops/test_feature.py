"""The operations page as a feature: who may use it, where it exists, and what an application needs for it."""

from pathlib import Path
from typing import Final

import httpx
import pytest

from ops_app import MEMBER, PASSWORD, FormBrowser, Role, create_app
from restwell import App, Restwell
from restwell.accounts import Accounts
from restwell.auth import Actor
from restwell.errors import Unauthorized
from restwell.ids import new_id
from restwell.ops import Ops
from restwell.settings import AppSettings, Settings
from restwell.testing import ApiClient, Caller, check_access, running

ACCESS: Final = Path(__file__).with_name("access.txt")
"""Who may call each route of the operations page."""


def paths_of(app: App) -> list[str]:
    return [route.path for route in app.routes if route.path.startswith("/ops")]


async def test_only_admins_in_a_session_may_use_the_page(app: App, client: httpx.AsyncClient) -> None:
    """Breaks when a page is registered without the guard of Ops."""
    admin = await ApiClient(client).sign_in("admin@app.example", PASSWORD)
    member = await ApiClient(client).sign_in(MEMBER, PASSWORD)
    # The other routes have tables of their own.
    app.routes[:] = [route for route in app.routes if route.path.startswith("/ops")]
    await check_access(app, ACCESS.read_text(), [Caller(admin, role=Role.ADMIN), Caller(member, role=Role.MEMBER)])


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("env", "ops", "exists"),
    [
        ("development", "auto", True),
        ("test", "auto", True),
        ("production", "auto", False),
        ("production", "on", True),
        ("development", "off", False),
    ],
)
async def test_production_has_the_page_only_if_it_is_asked_for(
    settings: Settings, env: str, ops: str, *, exists: bool
) -> None:
    """Breaks when ``Feature.enabled`` is not read."""
    app = create_app(settings.model_copy(update={"app": AppSettings.model_validate({"env": env}), "ops": ops}))
    assert bool(paths_of(app)) is exists
    async with running(app) as client:
        assert (await client.get("/ops")).status_code == (401 if exists else 404)


def test_no_route_of_the_page_is_in_the_openapi_document() -> None:
    app = create_app(Settings())
    assert paths_of(app)
    assert [path for path in app.openapi["paths"] if "ops" in path] == []


class OwnAuthentication:
    """An application with a sign-in of its own, whose tokens are the names of roles."""

    async def __call__(self, token: str) -> Actor:
        if token not in {"operator", "guest"}:
            raise Unauthorized
        return Actor(new_id(), token, new_id())


async def test_an_application_without_accounts_uses_its_own_authentication(settings: Settings) -> None:
    app = Restwell(settings).app(
        [Ops(admin_role="operator", sign_in="/login")], authenticate=OwnAuthentication, session_cookies=True
    )
    async with running(app) as client:
        browser = FormBrowser(client)
        answer = await browser.get("/ops")
        assert answer.status_code == 401
        assert 'href="/login"' in answer.text
        browser.cookies["__Host-access"] = "guest"
        assert (await browser.get("/ops")).status_code == 403
        browser.cookies["__Host-access"] = "operator"
        page = await browser.open("/ops/cache")
        assert "Sign out" not in page
        assert (await browser.submit(page, "/ops/cache/clear", tag="product:42")).status_code == 303
    assert "/ops/sign-in" not in paths_of(app)


def test_a_page_without_users_is_an_error_that_says_what_to_pass() -> None:
    with pytest.raises(TypeError, match="Ops needs the Accounts of the application, or admin_role="):
        Ops()
    with pytest.raises(TypeError, match="Ops needs sign_in="):
        Ops(admin_role="admin")
    with pytest.raises(TypeError, match="Ops needs sign_in="):
        Ops(Accounts(roles=Role, passwords=False))
    Ops(Accounts(roles=Role, passwords=False), sign_in="/login")
