"""The application that the tests of the operations page run, and a browser without JavaScript that uses it."""

import re
from enum import StrEnum
from html import unescape
from typing import Any, Final

import httpx

from restwell import App, Project, Restwell
from restwell.accounts import Accounts, SeedUser, seed_users
from restwell.database import Database
from restwell.ops import Ops
from restwell.settings import Settings
from restwell.testing import ApiClient
from restwell.web import Feature, Version

PASSWORD: Final = "a password of the tests"
ADMIN: Final = "admin@app.example"
MEMBER: Final = "member@app.example"


class Role(StrEnum):
    MEMBER = "member"
    ADMIN = "admin"


USERS: Final = (SeedUser(ADMIN, "Admin", Role.ADMIN), SeedUser(MEMBER, "Member", Role.MEMBER))


def create_app(settings: Settings, *features: Feature) -> App:
    accounts = Accounts(roles=Role)
    return Restwell(settings, name="ops").app([Ops(accounts), *features, Version("/v1", [accounts])])


QUERIES: Final = {"/ops/queries/query": "?name=users.by_id", "/ops/jobs/change": "?action=retry&state=dead"}
"""The queries of pages that need one."""


def page_paths(app: App) -> list[str]:
    """The paths of the pages for admins that need no id."""
    return [
        route.path + QUERIES.get(route.path, "")
        for route in app.routes
        if route.method == "GET" and route.path.startswith("/ops") and route.guards and "{" not in route.path
    ]


async def seed(database: Database) -> str:
    await seed_users(database, USERS, PASSWORD)
    return f"{len(USERS)} users"


ops: Final = Project(name="ops", settings=Settings, create_app=create_app, seed=seed, banner=lambda: "")


class FormBrowser(ApiClient):
    """Follows links and sends the forms of pages, as a browser does whose JavaScript is off."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        super().__init__(client)
        self.headers["sec-fetch-site"] = "same-origin"

    async def open(self, path: str) -> str:
        """The text of a page. Raises AssertionError if it is an error page."""
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def submit(self, page: str, action: str, /, **fields: str) -> httpx.Response:
        """Send the first form of the page with this action: its hidden fields, and ``fields``."""
        forms = re.findall(rf'<form[^>]* action="{re.escape(action)}".*?</form>', page, re.DOTALL)
        assert forms, f"the page has no form for {action}"
        hidden = {
            unescape(name): unescape(value)
            for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', forms[0])
        }
        return await self.send_form(action, {**hidden, **fields})

    async def send_form(self, path: str, fields: dict[str, Any], **headers: str) -> httpx.Response:
        sent = {**self.headers, **headers, "cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        answer = await self.client.post(path, data=fields, headers=sent)
        self._store_cookies(answer)
        return answer

    async def sign_in_with_form(self, email: str = ADMIN, password: str = PASSWORD, **fields: str) -> httpx.Response:
        page = await self.open("/ops/sign-in")
        return await self.submit(page, "/ops/sign-in", email=email, password=password, **fields)
