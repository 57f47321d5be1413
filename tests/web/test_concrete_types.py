"""Concrete types of declared ones: in the annotations of handlers, in validation and in the OpenAPI document."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, Optional, TypeVar

import pytest
from msgspec import Meta, Struct, defstruct
from pydantic import BaseModel, computed_field

from api_client import assert_problem
from restwell import App, Restwell
from restwell.pages import Page
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Controller, Feature, Response, Stream, Version, created, get, post
from restwell.web._concrete_types import with_concrete_types

T = TypeVar("T")


class Role(StrEnum):
    """The roles of users, which an application replaces."""


class User(Struct, frozen=True):
    name: str


class ShopRole(StrEnum):
    CUSTOMER = "customer"
    ADMIN = "admin"


class ShopUser(User, frozen=True):
    role: ShopRole


class Users(Controller):
    path = "/users"

    @post()
    async def add(self, data: User) -> Response[User]:
        return created(data, 1)

    @get()
    async def of_role(self, role: Role) -> Page[User]:
        return Page([ShopUser("Ada", ShopRole(role))], None)


class ExtraField:
    """A service that extends users."""

    def __init__(self, name: str) -> None:
        self.name = name


class Roles:
    """Another service."""

    role = ShopRole


def user_type(extra: Sequence[ExtraField], roles: Roles) -> type:
    return defstruct("Buyer", [("name", str), ("role", roles.role), *((each.name, int) for each in extra)], frozen=True)


def built(settings: Settings, user: Any) -> App:
    services = [ExtraField("points"), Roles, ExtraField("age")]
    types = Feature(types={User: user, Role: ShopRole}, services=services)
    return Restwell(settings, name="types").app([Version("/v1", [Feature(controllers=[Users])]), types])


async def test_handlers_take_and_return_the_concrete_type(tiny_settings: Settings) -> None:
    """Breaks when annotations keep the declared type: it has no field ``role``, and its enum no member."""
    ada = {"name": "Ada", "role": "admin"}
    async with running(built(tiny_settings, ShopUser)) as client:
        added = await client.post("/v1/users", json=ada)
        assert (added.status_code, added.json()) == (201, ada)
        for wrong in ({"name": "Ada"}, {"name": "Ada", "role": "owner"}):
            problem = assert_problem(await client.post("/v1/users", json=wrong), 422, "invalid")
            assert [each["path"] for each in problem["errors"]] == ["$.role"]
        assert (await client.get("/v1/users?role=admin")).json()["items"] == [ada]
        assert_problem(await client.get("/v1/users?role=owner"), 422, "invalid")


async def test_a_function_makes_the_concrete_type_from_services(tiny_settings: Settings) -> None:
    """Breaks when the function gets no services, or only the first of a sequence."""
    ada = {"name": "Ada", "role": "admin", "points": 1, "age": 36}
    async with running(built(tiny_settings, user_type)) as client:
        added = await client.post("/v1/users", json=ada)
        assert (added.status_code, added.json()) == (201, ada)
        assert_problem(await client.post("/v1/users", json={**ada, "age": "?"}), 422, "invalid")


@pytest.mark.parametrize("user", [ShopUser, user_type])
def test_the_document_names_concrete_types_after_the_declared_ones(tiny_settings: Settings, user: Any) -> None:
    """Breaks when generated clients get another name of a type for each application."""
    schemas = built(tiny_settings, user).openapi["components"]["schemas"]
    assert {"User", "UserPage", "Role"} <= schemas.keys()
    assert not {"ShopUser", "Buyer", "ShopRole", "ShopUserPage"} & schemas.keys()
    assert schemas["User"]["properties"]["role"] == {"$ref": "#/components/schemas/Role"}
    assert (schemas["User"]["title"], schemas["Role"]["enum"]) == ("User", ["admin", "customer"])
    assert schemas["UserPage"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/User"}


class Profile(BaseModel):
    """A declared Pydantic model."""


class ShopProfile(Profile):
    """Its input and its output differ, so each has a schema."""

    points: int = 0

    @computed_field
    def level(self) -> int:
        return self.points // 100


class Envelope(BaseModel, Generic[T]):
    content: T


async def test_pydantic_models_are_replaced_and_named_too(tiny_settings: Settings) -> None:
    @post("/profiles")
    async def add(data: Profile) -> Profile:
        return data

    @get("/profiles")
    async def read() -> Envelope[ShopProfile]:
        raise NotImplementedError

    parts = [Feature(controllers=[add, read], types={Profile: ShopProfile})]
    app = Restwell(tiny_settings, name="models").app(parts)
    assert {"ProfileInput", "ProfileOutput", "ProfileEnvelope"} <= app.openapi["components"]["schemas"].keys()
    async with running(app) as client:
        assert (await client.post("/profiles", json={"points": 300})).json() == {"points": 300, "level": 3}


def test_a_concrete_type_whose_declared_name_is_taken_is_refused(tiny_settings: Settings) -> None:
    """Breaks when one of the two schemas is lost."""

    class Account(Struct, frozen=True):
        user: User

    @post("/accounts")
    async def read(data: User) -> Account:
        raise NotImplementedError

    with pytest.raises(TypeError, match=r"types with the same name in the OpenAPI document: .*User"):
        Restwell(tiny_settings, name="taken").app([Feature(controllers=[read], types={User: ShopUser})])


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (User, ShopUser),
        (Page[User], Page[ShopUser]),
        (Response[User], Response[ShopUser]),
        (Response[Page[User] | None], Response[Page[ShopUser] | None]),
        (Stream[User], Stream[ShopUser]),
        (User | None, ShopUser | None),
        (Optional[User], ShopUser | None),  # noqa: UP045  # this spelling is another type
        (int | list[User], int | list[ShopUser]),
        (dict[str, tuple[User, ...]], dict[str, tuple[ShopUser, ...]]),
        (Annotated[list[User], Meta(max_length=2)], Annotated[list[ShopUser], Meta(max_length=2)]),
        (list[Annotated[User, "x"]], list[Annotated[ShopUser, "x"]]),
        (Sequence[User], Sequence[ShopUser]),
        (Literal["User"], Literal["User"]),
        (Callable[[int], User], Callable[[int], ShopUser]),
        (ShopUser, ShopUser),
        (None, None),
        (Any, Any),
    ],
)
def test_declared_types_are_replaced_at_every_depth(annotation: Any, expected: Any) -> None:
    assert with_concrete_types(annotation, {User: ShopUser}) == expected
