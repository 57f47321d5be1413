"""Each action is recorded before it is carried out."""

from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from ops_app import FormBrowser
from restwell.auth import Actor
from restwell.ids import new_id
from restwell.ops._actions import Done, LogEvents, action
from restwell.testing import ApiClient
from restwell.web import Request
from restwell.web._declarations import declaration_of


@pytest.mark.slow
async def test_an_action_has_one_line_in_the_audit_log_of_the_accounts(admin: FormBrowser) -> None:
    """Breaks when an action is carried out without ``Actions.admit``."""
    page = await admin.open("/ops/cache")
    answer = await admin.submit(page, "/ops/cache/clear", tag="product:42")
    assert answer.headers["location"] == "/ops/cache"
    reader: ApiClient = admin
    events = [each for each in (await reader.get("/v1/security-events")).json()["items"] if each["type"] == "operation"]
    assert [each["detail"] for each in events] == ["clear_cache tag=product:42"]
    assert "Invalidated product:42." in await admin.open("/ops/cache")
    assert "Invalidated product:42." not in await admin.open("/ops/cache"), "a message is shown once"


async def test_without_accounts_an_action_is_an_event_of_the_log() -> None:
    request: Any = SimpleNamespace(client_address="192.0.2.1")
    actor = Actor(new_id(), "admin", new_id())
    with capture_logs() as events:
        await LogEvents().record(actor, request, "clear_cache")
    assert [(each["action"], each["actor"], each["ip_address"]) for each in events] == [
        ("clear_cache", str(actor.id), "192.0.2.1")
    ]


def test_an_action_is_a_post_that_no_document_shows() -> None:
    class Widgets:
        @action("/{widget_id}/stop")
        async def stop(self, widget_id: int, request: Request) -> Done:
            return Done(f"{widget_id} {request}", "/ops")

    declared = declaration_of(Widgets.stop)
    assert declared is not None
    assert (declared.method, declared.path, declared.include_in_schema) == ("POST", "/{widget_id}/stop", False)
