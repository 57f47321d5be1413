"""The personal data export contains all data of the user, and no data of others."""

import pytest

from api_client import Json
from restwell.accounts._export import service
from restwell.testing import ApiClient


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of two items, so that lists have several pages."""
    monkeypatch.setattr(service, "PAGE_SIZE", 2)


async def everything(api: ApiClient) -> Json:
    answer = await api.get("/v1/users/me/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == 'attachment; filename="export.json"'
    assert answer.headers["cache-control"] == "no-store"
    export: Json = answer.json()
    return export


async def test_the_export_holds_all_data_of_a_user(member: ApiClient, other: ApiClient) -> None:
    """Also what services of the application contribute. Fails if only the first page of a list is read."""
    added = [(await member.post("/v1/notes", {"text": f"mine {number}"})).json() for number in range(5)]
    await other.post("/v1/notes", {"text": "another's"})
    export = await everything(member)
    assert export.keys() == {"account", "identities", "sessions", "api_keys", "note_count", "notes", "security_events"}
    assert export["account"] == (await member.get("/v1/users/me")).json()
    assert export["notes"] == added
    assert export["note_count"] == {"count": 5}
    assert export["sessions"] == (await member.get("/v1/sessions")).json()["items"]
    assert [one["type"] for one in export["security_events"]] == ["data_exported", "signed_in"]
    assert export["identities"] == export["api_keys"] == []


async def test_the_export_of_a_user_without_data_has_empty_lists(other: ApiClient) -> None:
    export = await everything(other)
    assert (export["notes"], export["note_count"]) == ([], {"count": 0})


async def test_the_export_of_an_admin_holds_only_their_own_data(member: ApiClient, admin: ApiClient) -> None:
    """Fails if the export uses the admin's access to all data."""
    await member.post("/v1/notes", {"text": "not an admin's"})
    export = await everything(admin)
    assert (export["notes"], export["note_count"]) == ([], {"count": 0})
    assert {one["user_id"] for one in export["security_events"]} == {export["account"]["id"]}


async def test_the_schema_of_the_export_has_a_member_for_each_contribution(admin: ApiClient) -> None:
    """Fails if a contribution is exported as ``Any``: clients that are generated could not read it."""
    schemas = (await admin.get("/openapi.json")).json()["components"]["schemas"]
    members = schemas["PersonalDataExport"]["properties"]
    assert members["notes"]["items"] == {"$ref": "#/components/schemas/Note"}
    assert members["note_count"] == {"$ref": "#/components/schemas/NoteCount"}
    assert schemas["PersonalDataExport"]["required"] == list(members)
