"""Every route of the small application responds the same through Litestar as directly, byte for byte."""

from pathlib import Path
from typing import Any

import pytest

from both_ways import Sent, assert_same_responses, hostile_requests, through_litestar
from restwell import App, Restwell
from restwell.database import Migrations, open_database
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Feature, Version
from tiny.app import CONTROLLERS, MIGRATIONS, add_reminder, authenticate, seed
from tiny.kinds import SOMETHING, KindController

OWNER = (b"authorization", b"Bearer owner")
FORM = (b"content-type", b"application/x-www-form-urlencoded")
MULTIPART = (b"content-type", b"multipart/form-data; boundary=b")
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n--b--\r\n'
KIND = b"/v1/kinds/" + str(SOMETHING).encode()
ONE_BY_ONE = [
    Sent("POST", b"/v1/kinds/forms", (FORM,), (b"name=a+b", b"&is_open=true")),
    Sent("POST", b"/v1/kinds/forms", (FORM,), (b"name=%zz",)),
    Sent("POST", b"/v1/kinds/files", (MULTIPART,), (FILE[:50], FILE[50:])),
    Sent("POST", b"/v1/kinds/files", (MULTIPART,), (FILE[:50],)),
    Sent("POST", b"/v1/kinds/files", (MULTIPART, (b"content-length", b"5000")), (FILE,)),
    Sent("POST", b"/v1/kinds/raw", ((b"x-kind", b"\xff"),), (b"x",) * 50),
    Sent("DELETE", KIND, (OWNER,)),
    Sent("GET", b"/v1/kinds?limit=2"),
    Sent("GET", b"/v1/notes/1", ((b"if-none-match", b"*"),)),
    Sent("HEAD", b"/v1/kinds/exports"),
    Sent("HEAD", b"/v1/notes/stream"),
    Sent("GET", b"/nowhere"),
    Sent("POST", b"/.restwell"),
    Sent("GET", b"/.restwell"),
    Sent("OPTIONS", b"*"),
]


def create(settings: Settings) -> App:
    feature = Feature(controllers=[*CONTROLLERS, KindController], jobs=[add_reminder])
    kit = Restwell(settings, name="kinds")
    return kit.app([Version("/v1", [feature])], authenticate=authenticate, migrations=MIGRATIONS)


async def both(settings: Settings, folder: Path, **options: Any) -> tuple[App, App]:
    """The application directly and hosted, each with its own database of three notes."""

    def create_hosted(own: Settings) -> App:
        return through_litestar(lambda: create(own), **options)

    apps = []
    for number, build in enumerate((create, create_hosted)):
        own = folder / str(number)
        own.mkdir()
        url = settings.database.url.get_secret_value().replace("tiny.db", f"{number}/tiny.db")
        database = settings.database.model_copy(update={"url": type(settings.database.url)(url)})
        async with open_database(url) as opened:
            await Migrations(MIGRATIONS).upgrade(opened)
            await seed(opened)
        apps.append(build(settings.model_copy(update={"database": database, "runtime_dir": own})))
    return apps[0], apps[1]


@pytest.mark.slow
async def test_every_route_responds_the_same_through_litestar(tiny_settings: Settings, tmp_path: Path) -> None:
    """Breaks without ``_restore_path``: the Location of what a request creates is relative to another path."""
    direct, hosted = await both(tiny_settings, tmp_path)
    async with running(direct), running(hosted):
        requests = [*ONE_BY_ONE, *hostile_requests(direct.routes, (b"Bearer owner", b"bearer guest"))]
        found = await assert_same_responses(direct, hosted, requests)
        for app in (direct, hosted):
            app.query_budget.violations.clear()  # of the route that has them on purpose
    assert {(route.method, route.path) for route in direct.routes} <= found
