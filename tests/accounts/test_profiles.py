"""The application's own fields of accounts: ``Accounts(profile=Profile)``."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from msgspec import Meta, Struct
from sqlalchemy import text

from accounts_app import PASSWORD, create_app
from api_client import Json, assert_problem, error_paths
from cases import each
from restwell import App
from restwell.accounts import UserService
from restwell.accounts._profiles import MAX_BYTES, Profiles
from restwell.database import Database, query
from restwell.email_addresses import EmailAddress
from restwell.settings import Settings
from restwell.testing import ApiClient, running

Phone = Annotated[str, Meta(pattern=r"^\+[0-9]{6,15}$")]
ADA = {"email": "ada@example.com", "password": "a long enough password", "name": "Ada Lovelace"}
ME = "/v1/users/me"

_stored_profiles = query("test.profiles", text("SELECT profile FROM users WHERE profile IS NOT NULL"), into=str)


class Address(Struct, frozen=True):
    city: str
    country: str = "de"


class Profile(Struct, frozen=True):
    """What the application knows about its users."""

    phone: Phone | None = None
    newsletter: bool = False
    home: Address | None = None
    work: Address | None = None
    age: int = 0
    billing: EmailAddress | None = None
    notes: list[str] = []


DEFAULTS: Json = {
    "phone": None,
    "newsletter": False,
    "home": None,
    "work": None,
    "age": 0,
    "billing": None,
    "notes": [],
}


@pytest.fixture
def app(settings: Settings) -> App:
    return create_app(settings, profile=Profile)


async def test_a_profile_is_one_option(client: httpx.AsyncClient, admin: ApiClient, app: App) -> None:
    profile = {"phone": "+49123456", "home": {"city": "Bonn"}, "billing": "Bills@Example.com"}
    answer = await client.post("/v1/users", json={**ADA, "profile": profile})
    assert answer.status_code == 201, answer.text
    expected = {**DEFAULTS, **profile, "home": {"city": "Bonn", "country": "de"}, "billing": "bills@example.com"}
    assert answer.json()["profile"] == expected
    ada = await ApiClient(client).sign_in(ADA["email"], ADA["password"])
    assert (await ada.get(ME)).json() == answer.json()
    assert (await ada.get(f"{ME}/export")).json()["account"] == answer.json()
    user_id = answer.json()["id"]
    assert (await admin.get(f"/v1/users/{user_id}")).json() == answer.json()
    assert (await admin.get("/v1/users")).json()["items"][-1] == answer.json()
    read: Profile = (await app.service(UserService).get_user(UUID(user_id))).profile
    assert (read.phone, read.home) == ("+49123456", Address("Bonn"))


async def test_an_account_without_a_profile_has_the_defaults(member: ApiClient, client: httpx.AsyncClient) -> None:
    assert (await member.get(ME)).json()["profile"] == DEFAULTS
    assert (await client.post("/v1/users", json=ADA)).json()["profile"] == DEFAULTS


async def test_a_merge_patch_changes_only_what_it_has(member: ApiClient) -> None:
    """Breaks when the patch replaces the stored profile."""
    profile: Json = {}
    for patch, changes in (
        ({"phone": "+49123456", "newsletter": True}, {"phone": "+49123456", "newsletter": True}),
        ({"home": {"city": "Bonn", "country": "at"}}, {"home": {"city": "Bonn", "country": "at"}}),
        ({"home": {"city": "Graz"}}, {"home": {"city": "Graz", "country": "at"}}),
        ({"home": {"country": None}}, {"home": {"city": "Graz", "country": "de"}}),
        ({"newsletter": None, "notes": ["a"]}, {"newsletter": False, "notes": ["a"]}),
        ({"home": None}, {"home": None}),
    ):
        answer = await member.patch(ME, {"profile": patch})
        profile |= changes
        assert answer.status_code == 200, answer.text
        assert answer.json()["profile"] == {**DEFAULTS, **profile}
        assert (await member.get(ME)).json() == answer.json()
    assert (await member.patch(ME, {"name": "New"})).json()["profile"] == {**DEFAULTS, **profile}


@each(
    ("patch", "path"),
    [
        ({"phone": "12"}, "$.profile.phone"),
        ({"shoe_size": 46}, "$.profile.shoe_size"),
        ({"home": {"country": "de"}}, "$.profile.home.city"),
        ({"home": {"town": "Bonn"}}, "$.profile.home.town"),
        ({"home": {}}, "$.profile.home.city"),
        ({"billing": "unknown"}, "$.profile.billing"),
        ({"notes": ["n" * MAX_BYTES]}, "$.profile"),
        ({"age": 2**64}, "$.profile"),
        ([], "$.profile"),
        (None, "$.profile"),
    ],
)
async def test_an_invalid_profile_is_refused_by_path(
    client: httpx.AsyncClient, member: ApiClient, patch: Any, path: str
) -> None:
    before = (await member.get(ME)).json()
    assert error_paths(assert_problem(await member.patch(ME, {"profile": patch}), 422, "invalid")) == {path}
    assert (await member.get(ME)).json() == before
    answer = await client.post("/v1/users", json={**ADA, "profile": patch})
    assert error_paths(assert_problem(answer, 422, "invalid")) == {path}


async def test_concurrent_changes_of_a_profile_are_both_stored(member: ApiClient) -> None:
    """Breaks when the stored profile is read without a lock."""
    for number in range(5):
        value = str(number)
        patches: list[Json] = [{"phone": f"+49{value * 8}"}, {"notes": [value]}, {"home": {"city": value}}]
        answers = await asyncio.gather(*(member.patch(ME, {"profile": patch}) for patch in patches))
        assert {answer.status_code for answer in answers} == {200}
        profile = (await member.get(ME)).json()["profile"]
        assert (profile["phone"], profile["notes"], profile["home"]["city"]) == (f"+49{value * 8}", [value], value)


class StricterProfile(Struct, frozen=True, forbid_unknown_fields=True):
    """Of a later release: without notes and a phone number, and with a new field."""

    phone: Annotated[str, Meta(min_length=12)] | None = None
    newsletter: bool = False
    language: str = "en"


async def test_a_stored_value_that_no_longer_fits_is_read_as_the_default(settings: Settings) -> None:
    """Breaks when the stored document is decoded as a whole, or is replaced by the fields of the release."""
    async with running(create_app(settings, profile=Profile)) as client:
        member = await ApiClient(client).sign_in("member@app.example", PASSWORD)
        await member.patch(ME, {"profile": {"phone": "+49123456", "newsletter": True, "notes": ["a"]}})
    async with running(create_app(settings, profile=StricterProfile)) as client:
        member = await ApiClient(client).sign_in("member@app.example", PASSWORD)
        kept = {"phone": None, "newsletter": True, "language": "en"}
        assert (await member.get(ME)).json()["profile"] == kept
        changed = await member.patch(ME, {"profile": {"language": "de"}})
        assert changed.json()["profile"] == {**kept, "language": "de"}
    async with running(create_app(settings, profile=Profile)) as client:
        member = await ApiClient(client).sign_in("member@app.example", PASSWORD)
        assert (await member.get(ME)).json()["profile"] == {**DEFAULTS, "newsletter": True, "notes": ["a"]}


async def test_a_deleted_account_keeps_no_profile(member: ApiClient, database: Database) -> None:
    """Breaks when anonymisation does not set the column."""
    await member.patch(ME, {"profile": {"phone": "+49123456"}})
    await member.delete(ME)
    assert await database.all(_stored_profiles) == []


async def test_an_application_without_a_profile_has_none_in_its_api(settings: Settings) -> None:
    async with running(create_app(settings)) as client:
        schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
        assert not [name for name, schema in schemas.items() if "profile" in schema.get("properties", {})]
        answer = await client.post("/v1/users", json={**ADA, "profile": {}})
        assert error_paths(assert_problem(answer, 422, "invalid")) == {"$.profile"}


async def test_the_api_describes_the_profile_and_its_changes(client: httpx.AsyncClient) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    assert schemas["User"]["properties"]["profile"] == {"$ref": "#/components/schemas/Profile"}
    for request in ("RegistrationRequest", "AccountUpdateRequest"):
        assert schemas[request]["properties"]["profile"] == {"$ref": "#/components/schemas/ProfileUpdate"}
        assert "profile" not in schemas[request]["required"]
    assert schemas["ProfileUpdate"]["additionalProperties"] is False
    assert {"type": "null"} in schemas["ProfileUpdate"]["properties"]["newsletter"]["anyOf"]


class Mutable(Struct):
    phone: str = ""


class Required(Struct, frozen=True):
    phone: str


class Together(Struct, frozen=True):
    first: str = ""
    second: str = ""

    def __post_init__(self) -> None:
        if bool(self.first) is not bool(self.second):
            raise ValueError("first and second belong together")


@each(
    ("profile", "message"),
    [
        (Mutable, "profile must be a Struct with frozen=True"),
        (dict, "profile must be a Struct with frozen=True"),
        (Required, "give every field of Required a default"),
    ],
)
async def test_a_type_that_cannot_be_a_profile_is_an_error_at_start(profile: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Profiles(profile)


@each("document", ["{", "[]", '{"first": "a"}', '{"first": "a", "second": 1}', '{"third": 1}'])
async def test_any_stored_document_can_be_read(document: str) -> None:
    assert Profiles(Together).read(document) == Together()
